//! A tree under the eyes of its readers: scalars with their variables put in, and problems with their
//! places.

use crate::{
    Diagnostics,
    diagnostics::{Problem, Report},
    scalar::{Text, of_variable, quoted},
    tree::{Entry, Kind, Node, NodeId, Tree},
    variable::{self, Environment},
};

/// A tree being read, and what was found wrong with it.
pub(crate) struct Reader<'a> {
    tree: &'a Tree,
    env: Environment<'a>,
    report: Report<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(tree: &'a Tree, env: Environment<'a>, report: Report<'a>) -> Self {
        Self { tree, env, report }
    }

    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Diagnostics> {
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
            Kind::Scalar(scalar) if self.is_variable(id) => of_variable(&scalar.text),
            Kind::Scalar(scalar) => quoted(&scalar.text),
            _ => self.node(id).described().to_owned(),
        }
    }

    fn line_text(&self, id: NodeId) -> &'a str {
        let source = self.report.source();
        source.line_text(source.line(self.node(id).span.start))
    }
}
