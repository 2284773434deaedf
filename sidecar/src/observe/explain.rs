//! The last requests that did not go well, by id: what was asked, what was there, and what would have
//! let it pass.
//!
//! Each worker keeps a ring of its own, so that a flood of refusals costs none of them a shared lock.

use std::{
    collections::VecDeque,
    fmt::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::reason::{Reason, Stage};

/// How many explanations each worker keeps.
pub(crate) const KEPT: usize = 4096;

/// The rings of all workers.
#[derive(Debug)]
pub(crate) struct Explain {
    /// Tells this process's ids from those before a restart.
    prefix: [char; 4],
    rings: Box<[Ring]>,
}

#[derive(Debug, Default)]
struct Ring {
    next: AtomicU64,
    kept: Mutex<VecDeque<(Id, Explanation)>>,
}

/// Names an explanation: `k3v9-000017`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    prefix: [char; 4],
    number: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.into_iter().try_for_each(|letter| f.write_char(letter))?;
        write!(f, "-{:06}", self.number)
    }
}

/// Why a request was refused, or its answer cut, and everything that led to it. A text that there is
/// none of is [`NONE`](super::words::NONE).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    /// When, in seconds since 1970.
    pub(crate) at_seconds: f64,
    pub(crate) listener: String,
    pub(crate) route: String,
    pub(crate) method: String,
    /// Without its query.
    pub(crate) path: String,
    /// Of the answer that the client got, or got the beginning of; `None` where it was cut off without.
    pub(crate) status: Option<u16>,
    /// Whether the answer had begun, and was ended in the middle.
    pub(crate) cut: bool,
    pub(crate) stage: Stage,
    /// The policy that refused, named as in the configuration.
    pub(crate) policy: String,
    pub(crate) reason: Reason,
    /// One sentence, the `detail` of the answer.
    pub(crate) detail: String,
    /// What was seen at that instant.
    #[serde(serialize_with = "by_name")]
    pub(crate) inputs: Values,
    /// What it was compared with.
    #[serde(serialize_with = "by_name")]
    pub(crate) threshold: Values,
    /// The nearest change that would have let it pass.
    pub(crate) would_pass: String,
    /// When to come back, where that is known.
    #[serde(rename = "retry_after_seconds", serialize_with = "seconds")]
    pub(crate) retry_after: Option<Duration>,
}

/// Values by name, which ends in the unit where it is not a plain number.
pub(crate) type Values = Vec<(&'static str, Value)>;

fn by_name<S: Serializer>(values: &Values, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| (name, value)))
}

fn seconds<S: Serializer>(after: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    after.map(|after| after.as_secs_f64()).serialize(serializer)
}

impl Explain {
    /// Rings for `workers`; `random` makes the ids of this process its own.
    pub(crate) fn new(workers: usize, random: u64) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let letter = |place: usize| LETTERS[(random >> (5 * place)) as usize % 32] as char;
        Self {
            prefix: std::array::from_fn(letter),
            rings: (0..workers).map(|_| Ring::default()).collect(),
        }
    }

    /// What the ids of this process begin with.
    pub(crate) fn prefix(&self) -> String {
        self.prefix.iter().collect()
    }

    /// The next id of a worker.
    pub(crate) fn id(&self, worker: usize) -> Id {
        let turn = self.rings[worker].next.fetch_add(1, Relaxed);
        Id { prefix: self.prefix, number: turn * self.rings.len() as u64 + worker as u64 }
    }

    /// Keeps an explanation under its id, and forgets the oldest when there are too many.
    pub(crate) fn keep(&self, id: Id, explanation: Explanation) {
        let mut kept = self.ring(id).kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((id, explanation));
    }

    /// The explanation with this id, if it is one of this process's and still kept.
    pub(crate) fn find(&self, id: &str) -> Option<(Id, Explanation)> {
        let number = id.strip_prefix(&self.prefix())?.strip_prefix('-')?.parse().ok()?;
        let id = Id { prefix: self.prefix, number };
        let kept = self.ring(id).kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|(kept, _)| *kept == id).cloned()
    }

    /// The newest explanations of all workers, newest first, at most `count`.
    pub(crate) fn recent(&self, count: usize) -> Vec<(Id, Explanation)> {
        let mut all = Vec::new();
        for ring in &self.rings {
            let kept = ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(kept.iter().rev().take(count).cloned());
        }
        all.sort_by(|(_, a), (_, b)| b.at_seconds.total_cmp(&a.at_seconds));
        all.truncate(count);
        all
    }

    fn ring(&self, id: Id) -> &Ring {
        &self.rings[(id.number % self.rings.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(detail: &str) -> Explanation {
        Explanation {
            at_seconds: 0.0,
            listener: "ingress".into(),
            route: "partner".into(),
            method: "GET".into(),
            path: "/".into(),
            status: Some(429),
            cut: false,
            stage: Stage::Rate,
            policy: "partner".into(),
            reason: Reason::RateLimited,
            detail: detail.into(),
            inputs: Vec::new(),
            threshold: Vec::new(),
            would_pass: String::new(),
            retry_after: None,
        }
    }

    #[test]
    fn an_id_finds_its_explanation_until_the_ring_has_turned() {
        let explain = Explain::new(2, 0x1234_5678);
        let first = explain.id(1);
        explain.keep(first, explanation("first"));
        assert_eq!(first.to_string(), format!("{}-000001", explain.prefix()));
        assert_eq!(explain.find(&first.to_string()).unwrap().1.detail, "first");
        for _ in 0..KEPT {
            explain.keep(explain.id(1), explanation("later"));
        }
        assert!(explain.find(&first.to_string()).is_none());
        assert!(explain.find("nonsense").is_none());
        assert!(explain.find("zzzz-000001").is_none());
    }
}
