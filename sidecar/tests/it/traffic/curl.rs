//! curl, told and read.

use std::process::Stdio;

use super::{message::Message, process::tool};

/// The answer to `curl ARGUMENTS`.
pub(crate) fn curl<A: AsRef<str>>(arguments: &[A]) -> Message {
    let (code, answer, said) = curl_to_its_end(arguments);
    assert_eq!(code, 0, "curl {:?}: {said}", words(arguments));
    answer
}

/// Its exit code, the last answer it saw, and everything it said beside the body.
pub(crate) fn curl_to_its_end<A: AsRef<str>>(arguments: &[A]) -> (i32, Message, String) {
    let ran = tool("curl")
        .args(["--silent", "--show-error", "--max-time", "30", "--dump-header", "/dev/stderr"])
        .args(words(arguments))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let code = ran.status.code().expect("curl ends by itself");
    (code, Message { body: ran.stdout, ..last_head(&said) }, said)
}

/// Statuses of answers in a row; over HTTP/1.1 on one connection.
///
/// curl before 8.0 fails on the second request of a connection that speaks HTTP/2 with prior
/// knowledge, to any server; so there each URL is asked by itself.
pub(crate) fn statuses(protocol: &str, urls: &[&str]) -> Vec<u16> {
    if protocol != "--http1.1" {
        return urls.iter().map(|url| curl(&[protocol, url]).status()).collect();
    }
    let (code, _, said) = curl_to_its_end(&[&[protocol], urls].concat());
    assert_eq!(code, 0, "{said}");
    heads(&said).map(|head| Message::of_head(head).status()).collect()
}

fn words<A: AsRef<str>>(arguments: &[A]) -> Vec<&str> {
    arguments.iter().map(AsRef::as_ref).collect()
}

fn last_head(said: &str) -> Message {
    heads(said).last().map(Message::of_head).unwrap_or_default()
}

fn heads(said: &str) -> impl Iterator<Item = &str> {
    said.split("\r\n\r\n").filter(|head| head.starts_with("HTTP/"))
}
