//! Finds and creates files and folders.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Returns the folder that contains the built programs.
///
/// Cargo gives the path of the program only to the tests themselves, not to this crate. Test
/// programs are in `deps/` in the same folder.
fn programs() -> PathBuf {
    let this = std::env::current_exe().expect("the path of the test program");
    let deps = this.parent().expect("the test program is in a folder");
    let programs = deps
        .parent()
        .expect("deps is in the folder of the programs");
    programs.to_owned()
}

/// Returns the path of the program `hookturn`, which was built with these tests.
pub fn program() -> PathBuf {
    let program = programs().join(format!("hookturn{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} was not built", program.display());
    program
}

/// Creates an empty directory on the disk of the build. It is removed when the value is dropped.
pub fn scratch() -> TempDir {
    let programs = programs();
    let target = programs.parent().expect("a folder for each profile");
    let folder = target.join("tmp");
    std::fs::create_dir_all(&folder).expect("the target directory is writable");
    tempfile::tempdir_in(folder).expect("the target directory is writable")
}

/// Creates an empty directory in memory, if the system has such a file system. It is removed when
/// the value is dropped. Use it for tests that need files but are not about disks: nothing waits
/// for a disk there.
pub fn scratch_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory for temporary files")
}

/// Returns the path of a file beside a database: the path of the database followed by `suffix`,
/// `-wal`, `-shm` or `-lock`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
