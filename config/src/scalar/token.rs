//! Credentials, which only ever come from the environment.

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};
use crate::Secret;

/// A secret written as `${VAR}` or `${VAR:?why}`.
pub(crate) struct Token(pub(crate) Secret);

const HELP: &str = "keep it in the environment and write `${WEIR_ADMIN_TOKEN}`";
/// The whole scalar is one variable, without a default that would put the secret into the file.
const WRITTEN: &str = r"^\$\{[A-Za-z_][A-Za-z0-9_]*(:\?[^}]*)?\}$";

impl Leaf for Token {
    const EXPECTED: &'static str = "a variable such as ${WEIR_ADMIN_TOKEN}";
    const HIDDEN: Option<&'static str> = Some("the token");

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let Some(written) = &text.written else {
            return Err(Wrong::new("stands in the file itself", HELP));
        };
        let inside = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let Some(inside) = inside.filter(|inside| !inside.contains(['$', '}'])) else {
            return Err(Wrong::new("stands in the file in part", HELP));
        };
        if let Some((name, _)) = inside.split_once(":-") {
            let help = format!("write `${{{name}}}`, and set {name} in the sidecar's environment");
            return Err(Wrong::new("has a default, which would stand in the file", help));
        }
        match !text.text.is_empty() && text.text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(Secret { value: text.text.clone(), written: written.clone() })),
            false => Err(Wrong::new(
                "is empty, or has characters that a header cannot carry",
                "set the variable to visible ASCII",
            )),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "a variable: `${VAR}` or `${VAR:?why}`", "type": "string", "pattern": WRITTEN })
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.written)
    }
}
