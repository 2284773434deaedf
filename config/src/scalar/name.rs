//! Names of listeners, routes, upstreams and policies.

use schemars::{Schema, json_schema};
use serde::Serialize;

use super::{Leaf, Text, Wrong};
use crate::decode::At;

/// A name: 1 to 200 printable ASCII characters, as it goes into metric labels and headers.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Name(pub(crate) String);

impl Name {
    /// The longest name, in characters.
    pub(crate) const LONGEST: usize = 200;

    /// The name that is written, or the derived one; `None` when the written one is wrong.
    pub(crate) fn or(written: Option<At<Self>>, derived: &str) -> Option<String> {
        match written {
            Some(name) => name.take().map(|name| name.0),
            None => Some(derived.to_owned()),
        }
    }
}

impl Leaf for Name {
    const EXPECTED: &'static str = "a name";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let name = text.string()?;
        let help = "write 1 to 200 printable ASCII characters, without spaces at the ends";
        if name.is_empty() {
            Err(Wrong::new("is not a name", help))
        } else if name == "-" {
            // The label of requests that never had a route.
            Err(Wrong::new("means none", "write a name"))
        } else if name.len() > Self::LONGEST {
            Err(Wrong::new("is too long for a name", help))
        } else if name.trim() != name || !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            Err(Wrong::new("has characters that a name cannot have", help))
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "name", "type": "string", "pattern": "^([!-,.-~]|[!-~][ -~]*[!-~])$", "maxLength": Self::LONGEST })
    }
}
