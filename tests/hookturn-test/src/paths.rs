//! Where things are.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The folder that the build puts its programs into.
///
/// Cargo tells where the program is only while it compiles the tests themselves, not this crate. A test lies in
/// `deps/` beside it.
fn programs() -> PathBuf {
    let this = std::env::current_exe().expect("a test is a program");
    let deps = this.parent().expect("a program lies in a folder");
    let programs = deps.parent().expect("deps lies beside the programs");
    programs.to_owned()
}

/// The program `hookturn`, as it was built with these tests.
pub fn program() -> PathBuf {
    let program = programs().join(format!("hookturn{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} was not built", program.display());
    program
}

/// Makes an empty directory on the disk that the build is on, which is removed with the value.
pub fn scratch() -> TempDir {
    let programs = programs();
    let target = programs.parent().expect("a folder for each profile");
    let folder = target.join("tmp");
    std::fs::create_dir_all(&folder).expect("the target directory is writable");
    tempfile::tempdir_in(folder).expect("the target directory is writable")
}

/// Makes an empty directory in memory, where the system has such a file system, which is removed with the value. It is
/// for tests that use files but are not about disks: nothing waits for a disk there.
pub fn scratch_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory for temporary files")
}

/// The file that stands beside a database: its path with `-wal`, `-shm` or `-lock` after it.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
