//! The last refusals, by id: what was asked, what was there, and what would have let it pass.
//!
//! Each worker keeps a ring of its own, so that a flood of refusals costs none of them a shared lock.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;

use crate::reason::{Reason, Stage};

/// How many refusals each worker remembers.
pub(crate) const REMEMBERED: usize = 4096;

/// The rings of all workers.
#[derive(Debug)]
pub(crate) struct Explain {
    /// Tells this process's ids from those before a restart.
    prefix: String,
    rings: Box<[Ring]>,
}

#[derive(Debug, Default)]
struct Ring {
    next: AtomicU64,
    kept: Mutex<VecDeque<(u64, Refused)>>,
}

/// Names a refusal: `k3v9-000017`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RefusalId(String);

impl fmt::Display for RefusalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A refusal and everything that led to it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refused {
    /// When, in seconds since 1970.
    pub(crate) at: f64,
    pub(crate) listener: String,
    pub(crate) route: String,
    /// The policy that refused, named as in the configuration; empty where none did.
    pub(crate) policy: String,
    #[serde(serialize_with = "reason_word")]
    pub(crate) reason: Reason,
    #[serde(serialize_with = "stage_word")]
    pub(crate) stage: Stage,
    pub(crate) status: u16,
    pub(crate) method: String,
    /// The path without its query, at most 256 bytes.
    pub(crate) path: String,
    /// One sentence, the `detail` of the answer.
    pub(crate) detail: String,
    /// The numbers at that instant, by name.
    pub(crate) inputs: Vec<(&'static str, String)>,
    /// The nearest change that would have let it pass.
    pub(crate) would_pass: String,
    /// When to come back, where that is known.
    #[serde(serialize_with = "seconds")]
    pub(crate) retry_after: Option<Duration>,
}

fn reason_word<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.word())
}

fn stage_word<S: serde::Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.word())
}

fn seconds<S: serde::Serializer>(
    after: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    after.map(|after| after.as_secs_f64()).serialize(serializer)
}

impl Explain {
    /// Rings for `workers`; `random` makes the ids of this process its own.
    pub(crate) fn new(workers: usize, random: u64) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let letter = |place: u32| LETTERS[(random >> (5 * place)) as usize % 32] as char;
        Self {
            prefix: (0..4).map(letter).collect(),
            rings: (0..workers).map(|_| Ring::default()).collect(),
        }
    }

    /// What the ids of this process begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The next id of a worker.
    pub(crate) fn id(&self, worker: usize) -> (u64, RefusalId) {
        let turn = self.rings[worker].next.fetch_add(1, Relaxed);
        let number = turn * self.rings.len() as u64 + worker as u64;
        (number, RefusalId(format!("{}-{number:06}", self.prefix)))
    }

    /// Keeps a refusal under the number of its id, and forgets the oldest when there are too many.
    pub(crate) fn keep(&self, number: u64, refused: Refused) {
        let ring = &self.rings[(number % self.rings.len() as u64) as usize];
        let mut kept = ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == REMEMBERED {
            kept.pop_front();
        }
        kept.push_back((number, refused));
    }

    /// The refusal with this id, if it is one of this process's and still remembered.
    pub(crate) fn find(&self, id: &str) -> Option<Refused> {
        let number: u64 = id.strip_prefix(&self.prefix)?.strip_prefix('-')?.parse().ok()?;
        let ring = &self.rings[(number % self.rings.len() as u64) as usize];
        let kept = ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|(kept, _)| *kept == number).map(|(_, refused)| refused.clone())
    }

    /// The newest refusals of all workers, newest first, at most `count`.
    pub(crate) fn recent(&self, count: usize) -> Vec<(RefusalId, Refused)> {
        let mut all: Vec<(u64, Refused)> = Vec::new();
        for ring in &self.rings {
            let kept = ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(kept.iter().rev().take(count).cloned());
        }
        all.sort_by(|(_, a), (_, b)| b.at.total_cmp(&a.at));
        all.truncate(count);
        all.into_iter()
            .map(|(number, refused)| (RefusalId(format!("{}-{number:06}", self.prefix)), refused))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(detail: &str) -> Refused {
        Refused {
            at: 0.0,
            listener: "ingress".into(),
            route: "partner".into(),
            policy: "partner".into(),
            reason: Reason::RateLimited,
            stage: Stage::Rate,
            status: 429,
            method: "GET".into(),
            path: "/".into(),
            detail: detail.into(),
            inputs: Vec::new(),
            would_pass: String::new(),
            retry_after: None,
        }
    }

    #[test]
    fn an_id_finds_its_refusal_until_the_ring_has_turned() {
        let explain = Explain::new(2, 0x1234_5678);
        let (number, first) = explain.id(1);
        explain.keep(number, refused("first"));
        assert_eq!(explain.find(&first.to_string()).unwrap().detail, "first");
        for _ in 0..REMEMBERED {
            let (number, _) = explain.id(1);
            explain.keep(number, refused("later"));
        }
        assert!(explain.find(&first.to_string()).is_none());
        assert!(explain.find("nonsense").is_none());
        assert!(explain.find("zzzz-000001").is_none());
    }
}
