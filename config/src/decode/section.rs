//! Mappings whose keys are known.

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::{At, Decode, Reader, respell, suggest};
use crate::tree::{Entry, Kind, NodeId};

/// A mapping that may be left out, because all its keys may.
pub(crate) struct Section<T>(pub(crate) At<T>);

/// How a key is read, by the type of its field.
pub(crate) trait Field: Sized {
    /// Whether the key must be there.
    const REQUIRED: bool;

    fn read(owner: NodeId, key: &str, found: Option<NodeId>, reader: &mut Reader<'_>) -> Self;

    fn schema(generator: &mut SchemaGenerator) -> Schema;

    /// Whether `config show` leaves it out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// What [`section!`] writes for a struct.
pub(crate) trait Keys: Decode {
    /// Reads the section from the entries of `owner`; of none when it was left out.
    fn from_entries(owner: NodeId, entries: &[Entry], reader: &mut Reader<'_>) -> Self;
}

impl<T: Decode> Field for At<T> {
    const REQUIRED: bool = true;

    fn read(owner: NodeId, key: &str, found: Option<NodeId>, reader: &mut Reader<'_>) -> Self {
        match found {
            Some(node) => Self::read(node, reader),
            None => {
                let example = suggest::example(key, reader);
                reader.missing(owner, key, &example);
                Self { value: None, node: owner, written: false }
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }

    fn is_absent(&self) -> bool {
        self.value.is_none()
    }
}

impl<T: Decode> Field for Option<At<T>> {
    const REQUIRED: bool = false;

    fn read(_: NodeId, _: &str, found: Option<NodeId>, reader: &mut Reader<'_>) -> Self {
        found.map(|node| At::read(node, reader))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Decode + Keys> Field for Section<T> {
    const REQUIRED: bool = false;

    fn read(owner: NodeId, _: &str, found: Option<NodeId>, reader: &mut Reader<'_>) -> Self {
        match found {
            Some(node) => Self(At::read(node, reader)),
            None => Self::absent(owner, reader),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }

    fn is_absent(&self) -> bool {
        self.0.value.is_none()
    }
}

impl<T: Keys> Section<T> {
    /// The section with nothing but defaults.
    pub(crate) fn absent(owner: NodeId, reader: &mut Reader<'_>) -> Self {
        Self(At { value: Some(T::from_entries(owner, &[], reader)), node: owner, written: false })
    }
}

impl<T: Serialize> Serialize for Section<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T> At<T> {
    /// A key with a default.
    pub(crate) fn or(
        owner: NodeId,
        found: Option<NodeId>,
        default: T,
        reader: &mut Reader<'_>,
    ) -> Self
    where
        T: Decode,
    {
        match found {
            Some(node) => Self::read(node, reader),
            None => Self { value: Some(default), node: owner, written: false },
        }
    }
}

/// Reads a section's node. A key that is unknown, but most likely means one that is not written, is read
/// as that: what is below it is checked too, and nothing seems to be missing.
pub(crate) fn decode<T: Keys>(node: NodeId, reader: &mut Reader<'_>) -> Option<T> {
    let Kind::Mapping(entries) = &reader.node(node).kind else {
        let help = instead_of_a_section::<T>(node, reader);
        reader.unexpected(node, "a mapping of keys", Some(help));
        return None;
    };
    let unknown = |entry: &&Entry| !T::KEYS.contains(&entry.key.as_str());
    if entries.iter().filter(unknown).count() > 1
        && let Some(block) = respell::mapping::<T>(entries, true, reader)
    {
        reader.problem(node, "keys are spelled otherwise here", format!("write `{block}`"));
        return None;
    }
    let mut read = entries.clone();
    if let Some(joined) = respell::host_and_port::<T>(entries, reader) {
        let help = format!("write `{}` for both", joined.pair);
        let first = &entries[joined.host.min(joined.port)];
        reader.key_problem(node, first, "a host and a port are one value here".to_owned(), help);
        reader.tell_no_more(entries[joined.host].value);
        read[joined.host].key = joined.key.to_owned();
        read.remove(joined.port);
    }
    for at in 0..read.len() {
        let entry = read[at].clone();
        if unknown(&&entry) {
            let guess = suggest::key(&entry, &read, T::KEYS, reader);
            let what = format!("there is no key `{}` here", crate::diagnostics::cut(&entry.key));
            reader.key_problem(node, &entry, what, guess.help);
            read[at].key = guess.meant.map_or(entry.key, str::to_owned);
        }
    }
    Some(T::from_entries(node, &read, reader))
}

fn instead_of_a_section<T: Keys>(node: NodeId, reader: &Reader<'_>) -> String {
    let section = respell::switched_on::<T>(node, reader);
    match section.or_else(|| respell::section::<T>(node, reader)) {
        Some(section) => format!("write `{section}`"),
        None => format!("write some of these keys, or leave it out: {}", T::KEYS.join(", ")),
    }
}

/// Whether a section has a key that is none: what seems to be missing may be that.
pub(crate) fn has_unknown_key<T: Keys>(node: NodeId, reader: &Reader<'_>) -> bool {
    reader.node(node).entries().iter().any(|entry| !T::KEYS.contains(&entry.key.as_str()))
}

pub(crate) fn find(entries: &[Entry], key: &str) -> Option<NodeId> {
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.value)
}

/// A mapping's keys, written once: this makes the struct, its reader, its schema and its dump.
///
/// A field is `At<T>` (required), `At<T> = default`, `Option<At<T>>` or `Section<T>`; its doc is the
/// key's description.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        struct $name:ident {
            $( $(#[doc = $help:literal])+ $field:ident : $ty:ty $(= $default:expr)? , )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(serde::Serialize)]
        pub(crate) struct $name {
            $(
                $(#[doc = $help])+
                #[serde(skip_serializing_if = "crate::decode::Field::is_absent")]
                pub(crate) $field: $ty,
            )+
        }

        impl $crate::decode::Keys for $name {
            fn from_entries(
                owner: $crate::tree::NodeId,
                entries: &[$crate::tree::Entry],
                reader: &mut $crate::decode::Reader<'_>,
            ) -> Self {
                Self {
                    $( $field: {
                        let key = $crate::decode::key_name(stringify!($field));
                        let found = $crate::decode::find(entries, key);
                        section!(@read $ty, owner, key, found, reader $(, $default)?)
                    } ),+
                }
            }
        }

        impl $crate::decode::Decode for $name {
            const KEYS: &'static [&'static str] = &[$( $crate::decode::key_name(stringify!($field)) ),+];

            fn decode(
                node: $crate::tree::NodeId,
                reader: &mut $crate::decode::Reader<'_>,
            ) -> Option<Self> {
                $crate::decode::decode_section(node, reader)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).trim_end_matches("Yaml").into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut object = $crate::schema::Object::new(concat!($($doc),+));
                $(
                    let key = $crate::decode::key_name(stringify!($field));
                    let schema = <$ty as $crate::decode::Field>::schema(generator);
                    object.key(key, schema, concat!($($help),+));
                    section!(@bound object, key, $ty $(, $default)?);
                )+
                object.finish()
            }
        }
    };
    (@read $ty:ty, $owner:ident, $key:ident, $found:ident, $reader:ident) => {
        <$ty as $crate::decode::Field>::read($owner, $key, $found, $reader)
    };
    (@read $ty:ty, $owner:ident, $key:ident, $found:ident, $reader:ident, $default:expr) => {
        $crate::decode::At::or($owner, $found, $default, $reader)
    };
    (@bound $object:ident, $key:ident, $ty:ty) => {
        if <$ty as $crate::decode::Field>::REQUIRED {
            $object.required($key);
        }
    };
    (@bound $object:ident, $key:ident, $ty:ty, $default:expr) => {
        let default: $ty = $crate::decode::At::of($default);
        $object.default($key, &default);
    };
}
pub(crate) use section;

/// A field's key: `r#match` is written `match`.
pub(crate) const fn key_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}
