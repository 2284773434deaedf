//! A value, or a word that stands for one that is not known yet.

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Word, Wrong};

/// `adaptive` or `64`, `auto` or `50ms`.
#[derive(Clone, Copy)]
pub(crate) enum Or<W, T> {
    Word(W),
    Value(T),
}

impl<W, T> Or<W, T> {
    /// The value, where it is not the word.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Word(_) => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<W: Word, T: Leaf> Leaf for Or<W, T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let as_word = match W::parse(text) {
            Ok(word) => return Ok(Self::Word(word)),
            Err(wrong) => wrong,
        };
        T::parse(text).map(Self::Value).map_err(|wrong| match as_word.instead {
            // A slip of the word, or what it is called elsewhere.
            Some(meant) if wrong.instead.is_none() => wrong.instead(meant),
            _ => Wrong { help: format!("{}, or {}", wrong.help, as_word.help), ..wrong },
        })
    }

    fn describe() -> Schema {
        let (word, value) = (W::describe(), T::describe());
        let title = |schema: &Schema| {
            schema.get("title").and_then(|title| title.as_str()).unwrap_or_default().to_owned()
        };
        let title = format!("{} or {}", title(&word), title(&value));
        json_schema!({ "title": title, "anyOf": [word, value] })
    }
}

impl<W: Serialize, T: Serialize> Serialize for Or<W, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => word.serialize(serializer),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}
