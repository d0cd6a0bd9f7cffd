//! The settings that name a store and what encrypts it: shared by `serve` and the operator's
//! commands.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::{MASTER_KEY, STORE, SettingError, named, parse};
use crate::store::at_rest::MasterKeys;

/// `--store`, unparsed.
#[derive(clap::Args, Default)]
pub struct StoreArg {
    /// Where records are kept: `memory:`, until the program ends, or `sqlite:PATH`, in a file,
    /// encrypted under a master key [default: memory:]
    ///
    /// Everything after `sqlite:` is the path of the file, absolute or from the working directory:
    /// `sqlite:/var/lib/hookturn/hookturn.db`
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKTURN_STORE",
        hide_env_values = true
    )]
    pub(super) store: Option<String>,
}

/// `--master-key`, unparsed. Not `Debug`, since it holds keys.
#[derive(clap::Args, Default)]
pub struct MasterKeysArg {
    /// A key of 32 bytes that encrypts what is at rest, as `hookturn keys generate` prints one;
    /// repeatable, and in the variable comma-separated. The store `memory:` needs none
    ///
    /// The first key encrypts, the others still decrypt: to change keys, put the new one first.
    /// Keep them apart from the store's backups: without its key, what is at rest is lost. Prefer
    /// the variable: other users of the machine can see flags.
    #[arg(
        long = "master-key",
        value_name = "ID:BASE64",
        env = "HOOKTURN_MASTER_KEYS",
        hide_env_values = true
    )]
    pub(super) master_keys: Vec<String>,
}

/// A store that this version can open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Store {
    /// `memory:`. Nothing outlives the process.
    Memory,
    /// `sqlite:PATH`. A file that outlives the process; what is secret in it is encrypted under a
    /// master key.
    Sqlite {
        /// The file: not empty, absolute or from the working directory.
        path: PathBuf,
    },
}

impl StoreArg {
    /// The store: `memory:` if none was given.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when it is none that this version can open.
    pub fn parse(self) -> Result<Store, SettingError> {
        let text = self.store.filter(|text| !text.is_empty());
        named(STORE, parse::store(text.as_deref().unwrap_or("memory:")))
    }

    /// The file of the store, for a command that needs one.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when it cannot be used, or keeps nothing in a file.
    pub fn parse_path(self) -> Result<PathBuf, SettingError> {
        match self.parse()? {
            Store::Sqlite { path } => Ok(path),
            Store::Memory => Err(SettingError::new(
                STORE,
                "there is nothing to work on in memory: name the file of the store, as the server does; write sqlite:PATH",
            )),
        }
    }
}

impl MasterKeysArg {
    /// The keys; `None` if none was given.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when one cannot be used. It shows nothing of it.
    pub fn parse(self) -> Result<Option<MasterKeys>, SettingError> {
        let texts: Vec<_> = self.master_keys.into_iter().map(Zeroizing::new).collect();
        named(MASTER_KEY, parse::master_keys(&texts))
    }

    /// The keys, for a command that needs one.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and when none was given.
    pub fn parse_some(self) -> Result<MasterKeys, SettingError> {
        self.parse()?.ok_or_else(|| {
            SettingError::new(
                MASTER_KEY,
                "what the store keeps is encrypted: give its master keys, as the server gets them",
            )
        })
    }
}
