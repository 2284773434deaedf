//! A path as the service behind may read it.
//!
//! A caller must not come round the policies of a route by spelling its path in another way. Which
//! spellings are one path is for the service behind to say, and those that say most (nginx, Go's
//! `ServeMux` after its redirect) decode percent signs once, merge slashes and resolve dot segments,
//! in this order. So do routes; what is forwarded stays as it was sent.

use std::{borrow::Cow, fmt::Write};

use percent_encoding::percent_decode_str;

/// The one spelling that routes are matched on. Most paths have it already and are not copied.
///
/// Dot segments do not leave the root (RFC 3986, section 5.2.4). Control characters stay encoded: a
/// line feed would escape the `.` of a regular expression that took the path as it was sent.
pub(super) fn normalised(path: &str) -> Cow<'_, str> {
    if is_plain(path.as_bytes()) {
        return path.into();
    }
    let decoded = decoded(path);
    let mut segments: Vec<&str> = Vec::new();
    // A path that ends in a dot segment names a folder.
    let mut folder = false;
    for segment in decoded.split('/') {
        folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut normalised = String::with_capacity(decoded.len() + 1);
    for segment in &segments {
        normalised.push('/');
        normalised.push_str(segment);
    }
    if folder || segments.is_empty() {
        normalised.push('/');
    }
    normalised.into()
}

fn is_plain(path: &[u8]) -> bool {
    !path.contains(&b'%') && !path.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

fn decoded(path: &str) -> String {
    let mut decoded = Vec::with_capacity(path.len());
    for byte in percent_decode_str(path) {
        if byte.is_ascii_control() {
            let mut encoded = String::new();
            // A String takes every write.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
            decoded.extend_from_slice(encoded.as_bytes());
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_becomes_one_path() {
        for (spelt, path) in [
            ("/rate/x", "/rate/x"),
            ("/%72ate/x", "/rate/x"),
            ("/rate%2Fx", "/rate/x"),
            ("/rate%2fx", "/rate/x"),
            ("//rate/x", "/rate/x"),
            ("/rate///x", "/rate/x"),
            ("/%2frate/x", "/rate/x"),
            ("/x/../rate/x", "/rate/x"),
            ("/x/%2e%2E/rate/x", "/rate/x"),
            ("/x%2f..%2frate/x", "/rate/x"),
            ("/x//../rate/x", "/rate/x"),
            ("/./rate/x", "/rate/x"),
            ("/../../rate/x", "/rate/x"),
            ("/rate/x/.", "/rate/x/"),
            ("/rate/x/..", "/rate/"),
            ("/rate/x//", "/rate/x/"),
            ("/..", "/"),
            ("//", "/"),
            ("/.rate/x..", "/.rate/x.."),
            ("/.../x", "/.../x"),
            // Decoded once, as services do.
            ("/%2572ate/x", "/%72ate/x"),
            ("/50%/x", "/50%/x"),
            ("/a%0ab", "/a%0Ab"),
            ("/caf%C3%A9", "/café"),
            ("/%ff", "/\u{fffd}"),
        ] {
            assert_eq!(normalised(spelt), path, "{spelt}");
        }
    }

    #[test]
    fn a_path_in_its_one_spelling_is_not_copied() {
        for path in ["/", "/a/b.c/", "/a..b", ""] {
            assert!(matches!(normalised(path), Cow::Borrowed(same) if same == path), "{path}");
        }
    }
}
