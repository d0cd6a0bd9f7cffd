//! The settings of the store and its master keys, which `serve` shares with the operator's
//! commands.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::{MASTER_KEY, STORE, SettingError, named};
use super::parse;
use super::store_url::StoreUrl;
use crate::store::at_rest::MasterKeys;

/// The unparsed `--store`.
#[derive(clap::Args, Default)]
pub struct StoreArg {
    /// Where records are kept: `memory:` until the program ends, or `sqlite:PATH` in a file,
    /// encrypted with a master key [default: memory:]
    ///
    /// Everything after `sqlite:` is the path of the file, absolute or relative to the working
    /// directory: `sqlite:/var/lib/hookturn/hookturn.db`
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKTURN_STORE",
        hide_env_values = true
    )]
    pub(super) store: Option<String>,
}

/// The unparsed `--store` of a command that needs the file of a store.
#[derive(clap::Args)]
pub struct StoreFileArg {
    /// The store to use, `sqlite:PATH`, as for the server. It is required, here or in the variable
    ///
    /// Everything after `sqlite:` is the path of the file, absolute or relative to the working
    /// directory: `sqlite:/var/lib/hookturn/hookturn.db`
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKTURN_STORE",
        hide_env_values = true
    )]
    store: Option<String>,
}

/// The unparsed `--master-key`. It is not `Debug`, since it holds keys.
#[derive(clap::Args, Default)]
pub struct MasterKeysArg {
    /// A key of 32 bytes that encrypts the store, as `hookturn keys generate` prints it;
    /// repeatable, comma-separated in the variable. The store `memory:` needs none
    ///
    /// The first key encrypts, and all keys decrypt: to change keys, put the new one first. Keep
    /// the keys, and keep them apart from the backups: a store without its key is lost. Prefer the
    /// variable: other users of the machine can see flags.
    #[arg(
        long = "master-key",
        value_name = "ID:BASE64",
        env = "HOOKTURN_MASTER_KEYS",
        hide_env_values = true
    )]
    pub(super) master_keys: Vec<String>,
}

impl StoreArg {
    /// Parses the store. The default is `memory:`.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when this version cannot open it.
    pub fn parse(self) -> Result<StoreUrl, SettingError> {
        let text = self.store.filter(|text| !text.is_empty());
        named(STORE, parse::store(text.as_deref().unwrap_or("memory:")))
    }
}

impl StoreFileArg {
    /// Parses the store and returns the path of its file.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when the store cannot be used or has no file.
    pub fn parse_path(self) -> Result<PathBuf, SettingError> {
        match (StoreArg { store: self.store }).parse()? {
            StoreUrl::Sqlite { path } => Ok(path),
            StoreUrl::Memory => Err(SettingError::new(
                STORE,
                "the store `memory:` has no file; write sqlite:PATH, as for the server",
            )),
        }
    }
}

impl MasterKeysArg {
    /// Parses the keys. Returns `None` when none was given.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when a key cannot be used. The error shows nothing of the key.
    pub fn parse(self) -> Result<Option<MasterKeys>, SettingError> {
        let texts: Vec<_> = self.master_keys.into_iter().map(Zeroizing::new).collect();
        named(MASTER_KEY, parse::master_keys(&texts))
    }

    /// Parses the keys for a command that needs at least one.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and when no key was given.
    pub fn parse_some(self) -> Result<MasterKeys, SettingError> {
        self.parse()?.ok_or_else(|| {
            SettingError::new(
                MASTER_KEY,
                "the store is encrypted; give its master keys, as for the server",
            )
        })
    }
}
