//! A configuration with its text, to tell afterwards where in it something stands.

use crate::{
    Config, Diagnostics,
    diagnostics::{Problem, Report},
    source::Source,
    tree::{self, NodeId, Tree},
};

/// A configuration and the text that it was read from.
#[derive(Clone, Debug)]
pub struct Document {
    /// What the text says.
    pub config: Config,
    name: String,
    text: String,
}

/// Something that is wrong with a good configuration, where it is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// To what, as in `listeners[0].address`. It need not be written.
    pub path: String,
    /// What is wrong, as a sentence without its full stop.
    pub what: String,
    /// How to mend it.
    pub help: String,
}

impl Document {
    pub(crate) fn new(config: Config, name: &str, text: &str) -> Self {
        Self { config, name: name.to_owned(), text: text.trim_start_matches('\u{feff}').to_owned() }
    }

    /// Whether the text has this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let mut report = Report::new(Source::new(&self.name, &self.text));
        tree::parse(&self.text, &mut report).is_some_and(|tree| find(&tree, path).1)
    }

    /// Objections as the problems of a file are told: with their places, or that of the section around
    /// what is not written. At least one.
    pub fn objected(&self, objections: &[Objection]) -> Diagnostics {
        let mut report = Report::new(Source::new(&self.name, &self.text));
        let tree = tree::parse(&self.text, &mut report);
        for Objection { path, what, help } in objections {
            let span = tree.as_ref().map_or(0..0, |tree| tree.label(find(tree, path).0));
            report.push(Problem::new(span, path.clone(), what.clone()).help(help.clone()));
        }
        report.diagnostics()
    }
}

/// The node at a path, or the nearest one around it, and whether it is the one itself.
fn find(tree: &Tree, path: &str) -> (NodeId, bool) {
    let mut at = Tree::ROOT;
    for step in path.split(['.', '[']) {
        let next = match step.strip_suffix(']') {
            Some(index) => index.parse().ok().and_then(|index: usize| tree.item(at, index)),
            None => tree.value(at, step),
        };
        match next {
            Some(next) => at = next,
            None => return (at, false),
        }
    }
    (at, true)
}
