//! Where on the curve to stand.
//!
//! A limit that holds nobody back is left alone: the numbers in flight vary by themselves then, and fill
//! in the curve. One that does is moved to the knee, once the curve shows the latency without a queue.
//! Two moves serve to see more of it:
//!
//! - a visit below, when what is below is unknown or in doubt: after a change of the service, and now and
//!   then. It ends as soon as there is something to compare with;
//! - more, when nearly nobody waits inside the service: twice as much until that has shown a queue for
//!   the first time, then a little. This costs nothing that is done, so it is tried every few seconds.

use std::time::Duration;

use super::{
    bounds::Bounds,
    curve::{Curve, Seen},
    evidence::Evidence,
    grid::{number, place_of},
    learned::{Learned, Point, Stance},
    tally::Batch,
};
use crate::Time;

/// See the module.
#[derive(Debug)]
pub(super) struct Search {
    curve: Curve,
    limit: u32,
    bounds: Bounds,
    stance: Stance,
    /// What was seen here since the limit last moved, and when that was.
    stood: Evidence,
    arrived: Time,
    visit: Option<Visit>,
    /// When what is below was last known to be as it is remembered, and for how long that is believed.
    verified: Time,
    patience: Duration,
    /// When more was last tried.
    explored: Time,
    /// More has never shown a queue.
    is_unexplored: bool,
    /// How long it took the last time until something counted as seen.
    took: Duration,
    /// How much latencies vary at a place, of late.
    variance: f64,
}

#[derive(Clone, Copy, Debug)]
struct Visit {
    home: u32,
    began: Time,
}

