//! What may exist once in a file, and what may be referred to.

use std::{collections::HashMap, hash::Hash};

use crate::{Address, decode::Reader, tree::NodeId};

/// Names and addresses seen so far.
#[derive(Default)]
pub(crate) struct Scope {
    /// Every upstream that is written, also those with problems of their own; `None` when it is not known
    /// which there are.
    pub(crate) upstreams: Option<Vec<String>>,
    pub(crate) listeners: Taken<String>,
    pub(crate) addresses: Taken<Address>,
    pub(crate) routes: Taken<String>,
    pub(crate) rate_limits: Taken<String>,
    pub(crate) breakers: Taken<String>,
    pub(crate) limits: Taken<String>,
    /// Of the limits that upstreams have for the routes that have none.
    pub(crate) shared_limits: Taken<String>,
}

/// Who came first.
pub(crate) struct Taken<K>(HashMap<K, NodeId>);

impl<K> Default for Taken<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Taken<K> {
    /// Takes `key` for `node`; when another has it already, that is a problem of this one.
    ///
    /// The key itself is not printed: it may derive from a variable. The line is enough.
    pub(crate) fn claim(
        &mut self,
        key: K,
        node: NodeId,
        what: &str,
        help: &str,
        reader: &mut Reader<'_>,
    ) -> bool {
        match self.0.get(&key) {
            Some(&first) => {
                let line = reader.line(first);
                reader.problem(node, format!("{what} is taken by line {line}"), help);
                false
            }
            None => {
                self.0.insert(key, node);
                true
            }
        }
    }
}
