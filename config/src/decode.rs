//! Tree -> the structs that say which keys there are.
//!
//! Like serde, with three differences that serde's model rules out: a problem is recorded and reading
//! goes on, every value remembers its place for the checks that need two of them, and a section's
//! keys, defaults, docs and bounds are written once for reading, for the schema and for `config show`
//! (see [`section!`]).

mod places;
mod reader;
mod respell;
mod section;
mod shape;
mod suggest;

pub(crate) use places::is_key;
pub(crate) use reader::Reader;
pub(crate) use section::{
    Field, Keys, Section, decode as decode_section, find, has_unknown_key, key_name, section,
};
pub(crate) use shape::{List, Named, OneOrMany, WordOr};
pub(crate) use suggest::{closest, example, normal};

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::{
    scalar::Leaf,
    tree::{NodeId, Tree},
};

/// What can be read from a node.
pub(crate) trait Decode: Sized {
    /// The keys of a mapping whose keys are known.
    const KEYS: &'static [&'static str] = &[];

    /// The value; `None` when something is wrong, which is then recorded.
    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self>;

    /// What a node must look like.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// A value and the node it came from; for a default, the node of the section around it.
///
/// `None` is a value that was wrong: its problem is recorded, and what depends on it is left out.
pub(crate) struct At<T> {
    value: Option<T>,
    node: NodeId,
    written: bool,
}

impl<T> At<T> {
    /// A value as if it had been written.
    pub(crate) fn of(value: T) -> Self {
        Self { value: Some(value), node: Tree::ROOT, written: true }
    }

    /// A key that `config show` leaves out.
    pub(crate) fn absent() -> Self {
        Self { value: None, node: Tree::ROOT, written: false }
    }

    /// A value that stands for what is written at `node`.
    pub(crate) fn placed(value: T, node: NodeId) -> Self {
        Self { value: Some(value), node, written: true }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    pub(crate) fn take(self) -> Option<T> {
        self.value
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Whether the file has it, rather than a default.
    pub(crate) fn written(&self) -> bool {
        self.written
    }

    fn read(node: NodeId, reader: &mut Reader<'_>) -> Self
    where
        T: Decode,
    {
        Self { value: T::decode(node, reader), node, written: true }
    }
}

/// An optional key: `None` when it is written and wrong.
pub(crate) fn optional<T>(key: Option<At<T>>) -> Option<Option<T>> {
    key.map_or(Some(None), |at| at.take().map(Some))
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: Leaf> Decode for T {
    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, T::EXPECTED, T::HIDDEN.is_none())?;
        match T::parse(&text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let subject = T::HIDDEN.map_or_else(|| text.shown(), str::to_owned);
                reader.wrong(node, &subject, wrong);
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        match T::HIDDEN {
            Some(_) => T::describe(),
            None => crate::schema::or_variable(T::describe(), generator),
        }
    }
}
