//! What a request needs of the upstream at the least, learned; and so, which ones cannot make it.
//!
//! A request whose caller will have given up before any answer can be there costs the upstream as much
//! as one that is worth it. Such a one is refused on arrival, when its time is shorter than the wait
//! ahead of it and what nine of ten requests of its route have needed lately. A low percentile, because
//! the two errors are not alike: work that was in vain costs some of the upstream's time, and a request
//! refused that would have made it costs its caller the answer. The mean or the median would refuse
//! half of what an upstream with two kinds of answers (a cache) could give.
//!
//! Three things keep it from believing itself:
//!
//! - **Answers that were not waited for count.** They needed more than they had. Were they left out, an
//!   upstream that has become slower than every caller's deadline would have no samples but the old fast
//!   ones. How much more is not known; an eighth is taken ([`unanswered`](ServiceTime::unanswered)).
//! - **Probes.** Where all would be refused nothing would be learned, so one passes now and then
//!   ([`PROBE_EVERY`]). One that is answered in time refutes the estimate, which is dropped whole:
//!   refusing starts again from the next [`SAMPLES_MIN`].
//! - **It forgets.** Samples older than [`MEMORY`] say nothing, and too few say nothing.
//!
//! Samples are taken at most each [`APART`], so that the window reaches back at least five seconds
//! however busy the route is: a pause of the upstream's, in which thousands of answers are late together,
//! is one tenth of it and moves nothing.
//!
//! A sample is one word, and where the next goes is one counter: nobody waits here for anybody.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::Time;

/// Samples in the window.
const KEPT: usize = 100;
/// The shortest time between two samples.
const APART: Duration = Duration::from_millis(50);
/// How long a sample says something.
const MEMORY: Duration = Duration::from_secs(60);
/// Fewer say nothing.
const SAMPLES_MIN: usize = 20;
/// One of so many samples may be below what is taken to be needed.
const BELOW: usize = 10;
/// From a probe to the next.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long the upstream takes for the requests of one route.
#[derive(Debug)]
pub struct ServiceTime {
    samples: [AtomicU64; KEPT],
    /// How many there have been; the place of the next.
    taken: AtomicU64,
    /// Nanoseconds of the time from which on the next is taken.
    next: AtomicU64,
    /// The estimate, with the time of the last sample in it; zero when there is none.
    needed: AtomicU64,
    /// Nanoseconds of the time from which on a probe may pass.
    probe: AtomicU64,
}

/// A request that is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// It can make it, for all that is known.
    #[default]
    Fits,
    /// It most likely cannot, and passes to find out whether that is still so.
    Probe,
}

/// A request that cannot make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate {
    /// What it would need of the upstream; zero where the wait ahead of it is too long by itself.
    pub needed: Duration,
    /// Until the next one that cannot make it is let through to find out.
    pub probe_in: Duration,
}

impl ServiceTime {
    /// Knows nothing, and lets everything through that can outlast the wait.
    pub fn new() -> Self {
        Self {
            samples: [const { AtomicU64::new(0) }; KEPT],
            taken: AtomicU64::new(0),
            next: AtomicU64::new(0),
            needed: AtomicU64::new(0),
            probe: AtomicU64::new(0),
        }
    }

    /// Whether a request that has so much time `left`, and a `wait` ahead of it, can make it.
    ///
    /// # Errors
    /// When it cannot, unless it is time for a probe.
    pub fn fits(&self, left: Duration, wait: Duration, now: Time) -> Result<Fit, TooLate> {
        let needed = self.needed(now).unwrap_or_default();
        if left >= wait.saturating_add(needed) {
            return Ok(Fit::Fits);
        }
        let probe = self.probe.load(Relaxed);
        let due = probe <= now.as_nanos();
        // What the wait alone is too long for would never get so far as to find out.
        if due && left >= wait && self.takes_turn(&self.probe, probe, now + PROBE_EVERY) {
            return Ok(Fit::Probe);
        }
        Err(TooLate { needed, probe_in: Time::from_nanos(probe).since(now) })
    }

    /// The upstream has answered after so long.
    pub fn answered(&self, took: Duration, fit: Fit, now: Time) {
        if fit == Fit::Probe {
            self.forget();
        }
        self.sample(took, now);
    }

    /// The upstream had so long, and has not answered.
    pub fn unanswered(&self, had: Duration, now: Time) {
        self.sample(had.saturating_add(had / 8), now);
    }

    /// What nine of ten requests have needed at the least; `None` when that is not known.
    pub fn needed(&self, now: Time) -> Option<Duration> {
        let (second, needed) = unpack(self.needed.load(Relaxed));
        (needed > Duration::ZERO && is_fresh(second, now)).then_some(needed)
    }

    fn sample(&self, took: Duration, now: Time) {
        let next = self.next.load(Relaxed);
        if now.as_nanos() < next || !self.takes_turn(&self.next, next, now + APART) {
            return;
        }
        let place = self.taken.fetch_add(1, Relaxed) as usize % KEPT;
        self.samples[place].store(pack(took, now), Relaxed);
        self.needed.store(self.estimate(now).map_or(0, |needed| pack(needed, now)), Relaxed);
    }

    /// Of several who find that it is time, one.
    fn takes_turn(&self, turn: &AtomicU64, found: u64, next: Time) -> bool {
        turn.compare_exchange(found, next.as_nanos(), Relaxed, Relaxed).is_ok()
    }

    fn estimate(&self, now: Time) -> Option<Duration> {
        let mut fresh = [Duration::ZERO; KEPT];
        let mut count = 0;
        for sample in &self.samples {
            let (second, took) = unpack(sample.load(Relaxed));
            if took > Duration::ZERO && is_fresh(second, now) {
                fresh[count] = took;
                count += 1;
            }
        }
        let fresh = &mut fresh[..count];
        let enough = count >= SAMPLES_MIN;
        enough.then(|| *fresh.select_nth_unstable(count / BELOW).1)
    }

    fn forget(&self) {
        for sample in &self.samples {
            sample.store(0, Relaxed);
        }
        self.needed.store(0, Relaxed);
    }
}

impl Default for ServiceTime {
    fn default() -> Self {
        Self::new()
    }
}

/// A duration in microseconds, at least one and at most 71 minutes, beside the second it was seen in.
fn pack(took: Duration, now: Time) -> u64 {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
    (seconds(now) << 32) | u64::from(micros)
}

fn unpack(word: u64) -> (u64, Duration) {
    (word >> 32, Duration::from_micros(word & u64::from(u32::MAX)))
}

fn is_fresh(second: u64, now: Time) -> bool {
    seconds(now).saturating_sub(second) <= MEMORY.as_secs()
}

fn seconds(time: Time) -> u64 {
    time.as_nanos() / 1_000_000_000
}
