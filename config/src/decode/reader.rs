//! A tree under the eyes of its readers: scalars with their variables put in, and problems with their
//! places.

use super::Decode;
use crate::{
    Diagnostics,
    diagnostics::{Problem, Report},
    scalar::{Text, Wrong, of_variable, quoted},
    source::Source,
    tree::{self, Entry, Kind, Node, NodeId, Tree},
    variable::{self, Environment},
};

/// A tree being read, and what was found wrong with it.
pub(crate) struct Reader<'a> {
    tree: &'a Tree,
    env: Environment<'a>,
    report: Report<'a>,
    /// Values whose problem is told already.
    told: Vec<NodeId>,
    /// Whether this reads what a message might offer, and no message of its own is wanted.
    trial: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(tree: &'a Tree, env: Environment<'a>, report: Report<'a>) -> Self {
        Self { tree, env, report, told: Vec::new(), trial: false }
    }

    /// Whether `text` would be read as a `T` without a problem; else, what to write instead of the one
    /// value that is wrong with it, where that is known. A trial makes no trials of its own.
    pub(crate) fn tried<T: Decode>(&self, text: &str) -> Result<(), Option<String>> {
        if self.trial || self.report.is_full() {
            return Err(None);
        }
        let mut report = Report::new(Source::new("", text));
        let Some(tree) = tree::parse(text, &mut report) else { return Err(None) };
        let mut reader = Reader { trial: true, ..Reader::new(&tree, self.env, report) };
        match T::decode(Tree::ROOT, &mut reader) {
            Some(_) if reader.report.is_empty() => Ok(()),
            _ => Err(reader.report.instead()),
        }
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
        self.push(id, problem.help(help));
    }

    /// Records what is wrong with a single value, which the message calls `subject`.
    pub(crate) fn wrong(&mut self, id: NodeId, subject: &str, wrong: Wrong) {
        let (fix, instead) = match self.is_variable(id) {
            true => (None, None),
            false => (wrong.fix, wrong.instead),
        };
        let what = format!("{subject} {}", wrong.what);
        let problem = Problem::new(self.tree.label(id), self.tree.path(id), what);
        self.push(id, problem.help(fix.unwrap_or(wrong.help)).instead(instead));
    }

    fn push(&mut self, id: NodeId, problem: Problem) {
        if !self.told.contains(&id) {
            self.report.push(problem);
        }
    }

    /// Whatever else is wrong with a value, a message that makes it needless is there already.
    pub(crate) fn tell_no_more(&mut self, id: NodeId) {
        self.told.push(id);
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

    /// Records that a node is of the wrong kind; `help` is for one that is a value at all.
    pub(crate) fn unexpected(&mut self, id: NodeId, expected: &str, help: Option<String>) {
        let node = self.node(id);
        let what = format!("{} where {expected} is expected", node.described());
        let help = match (&node.kind, help) {
            _ if id == Tree::ROOT => tree::EXAMPLE.to_owned(),
            (Kind::Scalar(scalar), _) if scalar.is_null() => {
                "write a value, or leave the key out".to_owned()
            }
            (_, Some(help)) => help,
            (Kind::List(_), None) if self.line_text(id).contains("::") => {
                "IPv6 addresses go in quotes: \"[::1]:8080\"".to_owned()
            }
            (_, None) => format!("write {expected}"),
        };
        self.problem(id, what, help);
    }

    /// A scalar with its variables put in; `expected` names the type in the message when it is none, and
    /// `open` says whether a default may stand in the file.
    pub(crate) fn text(&mut self, id: NodeId, expected: &str, open: bool) -> Option<Text> {
        let Kind::Scalar(scalar) = &self.node(id).kind else {
            self.unexpected(id, expected, None);
            return None;
        };
        if scalar.is_null() {
            self.unexpected(id, expected, None);
            return None;
        }
        match variable::expand(&scalar.text, self.env) {
            Ok(expanded) => Some(Text {
                text: expanded.text,
                plain: scalar.plain,
                written: expanded.variable.then(|| scalar.text.clone()),
            }),
            Err(error) => {
                let default = error.default.filter(|_| open);
                let help = [Some(error.help), default].into_iter().flatten().collect::<Vec<_>>();
                self.problem(id, error.what, help.join(", "));
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
