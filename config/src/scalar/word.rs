//! One of a few words.

use schemars::{Schema, json_schema};

use super::{Leaf, Text, Wrong};
use crate::decode::closest;

/// An enum whose values are words in the file; made by [`word!`].
pub(crate) trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
    const EXPECTED: &'static str;
}

/// Words for the values of an enum, written once for reading, the schema and the dump.
macro_rules! word {
    ($name:ident is $expected:literal { $( $word:literal => $value:ident ),+ $(,)? }) => {
        impl $crate::scalar::Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$( ($word, Self::$value) ),+];
            const EXPECTED: &'static str = $expected;
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(match self { $( Self::$value => $word ),+ })
            }
        }
    };
}
pub(crate) use word;

impl<T: Word> Leaf for T {
    const EXPECTED: &'static str = <T as Word>::EXPECTED;

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let found = T::WORDS.iter().find(|(word, _)| *word == text.text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let wrong = Wrong::new(
                format!("is not {}", <T as Word>::EXPECTED),
                format!("write {}", choices::<T>()),
            );
            match closest(&text.text, T::WORDS.iter().map(|(word, _)| *word)) {
                Some(meant) => wrong.fix(format!("did you mean `{meant}`?")),
                None => wrong,
            }
        })
    }

    fn describe() -> Schema {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "title": choices::<T>(), "enum": words })
    }
}

fn choices<T: Word>() -> String {
    let words: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
    words.join(" or ")
}
