//! One of a few words.

use schemars::{Schema, json_schema};

use super::{Leaf, Text, Wrong};
use crate::decode::{closest, normal};

/// An enum whose values are words in the file; made by [`word!`].
pub(crate) trait Word: Copy + 'static {
    const WORDS: &'static [Spelling<Self>];
    const EXPECTED: &'static str;
}

/// A value and its word.
pub(crate) struct Spelling<T> {
    pub(crate) word: &'static str,
    /// What the value is called elsewhere; not accepted, but understood.
    pub(crate) elsewhere: &'static [&'static str],
    pub(crate) value: T,
}

/// Words for the values of an enum, written once for reading, the schema and the dump; in brackets
/// what they are called elsewhere, in lower case and without `_` and `-`.
macro_rules! word {
    ($name:ident is $expected:literal {
        $( $word:literal $([$($elsewhere:literal),+])? => $value:ident ),+ $(,)?
    }) => {
        impl $crate::scalar::Word for $name {
            const WORDS: &'static [$crate::scalar::Spelling<Self>] = &[$(
                $crate::scalar::Spelling {
                    word: $word,
                    elsewhere: &[$($($elsewhere),+)?],
                    value: Self::$value,
                }
            ),+];
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
        let found = T::WORDS.iter().find(|spelling| spelling.word == text.text);
        found.map(|spelling| spelling.value).ok_or_else(|| {
            let wrong = Wrong::new(
                format!("is not {}", <T as Word>::EXPECTED),
                format!("write {}", choices::<T>()),
            );
            let written = normal(&text.text);
            let foreign = |spelling: &&Spelling<T>| spelling.elsewhere.contains(&&*written);
            let foreign = T::WORDS.iter().find(foreign).map(|spelling| spelling.word);
            let words = T::WORDS.iter().map(|spelling| spelling.word);
            match foreign.or_else(|| closest(&text.text, words)) {
                Some(meant) => wrong.fix(format!("did you mean `{meant}`?")).instead(meant),
                None => wrong,
            }
        })
    }

    fn describe() -> Schema {
        let words: Vec<&str> = T::WORDS.iter().map(|spelling| spelling.word).collect();
        json_schema!({ "title": choices::<T>(), "enum": words })
    }
}

fn choices<T: Word>() -> String {
    let words: Vec<String> =
        T::WORDS.iter().map(|spelling| format!("`{}`", spelling.word)).collect();
    words.join(" or ")
}
