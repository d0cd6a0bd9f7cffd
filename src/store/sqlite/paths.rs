//! Computes the paths of the database and of the files beside it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::mount::is_mount;
use super::open_error::OpenError;

/// How many links may follow one another, as on Linux.
const MOST_LINKS: usize = 40;

/// Returns the path of the file beside `path` whose name has this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}

/// Returns the options that open a file for writing, and make it readable only by its owner. The
/// files that SQLite puts beside a database get the same mode.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o600);
    options
}

/// Resolves the links in the path of a file that may not exist yet. Refuses a directory, a pipe and
/// the like.
///
/// # Errors
///
/// [`OpenError`] when no file can be there.
pub(super) fn real_path(path: &Path) -> Result<PathBuf, OpenError> {
    let system = |error: io::Error| OpenError::System(path.to_owned(), error.to_string());
    match fs::metadata(path) {
        // Opening a pipe would wait.
        Ok(found) if !found.is_file() => return Err(OpenError::Foreign(path.to_owned())),
        // By each name it would have another log.
        Ok(found) if found.nlink() > 1 => return Err(OpenError::Linked(path.to_owned())),
        _ => {}
    }
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(real) if is_mount(&real) => return Err(OpenError::Mounted(path.to_owned())),
        real => return real.map_err(system),
    }
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory_of(&path).join(target),
            Err(_) => break,
        }
    }
    let name = path.file_name().ok_or(io::ErrorKind::NotFound);
    let name = name.map_err(|error| system(error.into()))?;
    let directory = directory_of(&path).canonicalize().map_err(system)?;
    Ok(directory.join(name))
}

/// Returns the directory of a file.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
