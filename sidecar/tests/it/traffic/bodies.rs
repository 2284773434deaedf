//! Large bodies: whole, byte for byte, and none of them kept on the way.

use std::{fs, path::Path};

use super::{
    clinic::before,
    curl::curl,
    process::{Server, python, tool},
};

const LENGTH: usize = 64 << 20;
/// Far more than windows and socket buffers need, far less than a body.
const GROWTH_MAX: u64 = 24 << 20;

const CLIENTS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// Bytes that do not repeat within any buffer.
fn large_file(file: &Path) {
    let words = (0..LENGTH / 8).map(|place| (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    fs::write(file, words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()).unwrap();
}

fn sha256(file: &Path) -> String {
    let summed = tool("sha256sum").arg(file).output().unwrap();
    assert!(summed.status.success());
    String::from_utf8_lossy(&summed.stdout).split(' ').next().unwrap().to_owned()
}

#[test]
fn large_bodies_pass_both_ways_and_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let sent = folder.path().join("sent");
    large_file(&sent);
    let digest = sha256(&sent);
    let store = Server::start(python("store.py").arg(folder.path()));
    let weir = before(&store.address(), "limits: { body: 65MiB }, timeout: { total: 60s }");
    assert_eq!(curl(&[weir.url("/small")]).status(), 404);
    let before = weir.memory("VmRSS");
    for client in CLIENTS {
        let put = curl(&[client, "--upload-file", &sent.display().to_string(), &weir.url("/kept")]);
        assert_eq!((put.status(), put.text().trim()), (200, digest.as_str()), "{client} up");
        let received = folder.path().join("received");
        let get = curl(&[client, "--output", &received.display().to_string(), &weir.url("/kept")]);
        assert_eq!((get.status(), sha256(&received)), (200, digest.clone()), "{client} down");
    }
    let peak = weir.memory("VmHWM");
    assert!(peak < before + GROWTH_MAX, "grew from {before} to {peak} bytes");
}
