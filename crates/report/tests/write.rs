//! A report is written whole or not at all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use weightscope_report::write_atomic;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writing to `path` fails with a message that names it and holds `reason`.
fn refused(path: &Path, reason: &str) {
    let error = write_atomic(path, b"new").unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
    assert!(message.contains(reason), "{message}");
}

#[test]
fn a_new_file_and_an_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    write_atomic(&path, b"one").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");
    write_atomic(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["report.json"]);
}

#[test]
fn folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), "is a folder");
    refused(&folder.path().join(".."), "is a folder");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    refused(&folder.path().join("none").join("report.json"), "folder does not exist");
    let file = folder.path().join("file");
    fs::write(&file, "old").unwrap();
    refused(&file.join("report.json"), "cannot be written");
    assert_eq!(fs::read(&file).unwrap(), b"old");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;

    #[test]
    fn permissions_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        // A new file is as readable as any that the user creates.
        let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
        write_atomic(&ours, b"new").unwrap();
        fs::write(&usual, "new").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }

    #[test]
    fn an_unwritable_folder_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        // The superuser may write anywhere.
        let superuser = fs::write(folder.path().join("probe"), "").is_ok();
        if !superuser {
            refused(&path, "cannot be written");
            assert_eq!(names(folder.path()), ["report.json"]);
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_full_disk_keeps_the_old_file() {
        // A limit on file sizes fails the write as a full disk does, in a shell of its own.
        const CHILD: &str = "WEIGHTSCOPE_TEST_CHILD";
        if let Some(path) = std::env::var_os(CHILD) {
            let error = write_atomic(Path::new(&path), &vec![b'x'; 1 << 20]).unwrap_err();
            assert!(error.to_string().contains("cannot be written"), "{error}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        let status = Command::new("sh")
            .arg("-c")
            .arg("trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact unix::a_full_disk_keeps_the_old_file")
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, &path)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["report.json"]);
    }

    #[test]
    fn devices_and_pipes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        refused(&fifo, "is not a regular file");
        assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
        refused(Path::new("/dev/null"), "is not a regular file");
        let link = folder.path().join("link");
        symlink("/dev/null", &link).unwrap();
        refused(&link, "is not a regular file");
        assert_eq!(names(folder.path()), ["fifo", "link"]);
    }

    #[test]
    fn links_are_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, link) = (folder.path().join("inner"), folder.path().join("link"));
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("report.json"), "old").unwrap();
        symlink("inner/report.json", &link).unwrap();
        write_atomic(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(inner.join("report.json")).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["inner", "link"]);
        assert_eq!(names(&inner), ["report.json"]);

        let dangling = folder.path().join("dangling");
        symlink("nowhere", &dangling).unwrap();
        refused(&dangling, "is a symbolic link to nothing");
    }

    #[test]
    fn control_characters_of_a_path_are_spelled_out() {
        let error = write_atomic(Path::new("/nowhere/\u{1b}[31m"), b"").unwrap_err();
        assert_eq!(error.path(), r"/nowhere/\u{1b}[31m");
        assert_eq!(error.reason(), "cannot be written: its folder does not exist");
    }
}
