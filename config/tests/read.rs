//! What is no configuration file is refused before it is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::net::UnixListener, path::Path, process::Command};

use weir_config::{FILE_BYTES_MAX, read};

#[track_caller]
fn refused(path: &Path, expected: &str) {
    let printed = read(path, &|_| None).unwrap_err().to_string();
    let printed = printed.replace(path.to_str().unwrap(), "weir.yaml");
    assert!(printed.starts_with(&format!("weir.yaml: {expected}")), "{printed}");
    assert!(printed.contains("help: "), "{printed}");
}

#[test]
fn a_file_is_read_and_named_in_its_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.yaml");
    fs::write(
        &path,
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/minimal.yaml")).unwrap(),
    )
    .unwrap();
    assert_eq!(read(&path, &|_| None).unwrap().config.upstreams.len(), 1);
    fs::write(&path, "version: 2").unwrap();
    assert!(read(&path, &|_| None).unwrap_err().to_string().contains("weir.yaml:1:10: version: "));
}

#[test]
fn what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), "this is a directory");
    refused(&folder.path().join("absent.yaml"), "cannot be read: ");
    refused(Path::new("/dev/zero"), "this is not a regular file");

    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    refused(&socket, "this is not a regular file");

    // Opening it would wait for a writer.
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(&pipe, "this is not a regular file");
}

#[test]
fn what_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.yaml");
    fs::write(&path, b"version: 1\nadmin: \xff\xfe\n").unwrap();
    refused(&path, "line 2 is not UTF-8 text");
    fs::write(&path, b"\x7fELF\x02\x01\x01\x00\x80").unwrap();
    refused(&path, "line 1 is not UTF-8 text");
}

#[test]
fn size_is_asked_before_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.yaml");
    // Sparse: were it read, it would be refused as text that is no YAML.
    fs::File::create(&path).unwrap().set_len(2 << 20).unwrap();
    refused(&path, "the file is larger than 1 MiB");

    let comment = "#".repeat(usize::try_from(FILE_BYTES_MAX).unwrap());
    fs::write(&path, &comment).unwrap();
    assert!(read(&path, &|_| None).unwrap_err().to_string().contains("the file is empty"));
    fs::write(&path, comment + "#").unwrap();
    refused(&path, "the file is larger than 1 MiB");
}
