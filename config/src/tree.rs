//! A YAML document as a tree whose every node knows its place and its path.
//!
//! Why a tree and not serde straight into structs: serde stops at the first problem and forgets
//! where values stood. The tree keeps both, so that a file's problems are shown at once, and
//! variables are expanded in it after parsing, where a value can no longer become YAML.
//!
//! Nodes lie in one list and name each other by index: a parent is needed for paths, and an index
//! makes that no puzzle of ownership.

mod parse;

pub(crate) use parse::{EXAMPLE, parse};

use std::{fmt::Write as _, ops::Range};

use crate::diagnostics::cut;

/// A document's nodes; the first is the root.
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

/// A node's index in its tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

/// A value and where it stands.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Bytes of the source; for a block list or mapping, where it starts.
    pub(crate) span: Range<usize>,
    parent: Option<(NodeId, Step)>,
}

/// What a node is.
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<NodeId>),
    Mapping(Vec<Entry>),
}

/// Text as the file has it, variables not yet expanded.
#[derive(Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Without quotes, so that `1`, `true` and nothing at all mean a number, a truth value and null.
    pub(crate) plain: bool,
}

/// `key: value` in a mapping.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) span: Range<usize>,
    pub(crate) value: NodeId,
}

/// How a parent leads to a child.
#[derive(Clone)]
enum Step {
    Key { name: String, span: Range<usize> },
    Index(usize),
}

impl Tree {
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The value of a key in the mapping `id`.
    pub(crate) fn value(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.node(id).entries().iter().find(|entry| entry.key == key).map(|entry| entry.value)
    }

    /// An item of the list `id`.
    pub(crate) fn item(&self, id: NodeId, index: usize) -> Option<NodeId> {
        match &self.node(id).kind {
            Kind::List(items) => items.get(index).copied(),
            _ => None,
        }
    }

    /// `listeners[0].routes[2].breaker`; empty for the root.
    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = id;
        while let Some((parent, step)) = &self.node(at).parent {
            steps.push(step);
            at = *parent;
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Key { name, .. } => push_key(&mut path, name),
                // Writing to a String does not fail.
                Step::Index(index) => write!(path, "[{index}]").unwrap_or_default(),
            }
        }
        path
    }

    /// The path of a key in the mapping `id`, whether it is there or not.
    pub(crate) fn path_of(&self, id: NodeId, key: &str) -> String {
        let mut path = self.path(id);
        push_key(&mut path, key);
        path
    }

    /// What to underline when the node as a whole is meant: a scalar itself, else its key.
    pub(crate) fn label(&self, id: NodeId) -> Range<usize> {
        let node = self.node(id);
        match (&node.kind, &node.parent) {
            (Kind::Scalar(scalar), _) if !scalar.text.is_empty() => node.span.clone(),
            (_, Some((_, Step::Key { span, .. }))) => span.clone(),
            _ => node.span.start..node.span.start + 1,
        }
    }
}

impl Node {
    /// The entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The kind in the words of a message.
    pub(crate) fn described(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }
}

impl Scalar {
    /// Whether YAML reads it as null.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// Keys that a dotted path could not tell apart are quoted in it.
fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    let key = cut(key);
    if key.is_empty() || key.contains(['.', '[', ' ']) {
        write!(path, "{key:?}").unwrap_or_default();
    } else {
        path.push_str(&key);
    }
}