impl Search {
    pub(super) fn new(start: u32, bounds: Bounds) -> Self {
        Self {
            curve: Curve::new(),
            limit: bounds.keep(start),
            bounds,
            stance: Stance::Learning,
            stood: Evidence::default(),
            arrived: Time::default(),
            visit: None,
            verified: Time::default(),
            patience: PATIENCE,
            explored: Time::default(),
            is_unexplored: true,
            took: Duration::ZERO,
            variance: 0.0,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// The logarithm of the latency without a queue; 0 while it is unknown.
    pub(super) fn base(&self) -> f64 {
        self.curve.base(place_of(self.limit)).unwrap_or(0.0)
    }

    /// Other bounds; the limit keeps to them at once.
    pub(super) fn keep_to(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        if bounds.keep(self.limit) != self.limit {
            self.visit = None;
            self.go(bounds.keep(self.limit), self.arrived);
        }
    }

    /// Learns from a window in which only requests were answered that were sent under the limit as it is,
    /// and moves it.
    pub(super) fn learn(&mut self, window: &[(usize, Batch)], now: Time) {
        let (here, clear) = (place_of(self.limit), self.clear(now));
        let window = self.varying(window);
        let is_full = is_full(&window, here);
        let mut has_changed = false;
        for (place, batch) in window {
            // Elsewhere only those are left that took long, of the requests sent before the limit moved.
            if !is_full || place == here {
                has_changed |= self.curve.add((place, batch), is_full, clear);
            }
            if place == here {
                self.stood.add(batch);
            }
        }
        if has_changed {
            self.patience = PATIENCE;
            self.stand_still(now);
        }
        if !is_full {
            self.hold_nobody_back(now);
        } else if self.stood.error() < clear {
            self.took = now.since(self.arrived);
            self.decide(here, now);
            self.arrived = now;
        }
    }

    /// The window as it would be if latencies varied in it nearly as much as they do in the long run: when
    /// a few are all alike, those that take long are still to come.
    fn varying(&mut self, window: &[(usize, Batch)]) -> Vec<(usize, Batch)> {
        let count: f64 = window.iter().map(|(_, batch)| f64::from(batch.count)).sum();
        let sum: f64 = window.iter().map(|(_, it)| f64::from(it.count) * it.variance()).sum();
        self.variance += (sum / count.max(1.0) - self.variance) * LATEST;
        let least = self.variance / 2.0;
        window.iter().map(|(place, batch)| (*place, batch.varying(least))).collect()
    }

    /// The error at which something counts as seen: the longer it takes, the less is asked for.
    fn clear(&self, now: Time) -> f64 {
        let stood = now.since(self.arrived).as_secs_f64();
        (CLEAR * stood.max(1.0).sqrt()).min(CLEAR_MAX)
    }

    fn hold_nobody_back(&mut self, now: Time) {
        (self.verified, self.stance) = (now, Stance::AtEase);
        let home = self.visit.take().map_or(self.limit, |visit| visit.home);
        self.go(home, now);
    }

    fn decide(&mut self, here: usize, now: Time) {
        let bottom = self.bounds.bottom();
        if let Some(visit) = self.visit {
            let shows_base = self.curve.shows_base(place_of(visit.home), bottom);
            if !shows_base {
                self.curve.drop_doubted();
            }
            match shows_base || here <= bottom {
                true => self.return_from(visit, now),
                false => self.go(self.limit / 2, now),
            }
            return;
        }
        if now.since(self.verified) > self.patience {
            self.curve.doubt_all_but(here);
        }
        if here > bottom && !self.curve.shows_base(here, bottom) {
            self.stance = Stance::Comparing { with: self.limit };
            self.visit = Some(Visit { home: self.limit, began: now });
            self.go(self.curve.comparable(here).map_or(self.limit / 2, number), now);
        } else {
            self.settle(here, now);
        }
    }

    /// A visit has seen what it came for.
    fn return_from(&mut self, visit: Visit, now: Time) {
        let home = place_of(visit.home);
        let knee = self.curve.knee(self.bounds.bottom(), home).filter(|knee| *knee != home);
        self.visit = None;
        self.verified = now;
        self.stance = Stance::AtKnee;
        // Where it was right to stand, it is asked for more seldom.
        let patience = if knee.is_none() { 2 * self.patience } else { self.patience };
        self.patience = patience.min(PATIENCE_MAX).max(VISITS_APART * now.since(visit.began));
        self.is_unexplored &= knee.is_none();
        self.go(knee.map_or(visit.home, number), now);
    }

    /// Moves to where the queue is as long as it may be.
    fn settle(&mut self, here: usize, now: Time) {
        self.stance = Stance::AtKnee;
        let Some((base, seen)) = self.curve.base(here).zip(self.curve.at(here)) else { return };
        if !self.curve.fits(&Seen { log: seen.log - seen.error, ..seen }, base) {
            self.is_unexplored = false;
            let below = here.saturating_sub(1);
            let knee = self.curve.knee(self.bounds.bottom(), below).unwrap_or(below);
            self.go(number(knee), now);
            return;
        }
        let up = self.room_above(&seen, base, now);
        if up > here && self.limit < self.bounds.max {
            (self.stance, self.explored) = (Stance::Exploring, now);
            if self.curve.at(up).is_some_and(|seen| !self.curve.fits(&seen, base)) {
                self.curve.doubt_from(up);
            }
            self.go(number(up), now);
        } else {
            self.stood = self.stood.at_most(KEPT);
        }
    }

    /// The highest place not far above where as many may be in flight, as far as is known, or one that is
    /// not known if there is room; and now and then the first where they may not.
    fn room_above(&self, seen: &Seen, base: f64, now: Time) -> usize {
        let here = seen.place;
        let more = if self.is_unexplored { TWICE } else { MORE } * f64::from(number(here));
        let top = place_of(more as u32).max(here + 1);
        let fits = |place: &usize| self.curve.at(*place).map(|seen| self.curve.fits(&seen, base));
        let last =
            (here + 1..=top).find(|place| fits(place) == Some(false)).map_or(top, |bad| bad - 1);
        let known = (here + 1..=last).rfind(|place| fits(place) == Some(true)).unwrap_or(here);
        let has_room = self.curve.has_room(seen, base);
        let up = match (has_room, self.curve.has_some_room(seen, base)) {
            (true, _) => last,
            (false, true) => known.max(last.min(here + 1)),
            (false, false) => known,
        };
        let again = TRIED_AGAIN.max(TRIED_APART * self.took) * if has_room { 1 } else { 2 };
        if up == here && now.since(self.explored) > again { here + 1 } else { up }
    }

    fn go(&mut self, to: u32, now: Time) {
        self.limit = self.bounds.keep(to);
        self.stand_still(now);
    }

    fn stand_still(&mut self, now: Time) {
        (self.stood, self.arrived) = (Evidence::default(), now);
    }

    pub(super) fn learned(&self) -> Learned {
        let latency = |log: f64| Duration::from_nanos(log.exp() as u64);
        let top = self.curve.trusted().next_back().map(|seen| seen.place);
        let point = |seen: Seen| Point {
            in_flight: number(seen.place),
            latency: latency(seen.log),
            error: seen.error,
            in_doubt: seen.in_doubt,
        };
        Learned {
            limit: self.limit,
            stance: self.stance,
            base: top.and_then(|top| self.curve.base(top)).map(latency),
            knee: top.and_then(|top| self.curve.knee(self.bounds.bottom(), top)).map(number),
            points: self.curve.seen().map(point).collect(),
        }
    }
}

/// Most requests were sent as the last that the limit lets through.
fn is_full(window: &[(usize, Batch)], here: usize) -> bool {
    let count = |from: usize| -> u64 {
        let above = window.iter().filter(|(place, _)| *place >= from);
        above.map(|(_, batch)| u64::from(batch.count)).sum()
    };
    count(here) as f64 >= FULL * count(0) as f64
}

const FULL: f64 = 0.5;

/// The error that is asked for within a second, and at last.
const CLEAR: f64 = 0.12;
const CLEAR_MAX: f64 = 0.3;

/// Between two visits without need; but each is to cost less than a part in so many.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_MAX: Duration = Duration::from_secs(240);
const VISITS_APART: u32 = 50;

/// How much more is tried, and how long after the last time: at least so many times as long as it takes.
const TWICE: f64 = 2.0;
const MORE: f64 = 1.3;
const TRIED_AGAIN: Duration = Duration::from_secs(4);
const TRIED_APART: u32 = 10;

/// The weight of a window in what is of late.
const LATEST: f64 = 0.05;

/// Of what was seen here so much still counts for the next decision.
const KEPT: f64 = 300.0;
