//! Reads the secrets of a receiver from flags, a variable and a file.

use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::text_file;
use crate::config::SettingError;
use crate::domain::verification::{PREFIX, ReceiverSecret, is_invisible};

/// How the errors of a command name the sources of its secrets.
pub(super) struct Names {
    /// The flag of a secret and its variable.
    pub flag: &'static str,
    /// The flag of the file, and its variable if it has one.
    pub file: &'static str,
}

/// The sources of a receiver's secrets.
pub(super) struct SecretSource {
    given: Vec<ReceiverSecret>,
    file: Option<PathBuf>,
}

/// The secrets at one instant, and where each comes from.
pub(super) struct Secrets {
    pub all: Vec<ReceiverSecret>,
    /// The place of each secret: `--secret` or the line of the file.
    pub places: Vec<String>,
    /// Why the secrets of the file could not be read.
    pub unreadable: Option<String>,
    /// How the file was converted to be read.
    pub notice: Option<String>,
}

impl SecretSource {
    /// Takes the texts of flags and of the variable, which may have several secrets separated by
    /// commas, and the file, which must be readable now.
    ///
    /// # Errors
    ///
    /// The number of the first text that is not a secret, or its line in the file, and what is
    /// wrong with it. The text is not shown, since it may be a secret with a typing mistake.
    pub(super) fn new(
        names: &Names,
        texts: Vec<String>,
        file: Option<PathBuf>,
    ) -> Result<Self, SettingError> {
        let texts: Vec<_> = texts.into_iter().map(Zeroizing::new).collect();
        let given: Vec<_> = texts
            .iter()
            .flat_map(|list| self::texts(list))
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
            let (secrets, _) =
                read(path).map_err(|problem| SettingError::new(names.file, problem))?;
            for (line, secret) in secrets {
                if let Some(malformed) = secret.malformed() {
                    let problem = format!("line {line} of {}: {malformed}", text_file::shown(path));
                    return Err(SettingError::new(names.file, problem));
                }
            }
        }
        Ok(Self { given, file })
    }

    /// Returns the present secrets.
    ///
    /// It reads the file each time, so that a rotation can be rehearsed by editing the file. A file
    /// that cannot be read any more has no secrets. A malformed line is shown in the report of the
    /// delivery.
    ///
    /// Blocks while it reads.
    pub(super) fn read(&self) -> Secrets {
        let mut now = Secrets {
            places: vec!["--secret".to_owned(); self.given.len()],
            all: self.given.clone(),
            unreadable: None,
            notice: None,
        };
        match self.file.as_deref().map(read) {
            None => {}
            Some(Ok((secrets, notice))) => {
                now.notice = notice;
                for (line, secret) in secrets {
                    now.all.push(secret);
                    now.places.push(format!("line {line} of the file"));
                }
            }
            Some(Err(problem)) => now.unreadable = Some(problem),
        }
        now
    }
}

/// Secrets, each with the number of its line.
type Numbered = Vec<(usize, ReceiverSecret)>;

/// Reads the secrets in a file. Returns them, and how the file was converted.
///
/// A line has one secret, or several separated by commas. Blank lines and lines that start with `#`
/// are ignored. A line may also be that of an environment file, `NAME=whsec_…`, and a secret may be
/// in quotes.
fn read(path: &Path) -> Result<(Numbered, Option<String>), String> {
    let shown = text_file::shown(path);
    let cannot = |problem: &str| format!("cannot read {shown}: {problem}");
    let bytes = fs::read(path).map_err(|error| cannot(&error.to_string()))?;
    let file = text_file::read(bytes).map_err(cannot)?;
    let text = text_file::utf8(&file.bytes).map_err(cannot)?;
    let notice = file.notice.map(|notice| format!("{shown} {notice}"));
    let secrets = (1..)
        .zip(text.lines())
        .flat_map(|(number, line)| {
            texts(value(line)).map(move |text| (number, ReceiverSecret::new(text)))
        })
        .collect();
    Ok((secrets, notice))
}

/// Returns the value in a line of a file, without a variable's name, quotes and a comment.
fn value(line: &str) -> &str {
    let line = bare(line);
    if line.starts_with('#') {
        return "";
    }
    let line = line.strip_prefix("export ").map_or(line, bare);
    let is_name = |name: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(is_part) && !name.starts_with(PREFIX)
    };
    let value = match line.split_once('=') {
        Some((name, value)) if is_name(bare(name)) => bare(value),
        _ => line,
    };
    let comment = value
        .find([' ', '\t'])
        .filter(|at| bare(&value[*at..]).starts_with('#'));
    unquoted(comment.map_or(value, |at| &value[..at]))
}

/// Splits a list at its commas.
fn texts(list: &str) -> impl Iterator<Item = &str> {
    let entries = list.split(',').map(|entry| unquoted(bare(entry)));
    entries.filter(|entry| !entry.is_empty())
}

/// Trims white space and invisible characters, such as a zero-width space from a document.
fn bare(text: &str) -> &str {
    text.trim_matches(|char: char| char.is_whitespace() || is_invisible(char))
}

/// Removes quotes around a text, both straight and typographic ones.
fn unquoted(text: &str) -> &str {
    const QUOTES: [(char, char); 6] = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('\u{201c}', '\u{201d}'),
        ('\u{2018}', '\u{2019}'),
        ('\u{201e}', '\u{201c}'),
    ];
    let inner = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    QUOTES.into_iter().find_map(inner).map_or(text, bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_however_it_came_there() {
        for line in [
            "whsec_AA==",
            "  whsec_AA==\t",
            "\u{a0}whsec_AA==\u{a0}\u{3000}",
            "\u{200b}whsec_AA==\u{200b}",
            "\u{feff}whsec_AA==",
            "whsec_AA==\r",
            "\"whsec_AA==\"",
            "'whsec_AA=='",
            "\u{201c}whsec_AA==\u{201d}",
            "SECRET=whsec_AA==",
            "SECRET = 'whsec_AA=='",
            "export WEBHOOK_SECRET_1=\"whsec_AA==\"  # the new one",
            "whsec_AA== # the old one",
            "\"whsec_AA==\",",
        ] {
            assert!(
                texts(value(line)).eq(["whsec_AA=="]),
                "{line:?}: {:?}",
                value(line)
            );
        }
        for line in [
            "",
            " ",
            "#",
            "# whsec_AA==",
            "\u{feff}# x",
            "SECRET=",
            "SECRET=\"\"",
            "\u{200b}",
        ] {
            assert_eq!(texts(value(line)).next(), None, "{line:?}");
        }
        let several = "HOOKTURN_LISTEN_SECRETS='whsec_AA==, whsec_BB=='";
        assert!(texts(value(several)).eq(["whsec_AA==", "whsec_BB=="]));
        // Text that is not a variable's name is kept, so that the error is about the whole line.
        for line in ["a b=whsec_AA==", "whsec_x=whsec_AA==", "=whsec_AA=="] {
            assert!(!texts(value(line)).eq(["whsec_AA=="]), "{line:?}");
        }
    }
}
