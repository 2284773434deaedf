//! Truth values.

use schemars::{Schema, json_schema};
use serde::Serialize;

use super::{Leaf, Text, Wrong};

/// `true` or `false`, and no other word: `no` is Norway to some readers.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Flag(pub(crate) bool);

impl Leaf for Flag {
    const EXPECTED: &'static str = "`true` or `false`";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        match text.bare()? {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            text => {
                let wrong = Wrong::new("is neither true nor false", "write `true` or `false`");
                Err(match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "1" | "y" => wrong.instead("true"),
                    "false" | "no" | "off" | "0" | "n" => wrong.instead("false"),
                    _ => wrong,
                })
            }
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "`true` or `false`", "type": "boolean" })
    }
}
