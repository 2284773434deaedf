//! The latency at each number in flight, remembered.
//!
//! With `n` in flight a service answers as fast as it answers with `n` in flight, however much is asked
//! of it: what is more waits before it, not in it. So the latency belongs to the number in flight when a
//! request was sent, and each request tells of one point of this curve, at ease and under overload.
//!
//! When the latency at a point is no longer what it was, the service has changed, since the number in
//! flight has not. All points move by the same factor then, as for a service that has become slower as a
//! whole, and are in doubt until one more is seen: if it is where it was moved to, all are believed
//! again, otherwise they are forgotten.

use std::mem;

use super::{evidence::Evidence, grid::PLACES, tally::Batch};

/// See the module. What can be read off it is in `shape.rs` and `knee.rs`.
#[derive(Debug)]
pub(super) struct Curve {
    points: Vec<Point>,
    /// By how much all have moved with one of them since more than one was seen.
    moved: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Point {
    known: Evidence,
    /// Not yet part of what is known, so that a change shows.
    recent: Evidence,
    in_doubt: bool,
}

/// The latency at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) place: usize,
    pub(super) log: f64,
    pub(super) error: f64,
    pub(super) in_doubt: bool,
}

impl Point {
    fn all(&self) -> Evidence {
        self.known.and(self.recent)
    }

    fn merge(&mut self) {
        self.known = self.all().at_most(REMEMBERED);
        self.recent = Evidence::default();
    }
}

impl Curve {
    pub(super) fn new() -> Self {
        Self { points: vec![Point::default(); PLACES], moved: 0.0 }
    }

    /// Learns what a window showed of a place, and whether it is the only one that is seen; `clear` is
    /// the error at which it counts as seen. Whether the service has changed.
    pub(super) fn add(
        &mut self,
        (place, batch): (usize, Batch),
        is_alone: bool,
        clear: f64,
    ) -> bool {
        let Some(point) = self.points.get_mut(place) else { return false };
        point.recent.add(batch);
        let is_clear = point.recent.error() < clear;
        if point.known.is_empty() {
            if is_clear {
                point.merge();
                point.in_doubt = false;
            }
            return false;
        }
        let (off, error) = point.recent.minus(&point.known);
        if point.in_doubt {
            let error = point.recent.error();
            if is_clear {
                let agrees = self.agrees(off, error);
                self.judge(place, agrees);
            }
        } else if off.abs() > (CHANGED * error).max(ALIKE) {
            self.shift(place, off);
            return true;
        } else if point.recent.count() > RECENT {
            let before = point.known;
            point.merge();
            let by = point.known.log() - before.log();
            // What is new about a place that is hardly known says nothing of the others.
            if is_alone && before.count() > REMEMBERED / 2.0 {
                self.follow(place, by);
            }
        }
        false
    }

    /// What is known of another place than `place` may no longer be so.
    pub(super) fn doubt_all_but(&mut self, place: usize) {
        for (other, point) in self.points.iter_mut().enumerate() {
            point.in_doubt = other != place;
        }
    }

    /// What is known of `place` and all above may no longer be so.
    pub(super) fn doubt_from(&mut self, place: usize) {
        self.points.iter_mut().skip(place).for_each(|point| point.in_doubt = true);
    }

    /// Forgets what is in doubt.
    pub(super) fn drop_doubted(&mut self) {
        self.moved = 0.0;
        let doubted = self.points.iter_mut().filter(|point| point.in_doubt);
        doubted.for_each(|point| *point = Point::default());
    }

    /// What is known well enough to go by, the lowest place first; in doubt or not.
    pub(super) fn seen(&self) -> impl DoubleEndedIterator<Item = Seen> {
        self.points.iter().enumerate().filter_map(|(place, point)| {
            let all = point.all();
            let is_known = !point.known.is_empty() || all.error() < UNCLEAR;
            let (log, error, in_doubt) = (all.log(), all.error(), point.in_doubt);
            is_known.then_some(Seen { place, log, error, in_doubt })
        })
    }

    /// The same without what is in doubt.
    pub(super) fn trusted(&self) -> impl DoubleEndedIterator<Item = Seen> {
        self.seen().filter(|seen| !seen.in_doubt)
    }

    /// The latency at a place, if it is known and not in doubt.
    pub(super) fn at(&self, place: usize) -> Option<Seen> {
        self.trusted().find(|seen| seen.place == place)
    }

    /// All points move as this one did.
    fn shift(&mut self, place: usize, by: f64) {
        for (other, point) in self.points.iter_mut().enumerate() {
            let recent = mem::take(&mut point.recent);
            // Where it was moved to is a guess, and soon outweighed by what is seen.
            let moved = point.known.shifted(by).at_most(GUESSED);
            point.known = if other == place { recent } else { moved };
        }
        self.moved += by;
        self.doubt_all_but(place);
    }

    /// A service that becomes slower bit by bit never changes at once. So what is not seen moves along
    /// with what is, and is in doubt when it has moved far.
    fn follow(&mut self, place: usize, by: f64) {
        for (other, point) in self.points.iter_mut().enumerate() {
            if other != place {
                point.known = point.known.shifted(by);
            }
        }
        self.moved += by;
        if self.moved.abs() > MOVED_FAR {
            self.doubt_all_but(place);
        }
    }

    /// Whether a point that is off by so much is where it was moved to, rather than where it was.
    fn agrees(&self, off: f64, error: f64) -> bool {
        let moved = if self.moved.abs() > MOVED_FAR { self.moved.abs() } else { f64::INFINITY };
        off.abs() < (AGREED * error).min(moved / 2.0).max(ALIKE)
    }

    /// A point in doubt was seen again: what it tells of the others.
    fn judge(&mut self, place: usize, agrees: bool) {
        self.moved = 0.0;
        let recent = self.points[place].recent;
        if agrees {
            // What is seen now counts for no less than what was known.
            let known = self.points[place].known.at_most(recent.count()).and(recent);
            self.points[place] = Point { known, ..Point::default() };
            self.points.iter_mut().for_each(|point| point.in_doubt = false);
            return;
        }
        self.drop_doubted();
        self.points[place] = Point { known: recent, ..Point::default() };
    }
}

/// So many answers of a point are remembered, and so many are kept apart from what was known before.
const REMEMBERED: f64 = 2_000.0;
const RECENT: f64 = 600.0;

/// So many answers a guess is worth.
const GUESSED: f64 = 100.0;

/// Errors of a difference that make it a change, and that agree with what was expected.
const CHANGED: f64 = 3.5;
const AGREED: f64 = 2.0;

/// What is no difference, however sure.
const ALIKE: f64 = 0.1;

/// Beyond this error a point is not known.
const UNCLEAR: f64 = 0.2;

/// The logarithm of the factor, a quarter and more, that puts those in doubt that have followed.
const MOVED_FAR: f64 = 0.25;
