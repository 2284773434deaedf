//! Lists, names and "one or many".

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{At, Decode, Reader, respell};
use crate::{
    scalar::{Leaf as _, Name, Text, Word, Wrong},
    tree::{Kind, NodeId},
};

/// A list of at least `MIN`.
pub(crate) struct List<T, const MIN: usize>(pub(crate) Vec<At<T>>);

/// A single value, or a list of at least one.
pub(crate) struct OneOrMany<T>(pub(crate) Vec<At<T>>);

/// Values under names that the user chooses; at least one, in file order.
pub(crate) struct Named<T>(pub(crate) Vec<(String, At<T>)>);

impl<T: Decode, const MIN: usize> Decode for List<T, MIN> {
    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let items = match &reader.node(node).kind {
            Kind::List(items) => items,
            Kind::Mapping(_) => {
                let help = "write a list: each entry begins with `- `".to_owned();
                reader.unexpected(node, "a list", Some(help));
                return None;
            }
            Kind::Scalar(_) => {
                let list = respell::list::<Self>(node, reader);
                reader.unexpected(node, "a list", list.map(|list| format!("write `{list}`")));
                return None;
            }
        };
        if items.len() < MIN {
            reader.problem(node, "the list is empty", "write at least one entry");
            return None;
        }
        Some(Self(items.iter().map(|&item| At::read(item, reader)).collect()))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = T::schema(generator);
        json_schema!({ "type": "array", "items": items, "minItems": MIN })
    }
}

impl<T: Decode> Decode for OneOrMany<T> {
    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        match &reader.node(node).kind {
            Kind::List(_) => List::<T, 1>::decode(node, reader).map(|list| Self(list.0)),
            _ => Some(Self(vec![At::read(node, reader)])),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let one = T::schema(generator);
        let many = List::<T, 1>::schema(generator);
        json_schema!({ "anyOf": [one, many] })
    }
}

impl<T: Decode> Decode for Named<T> {
    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::Mapping(entries) = &reader.node(node).kind else {
            let block = respell::section::<T>(node, reader);
            let help = format!(
                "write each under its name: `app: {}`",
                block.as_deref().unwrap_or("{ ... }")
            );
            reader.unexpected(node, "a mapping of names", Some(help));
            return None;
        };
        if entries.is_empty() {
            reader.problem(node, "the mapping is empty", "write at least one name");
        }
        for entry in entries {
            let text = Text { text: entry.key.clone(), plain: false, written: None };
            if let Err(wrong) = Name::parse(&text) {
                reader.key_problem(
                    node,
                    entry,
                    format!("{} {}", text.shown(), wrong.what),
                    wrong.help,
                );
            }
        }
        Some(Self(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), At::read(entry.value, reader)))
                .collect(),
        ))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let value = T::schema(generator);
        json_schema!({
            "type": "object",
            "propertyNames": Name::describe(),
            "additionalProperties": value,
            "minProperties": 1
        })
    }
}

impl<T: Serialize, const MIN: usize> Serialize for List<T, MIN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A word that stands for a mapping, or the mapping.
pub(crate) enum WordOr<W, T> {
    Word(W),
    Mapping(T),
}

impl<W: Word, T: Decode> Decode for WordOr<W, T> {
    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        match &reader.node(node).kind {
            Kind::Scalar(scalar) if !scalar.is_null() => {
                let text = reader.text(node, <W as Word>::EXPECTED, true)?;
                W::parse(&text)
                    .map(Self::Word)
                    .map_err(|wrong| or_mapping::<T>(node, &text, wrong, reader))
                    .ok()
            }
            _ => T::decode(node, reader).map(Self::Mapping),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let word = W::schema(generator);
        let mapping = T::schema(generator);
        json_schema!({ "anyOf": [word, mapping] })
    }
}

/// Records a word that is none; the mapping that it stands for is offered before the words.
fn or_mapping<T: Decode>(node: NodeId, text: &Text, wrong: Wrong, reader: &mut Reader<'_>) {
    let block = respell::section::<T>(node, reader).filter(|_| wrong.fix.is_none());
    let wrong = match block {
        Some(block) => wrong.fix(format!("write `{block}`")),
        None => wrong,
    };
    reader.wrong(node, &text.shown(), wrong);
}

impl<W: Serialize, T: Serialize> Serialize for WordOr<W, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => word.serialize(serializer),
            Self::Mapping(mapping) => mapping.serialize(serializer),
        }
    }
}
