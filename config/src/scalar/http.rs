//! What stands in a request's head.

use std::net::{IpAddr, Ipv6Addr};

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};

/// A header's name, kept in lower case.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HeaderName(pub(crate) String);

/// A header's value; may be empty where that is written, for a variable that is empty by mistake must
/// not let every request through.
#[derive(Clone)]
pub(crate) struct HeaderValue {
    pub(crate) value: String,
    /// As the file has it, when a variable took part.
    pub(crate) written: Option<String>,
}

/// A host without its port, in lower case; `*.` before it takes its subdomains.
#[derive(Clone, Serialize)]
pub(crate) struct Host(pub(crate) String);

/// The one name, or address, that a certificate is verified for.
#[derive(Clone, Serialize)]
pub(crate) struct ServerName(pub(crate) String);

/// A method, in upper case.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Method(pub(crate) String);

/// The name of a cookie or of a query parameter.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Param(pub(crate) String);

/// An `http://` or `https://` address with a host.
#[derive(Clone, Serialize)]
pub(crate) struct Url(pub(crate) String);

/// RFC 9110, section 5.6.2.
const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&byte))
}

impl Leaf for HeaderName {
    const EXPECTED: &'static str = "the name of a header";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let name = text.string()?;
        match is_token(name) {
            true => Ok(Self(name.to_ascii_lowercase())),
            false => {
                Err(Wrong::new("is not the name of a header", "write a name such as `x-api-key`"))
            }
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "name of a header", "type": "string", "pattern": TOKEN })
    }
}

impl Serialize for HeaderValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.value)
    }
}

impl Leaf for HeaderValue {
    const EXPECTED: &'static str = "the value of a header";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let value = text.string()?;
        if value.is_empty() && text.written.is_some() {
            return Err(Wrong::new(
                "is empty, and an empty value would take any",
                "set the variable; write `\"\"` itself where any value is meant",
            ));
        }
        match value.trim() == value && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            true => Ok(Self { value: value.to_owned(), written: text.written.clone() }),
            false => Err(Wrong::new(
                "is not the value of a header",
                "write printable ASCII, without spaces at the ends",
            )),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "value of a header", "type": "string", "pattern": "^([!-~]([ -~]*[!-~])?)?$" })
    }
}

impl Leaf for Host {
    const EXPECTED: &'static str = "a host name";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let host = text.string()?;
        let bare = host.strip_prefix("*.").unwrap_or(host);
        let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let help =
            "write the host without port and scheme, such as `api.example.org` or `*.example.org`";
        match is_domain(bare) || v6.is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()) {
            true => Ok(Self(host.to_ascii_lowercase())),
            false => Err(Wrong::new("is not a host name", help)),
        }
    }

    fn describe() -> Schema {
        let pattern = r"^((\*\.)?[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])$";
        json_schema!({ "title": "host name", "type": "string", "pattern": pattern, "maxLength": 255 })
    }
}

impl Leaf for ServerName {
    const EXPECTED: &'static str = "the name in a certificate";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let name = text.string()?;
        match is_domain(name) || name.parse::<IpAddr>().is_ok() {
            true => Ok(Self(name.to_ascii_lowercase())),
            false => Err(Wrong::new(
                "is not a name to verify",
                "write a whole name, such as `api.example.org`",
            )),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "host name or IP address", "type": "string", "pattern": "^[0-9A-Za-z._:-]+$", "maxLength": 253 })
    }
}

/// Labels of letters, digits, `-` and `_`, as DNS and containers' names have them.
pub(super) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl Leaf for Method {
    const EXPECTED: &'static str = "a method such as GET";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let method = text.string()?;
        let help = "write the method in upper case, such as `GET`";
        if is_token(method) && method.to_ascii_uppercase() == method {
            Ok(Self(method.to_owned()))
        } else if is_token(method) {
            Err(Wrong::new("is not in upper case", help).instead(method.to_ascii_uppercase()))
        } else {
            Err(Wrong::new("is not a method", help))
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "method", "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Z-]+$" })
    }
}

impl Leaf for Param {
    const EXPECTED: &'static str = "the name of a cookie or parameter";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let name = text.string()?;
        match is_token(name) {
            true => Ok(Self(name.to_owned())),
            false => Err(Wrong::new(
                "is not the name of a cookie or parameter",
                "write a name such as `session`",
            )),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "name of a cookie or parameter", "type": "string", "pattern": TOKEN })
    }
}

impl Leaf for Url {
    const EXPECTED: &'static str = "a URL such as http://127.0.0.1:6060/debug/pprof/";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let url = text.string()?;
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        match !host.is_empty()
            && !host.starts_with(':')
            && url.bytes().all(|byte| byte.is_ascii_graphic())
        {
            true => Ok(Self(url.to_owned())),
            false => Err(Wrong::new(
                "is not a URL",
                "write a URL such as `http://127.0.0.1:6060/debug/pprof/`",
            )),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "URL", "type": "string", "pattern": "^https?://[^/:][!-~]*$" })
    }
}
