//! Tree -> the structs that say which keys there are.
//!
//! Like serde, with three differences that serde's model rules out: a problem is recorded and reading
//! goes on, every value remembers its place for the checks that need two of them, and a section's
//! keys, defaults, docs and bounds are written once for reading, for the schema and for `config show`
//! (see [`section!`]).

mod section;
mod shape;
mod suggest;

pub(crate) use section::{Field, Keys, Section, decode as decode_section, find, key_name, section};
pub(crate) use shape::{List, Named, OneOrMany, WordOr};
pub(crate) use suggest::closest;

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::{
    diagnostics::{Problem, Report},
    scalar::{Leaf, Text},
    tree::{Entry, Kind, Node, NodeId, Tree},
    variable::{self, Environment},
};

/// What can be read from a node.
pub(crate) trait Decode: Sized {
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

/// A tree being read, and what was found wrong with it.
pub(crate) struct Reader<'a> {
    tree: &'a Tree,
    env: Environment<'a>,
    report: Report<'a>,
}

impl<T> At<T> {
    /// A value as if it had been written.
    pub(crate) fn of(value: T) -> Self {
        Self { value: Some(value), node: Tree::ROOT, written: true }
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
        let text = reader.text(node, T::EXPECTED)?;
        match T::parse(&text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let subject = T::HIDDEN.map_or_else(|| text.shown(), str::to_owned);
                let fix = wrong.fix.filter(|_| text.written.is_none());
                reader.problem(
                    node,
                    format!("{subject} {}", wrong.what),
                    fix.unwrap_or(wrong.help),
                );
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

impl<'a> Reader<'a> {
    pub(crate) fn new(tree: &'a Tree, env: Environment<'a>, report: Report<'a>) -> Self {
        Self { tree, env, report }
    }

    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, crate::Diagnostics> {
        self.report.finish(value)
    }

    pub(crate) fn node(&self, id: NodeId) -> &'a Node {
        self.tree.node(id)
    }

    /// The line on which a node, or its key, stands.
    pub(crate) fn line(&self, id: NodeId) -> usize {
        self.report.source().line(self.tree.label(id).start)
    }

    /// Records a problem with a node as a whole.
    pub(crate) fn problem(&mut self, id: NodeId, what: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::new(self.tree.label(id), self.tree.path(id), what);
        self.report.push(problem.help(help));
    }

    /// Records a problem with one key of a mapping.
    pub(crate) fn key_problem(&mut self, id: NodeId, entry: &Entry, what: String, help: String) {
        let path = self.tree.path_of(id, &entry.key);
        self.report.push(Problem::new(entry.span.clone(), path, what).help(help));
    }

    /// Records that a mapping lacks a key.
    pub(crate) fn missing(&mut self, id: NodeId, key: &str, example: &str) {
        let problem =
            Problem::new(self.tree.label(id), self.tree.path_of(id, key), "this key is missing");
        self.report.push(problem.help(format!("add `{key}: {example}`")));
    }

    /// Records that a node is of the wrong kind.
    pub(crate) fn unexpected(&mut self, id: NodeId, expected: &str) {
        let node = self.node(id);
        let what = format!("{} where {expected} is expected", node.described());
        let help = match &node.kind {
            Kind::Scalar(scalar) if scalar.is_null() && id != Tree::ROOT => {
                "write a value, or leave the key out".to_owned()
            }
            Kind::List(_) if self.line_text(id).contains("::") => {
                "IPv6 addresses go in quotes: \"[::1]:8080\"".to_owned()
            }
            _ => format!("write {expected}"),
        };
        self.problem(id, what, help);
    }

    /// A scalar with its variables put in; `expected` names the type in the message when it is none.
    pub(crate) fn text(&mut self, id: NodeId, expected: &str) -> Option<Text> {
        let Kind::Scalar(scalar) = &self.node(id).kind else {
            self.unexpected(id, expected);
            return None;
        };
        if scalar.is_null() {
            self.unexpected(id, expected);
            return None;
        }
        match variable::expand(&scalar.text, self.env) {
            Ok(expanded) => Some(Text {
                text: expanded.text,
                plain: scalar.plain,
                written: expanded.variable.then(|| scalar.text.clone()),
            }),
            Err(error) => {
                self.problem(id, error.what, error.help);
                None
            }
        }
    }

    /// Whether a value came, even partly, from a variable, and so must not be shown.
    pub(crate) fn is_variable(&self, id: NodeId) -> bool {
        let Kind::Scalar(scalar) = &self.node(id).kind else { return false };
        variable::expand(&scalar.text, self.env).is_ok_and(|expanded| expanded.variable)
    }

    /// A scalar as a message names it: itself, or the variable it was written as.
    pub(crate) fn shown(&self, id: NodeId) -> String {
        match &self.node(id).kind {
            Kind::Scalar(scalar) if self.is_variable(id) => {
                crate::scalar::of_variable(&scalar.text)
            }
            Kind::Scalar(scalar) => crate::scalar::quoted(&scalar.text),
            _ => self.node(id).described().to_owned(),
        }
    }

    fn line_text(&self, id: NodeId) -> &'a str {
        let source = self.report.source();
        source.line_text(source.line(self.node(id).span.start))
    }
}
