//! Words what is wrong with a setting.

/// A setting that cannot be used.
///
/// The text is one line that names the flag and the variable and says how to fix it. It never shows
/// a value that may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct SettingError {
    setting: &'static str,
    problem: String,
}

impl SettingError {
    /// Makes the error of `setting`, which is written `--flag (VARIABLE)`.
    #[must_use]
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }

    /// Makes the error of a durable store without a master key. Secrets are never stored
    /// unencrypted.
    #[must_use]
    pub fn no_master_key() -> Self {
        Self::new(
            MASTER_KEY,
            "a store in a file needs a master key to encrypt it; `hookturn keys generate` makes one",
        )
    }
}

/// How `--listen` is named in errors.
pub const LISTEN: &str = "--listen (HOOKTURN_LISTEN)";

/// How `--store` is named in errors.
pub const STORE: &str = "--store (HOOKTURN_STORE)";

/// How `--master-key` is named in errors.
pub const MASTER_KEY: &str = "--master-key (HOOKTURN_MASTER_KEYS)";

/// Names the setting that cannot be parsed.
pub(super) fn named<T>(
    setting: &'static str,
    parsed: Result<T, String>,
) -> Result<T, SettingError> {
    parsed.map_err(|problem| SettingError { setting, problem })
}
