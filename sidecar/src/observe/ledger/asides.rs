//! What is counted of the requests of a route besides how they ended.
//!
//! No sum has to come out here, so it is written without the page's marks.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::reason::Reason;

/// A header in which a caller says how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadlineHeader {
    GrpcTimeout,
    EnvoyTimeout,
    RequestDeadline,
}

impl DeadlineHeader {
    pub(crate) const ALL: [Self; 3] =
        [Self::GrpcTimeout, Self::EnvoyTimeout, Self::RequestDeadline];

    /// Its name.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::GrpcTimeout => "grpc-timeout",
            Self::EnvoyTimeout => "x-envoy-expected-rq-timeout-ms",
            Self::RequestDeadline => "x-request-deadline",
        }
    }
}

/// What is injected into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Delay,
    Abort,
    Drip,
}

impl FaultKind {
    pub(crate) const ALL: [Self; 3] = [Self::Delay, Self::Abort, Self::Drip];

    /// Its key in the configuration.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Abort => "abort",
            Self::Drip => "drip",
        }
    }
}

/// A worker's part of it.
#[derive(Debug)]
pub(super) struct Asides {
    /// Nanoseconds of the upstream's that nobody had an answer for, by [`Reason::index`].
    wasted: [AtomicU64; Reason::ALL.len()],
    deadlines_ignored: [AtomicU64; DeadlineHeader::ALL.len()],
    faults: [AtomicU64; FaultKind::ALL.len()],
}

/// All of it at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AsideTotals {
    wasted: [u64; Reason::ALL.len()],
    deadlines_ignored: [u64; DeadlineHeader::ALL.len()],
    faults: [u64; FaultKind::ALL.len()],
}

impl Asides {
    pub(super) fn waste(&self, reason: Reason, time: Duration) {
        // 584 years of it are not reached.
        self.wasted[reason.index()].fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub(super) fn ignore(&self, header: DeadlineHeader) {
        self.deadlines_ignored[header as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn inject(&self, kind: FaultKind) {
        self.faults[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> AsideTotals {
        AsideTotals {
            wasted: array::from_fn(|place| self.wasted[place].load(Relaxed)),
            deadlines_ignored: array::from_fn(|place| self.deadlines_ignored[place].load(Relaxed)),
            faults: array::from_fn(|place| self.faults[place].load(Relaxed)),
        }
    }

    /// Adds what another has counted, which counts no more.
    pub(super) fn take_over(&self, other: &Self) {
        let pairs = (self.wasted.iter().zip(&other.wasted))
            .chain(self.deadlines_ignored.iter().zip(&other.deadlines_ignored))
            .chain(self.faults.iter().zip(&other.faults));
        for (mine, theirs) in pairs {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
    }
}

impl AsideTotals {
    /// Seconds of the upstream's for requests that ended for this reason.
    pub(crate) fn wasted_seconds(&self, reason: Reason) -> f64 {
        self.wasted[reason.index()] as f64 / 1e9
    }

    /// Values of the header that were passed over.
    pub(crate) fn deadlines_ignored(&self, header: DeadlineHeader) -> u64 {
        self.deadlines_ignored[header as usize]
    }

    /// Faults of this kind that were injected.
    pub(crate) fn faults(&self, kind: FaultKind) -> u64 {
        self.faults[kind as usize]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let pairs = (self.wasted.iter_mut().zip(&other.wasted))
            .chain(self.deadlines_ignored.iter_mut().zip(&other.deadlines_ignored))
            .chain(self.faults.iter_mut().zip(&other.faults));
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }
}

impl Default for Asides {
    fn default() -> Self {
        Self {
            wasted: array::from_fn(|_| AtomicU64::new(0)),
            deadlines_ignored: array::from_fn(|_| AtomicU64::new(0)),
            faults: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Default for AsideTotals {
    fn default() -> Self {
        Self {
            wasted: [0; Reason::ALL.len()],
            deadlines_ignored: [0; DeadlineHeader::ALL.len()],
            faults: [0; FaultKind::ALL.len()],
        }
    }
}
