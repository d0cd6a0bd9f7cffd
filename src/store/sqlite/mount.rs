//! Finds out whether a file is a mount point itself. SQLite puts the log of such a file beside the
//! mount point, and that of the original file into another directory: each of the two paths would
//! have its own log.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The file in which Linux lists the mounts of this process.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Returns whether something is mounted at `real`, which is not a link. Returns false where the
/// system does not say.
pub(super) fn is_mount(real: &Path) -> bool {
    fs::read(MOUNTS).is_ok_and(|mounts| is_in(&mounts, real))
}

/// Returns whether the list of mounts has `real` as a mount point that is not hidden.
fn is_in(mounts: &[u8], real: &Path) -> bool {
    let mounts: Vec<Mount<'_>> = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(Mount::read)
        .collect();
    let at = mounts.iter().filter(|mount| mount.place == real);
    let is_hidden = |mount: &Mount<'_>| {
        // Another mount was made later, higher up on the same parent.
        mounts.iter().any(|other| {
            other.parent == mount.parent && other.place != real && real.starts_with(&other.place)
        })
    };
    let mut visible = at.filter(|mount| !is_hidden(mount));
    visible.next().is_some()
}

/// A line of the list (`proc_pid_mountinfo(5)`).
struct Mount<'a> {
    /// The id of the mount that it is on.
    parent: &'a [u8],
    place: PathBuf,
}

impl<'a> Mount<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ').skip(1);
        let parent = fields.next()?;
        let place = unescaped(fields.nth(2)?).into();
        Some(Self { parent, place })
    }
}

/// Decodes a path: spaces and the like are written as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escape = after.first_chunk::<3>().filter(|_| *first == b'\\');
        let digits = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_each_mount_is_found_whatever_its_name() {
        let mounts = b"22 1 8:1 / / rw - ext4 /dev/sda rw\n\
            96 22 8:1 /from/x.db /a\\040dir/y.db rw - ext4 /dev/sda rw\n\
            97 22 8:1 /z /back\\134slash rw - ext4 /dev/sda rw\n";
        for (path, expected) in [
            ("/", true),
            ("/a dir/y.db", true),
            ("/back\\slash", true),
            ("/a dir", false),
            ("/from/x.db", false),
            ("/a\\040dir/y.db", false),
        ] {
            assert_eq!(is_in(mounts, Path::new(path)), expected, "{path}");
        }
        assert!(is_mount(Path::new("/proc")));
        let hidden = b"96 22 8:1 /x.db /b/h.db rw - ext4 /dev/sda rw\n\
            97 22 0:9 / /b rw - tmpfs tmpfs rw\n";
        assert!(!is_in(hidden, Path::new("/b/h.db")));
        let visible = b"97 22 0:9 / /b rw - tmpfs tmpfs rw\n\
            96 97 8:1 /x.db /b/h.db rw - ext4 /dev/sda rw\n";
        assert!(is_in(visible, Path::new("/b/h.db")));
    }
}
