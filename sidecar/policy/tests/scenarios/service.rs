//! Models of services: what a request costs them, and how requests share them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use rand::{Rng, RngExt, rngs::SmallRng};
use serde::Deserialize;

/// How requests share a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// So many at once, and a queue without bound before them: threads, workers, connections of a pool.
    Slots(u32),
    /// All at once, each at its share of what there is.
    Shared(Sharing),
}

/// The universal scalability law: what `n` at once do together is `n / (1 + a(n-1) + b n(n-1))`, and
/// never more than `cores`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sharing {
    pub(crate) cores: f64,
    #[serde(default)]
    pub(crate) contention: f64,
    #[serde(default)]
    pub(crate) coherency: f64,
}

/// How long a request keeps a slot, or a core of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Time {
    /// Milliseconds, always the same.
    Fixed(f64),
    /// Milliseconds on average, exponentially distributed.
    Exponential(f64),
    /// Milliseconds on average, with this ratio of deviation to average.
    Lognormal { mean: f64, cv: f64 },
    /// Mostly `fast`, and `slow` for this share; milliseconds.
    Bimodal { fast: f64, slow: f64, share: f64 },
}

impl Time {
    pub(crate) fn mean(&self) -> f64 {
        match *self {
            Self::Fixed(ms) | Self::Exponential(ms) | Self::Lognormal { mean: ms, .. } => ms,
            Self::Bimodal { fast, slow, share } => fast * (1.0 - share) + slow * share,
        }
    }

    fn draw(&self, random: &mut SmallRng) -> f64 {
        match *self {
            Self::Fixed(ms) => ms,
            Self::Exponential(ms) => exponential(random, ms),
            Self::Lognormal { mean, cv } => {
                let variance = (1.0 + cv * cv).ln();
                (mean.ln() - variance / 2.0 + variance.sqrt() * normal(random)).exp()
            }
            Self::Bimodal { fast, slow, share } => {
                if random.random::<f64>() < share {
                    slow
                } else {
                    fast
                }
            }
        }
    }
}

pub(crate) fn exponential(random: &mut impl Rng, mean: f64) -> f64 {
    -mean * (1.0 - random.random::<f64>()).ln()
}

/// Box and Muller's.
fn normal(random: &mut impl Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

impl Shape {
    /// What it does at most, in requests at a time that each take their own time.
    pub(crate) fn most(&self) -> f64 {
        match self {
            Self::Slots(slots) => f64::from(*slots),
            Self::Shared(sharing) => {
                (1..10_000).map(|n| sharing.together(f64::from(n))).fold(0.0, f64::max)
            }
        }
    }
}

impl Sharing {
    fn together(&self, n: f64) -> f64 {
        let scaled = n / (1.0 + self.contention * (n - 1.0) + self.coherency * n * (n - 1.0));
        scaled.min(self.cores)
    }
}

/// A service at work. Times are milliseconds since the start.
pub(crate) struct Service {
    shape: Shape,
    time: Time,
    /// How many times longer everything takes than it did.
    pub(crate) slower: f64,
    /// What is left of the slots.
    pub(crate) left: f64,
    /// How long requests took since that was last asked, without waiting, and how many there were.
    drawn: (f64, f64),
    random: SmallRng,
    /// Slots: who is served, by when they are done. Sharing: by how much each has to be done in all.
    working: BinaryHeap<Reverse<(Ordered, u64)>>,
    waiting: VecDeque<u64>,
    /// Sharing: what each has had of the service since the start, and when that was counted.
    progress: f64,
    at: f64,
}

/// A number that can be sorted; none of ours is NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Ordered(f64);

impl Eq for Ordered {}

#[expect(
    clippy::derive_ord_xor_partial_ord,
    reason = "partial order of numbers that are all comparable"
)]
impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Service {
    pub(crate) fn new(shape: Shape, time: Time, random: SmallRng) -> Self {
        Self {
            shape,
            time,
            slower: 1.0,
            left: 1.0,
            drawn: (0.0, 0.0),
            random,
            working: BinaryHeap::new(),
            waiting: VecDeque::new(),
            progress: 0.0,
            at: 0.0,
        }
    }

    /// Requests a second at most, as it is now.
    pub(crate) fn capacity(&self) -> f64 {
        self.capacity_at(self.time.mean() * self.slower)
    }

    /// The same by what requests really took since it was last asked, so that luck with the dice is no
    /// merit of a limit.
    pub(crate) fn capacity_since(&mut self) -> f64 {
        let (took, count) = std::mem::take(&mut self.drawn);
        if count == 0.0 { self.capacity() } else { self.capacity_at(took / count) }
    }

    fn capacity_at(&self, mean: f64) -> f64 {
        self.shape.most() * self.left / mean * 1e3
    }

    /// Requests that it has, waiting ones included.
    pub(crate) fn busy(&self) -> usize {
        self.working.len() + self.waiting.len()
    }

    pub(crate) fn begin(&mut self, request: u64, now: f64) {
        self.advance(now);
        match &self.shape {
            Shape::Slots(slots) if self.working.len() >= self.open(*slots) => {
                self.waiting.push_back(request);
            }
            Shape::Slots(_) => self.work_on(request, now),
            Shape::Shared(_) => self.work_on(request, self.progress),
        }
    }

    fn work_on(&mut self, request: u64, from: f64) {
        let needs = self.time.draw(&mut self.random) * self.slower;
        self.drawn = (self.drawn.0 + needs, self.drawn.1 + 1.0);
        self.working.push(Reverse((Ordered(from + needs), request)));
    }

    /// When the next one is done, if nothing else happens before.
    pub(crate) fn next(&self) -> Option<f64> {
        let Reverse((Ordered(done), _)) = self.working.peek()?;
        Some(match &self.shape {
            Shape::Slots(_) => *done,
            Shape::Shared(_) => self.at + (done - self.progress).max(0.0) / self.share(),
        })
    }

    /// The one that is done now.
    pub(crate) fn finish(&mut self, now: f64) -> Option<u64> {
        self.advance(now);
        let Reverse((_, request)) = self.working.pop()?;
        if let Shape::Slots(slots) = self.shape
            && self.working.len() < self.open(slots)
            && let Some(next) = self.waiting.pop_front()
        {
            self.work_on(next, now);
        }
        Some(request)
    }

    fn open(&self, slots: u32) -> usize {
        (f64::from(slots) * self.left).round() as usize
    }

    /// What of a core each has.
    fn share(&self) -> f64 {
        let n = self.working.len() as f64;
        match &self.shape {
            Shape::Shared(sharing) if n > 0.0 => sharing.together(n) / n,
            _ => 1.0,
        }
    }

    fn advance(&mut self, now: f64) {
        self.progress += (now - self.at) * self.share();
        self.at = now;
    }
}
