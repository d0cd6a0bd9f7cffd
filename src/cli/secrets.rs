//! The secrets of a receiver: from flags, from a variable and from a file.

use std::{fs, io, path::Path, path::PathBuf};

use zeroize::Zeroizing;

use crate::{config::SettingError, domain::verification::ReceiverSecret};

/// How one command names where its secrets come from, in errors.
pub(super) struct Names {
    /// The flag and its variable.
    pub flag: &'static str,
    /// The flag, and its variable if it has one, of the file.
    pub file: &'static str,
}

/// Where the secrets come from.
pub(super) struct SecretSource {
    given: Vec<ReceiverSecret>,
    file: Option<PathBuf>,
}

/// The secrets at one instant, with the place of each for people to find it by.
#[derive(Default)]
pub(super) struct Secrets {
    pub all: Vec<ReceiverSecret>,
    /// As many as there are secrets: `--secret`, or the file's line.
    pub places: Vec<String>,
    /// Why the file's secrets are missing.
    pub unreadable: Option<String>,
}

impl SecretSource {
    /// Takes the texts of flags, each of which may be several, separated by commas, as the variable's are; and the file,
    /// which must be readable now.
    ///
    /// # Errors
    ///
    /// The number of the first text that is no secret, or the line of the file, and what is wrong with it. What is given
    /// here is not shown: it is a secret, or nearly one.
    pub(super) fn new(
        names: &Names,
        texts: Vec<String>,
        file: Option<PathBuf>,
    ) -> Result<Self, SettingError> {
        let texts: Vec<_> = texts.into_iter().map(Zeroizing::new).collect();
        let entries = texts.iter().flat_map(|text| text.split(','));
        let given: Vec<_> = entries
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(ReceiverSecret::new)
            .collect();
        for (number, secret) in (1..).zip(&given) {
            if let Some(malformed) = secret.malformed() {
                let problem = format!("secret {number}: {malformed}");
                return Err(SettingError::new(names.flag, problem));
            }
        }
        let file = file.filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = &file {
            let lines = read(path).map_err(|problem| SettingError::new(names.file, problem))?;
            for (line, secret) in lines {
                if let Some(malformed) = secret.malformed() {
                    let problem = format!("line {line} of {}: {malformed}", path.display());
                    return Err(SettingError::new(names.file, problem));
                }
            }
        }
        Ok(Self { given, file })
    }

    /// The secrets as they are now: the file is read each time, so that a rotation can be rehearsed by editing it. A file
    /// that can no longer be read has no secrets, and a line that is none is told with the delivery.
    ///
    /// Blocks while it reads.
    pub(super) fn read(&self) -> Secrets {
        let mut now = Secrets {
            places: vec!["--secret".to_owned(); self.given.len()],
            all: self.given.clone(),
            unreadable: None,
        };
        match self.file.as_deref().map(read) {
            None => {}
            Some(Ok(lines)) => {
                for (line, secret) in lines {
                    now.all.push(secret);
                    now.places.push(format!("line {line} of the file"));
                }
            }
            Some(Err(problem)) => now.unreadable = Some(problem),
        }
        now
    }
}

/// The secrets in a file, one a line, with the number of the line. Blank lines and those that start with `#` are none.
fn read(path: &Path) -> Result<Vec<(usize, ReceiverSecret)>, String> {
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| {
            let problem = match error.kind() {
                // The standard library's words would speak of a stream.
                io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
                _ => error.to_string(),
            };
            format!("cannot read {}: {problem}", path.display())
        })?;
    let lines = (1..).zip(text.lines().map(str::trim));
    Ok(lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number, ReceiverSecret::new(line)))
        .collect())
}
