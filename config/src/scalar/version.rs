//! The version of the format.

use schemars::{Schema, json_schema};
use serde::Serialize;

use super::{Leaf, Text, Wrong};

/// The one version there is.
#[derive(Serialize)]
pub(crate) struct Version(u32);

impl Version {
    pub(crate) const CURRENT: Self = Self(1);
}

impl Leaf for Version {
    const EXPECTED: &'static str = "the version 1";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        match text.bare()? {
            "1" => Ok(Self::CURRENT),
            _ => Err(Wrong::new("is not a version that this sidecar reads", "write `1`")),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "`1`", "type": "integer", "const": 1 })
    }
}
