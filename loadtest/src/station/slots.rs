//! The slots and their queue, as arithmetic.
//!
//! A slot that becomes free takes the next in the queue at the moment at which it became free, not at
//! the one at which somebody noticed. So lateness of timers is felt by an answer and never adds up:
//! with a queue that is not empty, so many slots and such a mean time are exactly the capacity.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use super::Station;

/// The slots of a station, and who waits for one. `T` is whom to tell when the service is over.
#[derive(Debug)]
pub struct Slots<T> {
    station: Station,
    random: Xoshiro256PlusPlus,
    served: BinaryHeap<Reverse<Served<T>>>,
    waiting: VecDeque<(Duration, T)>,
    begun: u64,
}

/// A service that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When.
    pub at: Duration,
    /// How long it takes.
    pub takes: Duration,
}

/// What happened while time went on.
#[derive(Debug)]
pub struct Advanced<T> {
    /// Those whose service is over, in that order.
    pub ended: Vec<T>,
    /// The services that began.
    pub begun: Vec<Begun>,
}

impl<T> Slots<T> {
    /// A station that nobody has come to yet. Time counts from the first request.
    #[must_use]
    pub fn new(station: Station) -> Self {
        Self {
            station,
            random: Xoshiro256PlusPlus::seed_from_u64(station.seed),
            served: BinaryHeap::with_capacity(station.slots),
            waiting: VecDeque::new(),
            begun: 0,
        }
    }

    /// Somebody comes; times of calls must not run backwards.
    pub fn arrives(&mut self, now: Duration, whom: T) {
        self.waiting.push_back((now, whom));
    }

    /// Everything that ended and began until now.
    pub fn advance(&mut self, now: Duration) -> Advanced<T> {
        let mut advanced = Advanced { ended: Vec::new(), begun: Vec::new() };
        loop {
            if self.served.len() < self.station.slots
                && let Some((came, whom)) = self.waiting.pop_front()
            {
                // A slot that was free all along waited for whom it takes now.
                advanced.begun.push(self.begin(came, whom));
                continue;
            }
            match self.next_end() {
                Some(end) if end <= now => {}
                _ => return advanced,
            }
            let Some(Reverse(over)) = self.served.pop() else { return advanced };
            if let Some((came, whom)) = self.waiting.pop_front() {
                advanced.begun.push(self.begin(came.max(over.ends), whom));
            }
            advanced.ended.push(over.whom);
        }
    }

    /// When the next service is over.
    #[must_use]
    pub fn next_end(&self) -> Option<Duration> {
        self.served.peek().map(|Reverse(served)| served.ends)
    }

    /// How many are served.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.served.len()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn begin(&mut self, at: Duration, whom: T) -> Begun {
        let slow = self.station.slows.filter(|slows| at >= slows.after);
        let drawn = self.station.time.draw(&mut self.random);
        let takes = slow.map_or(drawn, |slows| drawn.mul_f64(slows.factor));
        self.served.push(Reverse(Served { ends: at + takes, number: self.begun, whom }));
        self.begun += 1;
        Begun { at, takes }
    }
}

#[derive(Debug)]
struct Served<T> {
    ends: Duration,
    /// Of two that end at once, the one that began first.
    number: u64,
    whom: T,
}

impl<T> Ord for Served<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.ends, self.number).cmp(&(other.ends, other.number))
    }
}

impl<T> PartialOrd for Served<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Served<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Served<T> {}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::{super::Slows, *};

    fn station(slots: usize, time: &str) -> Station {
        let time = time.parse().unwrap();
        Station { slots, time, seed: 1, slows: None, status: StatusCode::OK }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_slot_takes_the_next_when_it_became_free() {
        let mut slots = Slots::new(station(1, "fixed:10ms"));
        for whom in 0..3 {
            slots.arrives(ms(whom), whom);
        }
        assert_eq!(slots.advance(ms(2)).begun, [Begun { at: ms(0), takes: ms(10) }]);
        assert_eq!((slots.busy(), slots.waiting(), slots.next_end()), (1, 2, Some(ms(10))));
        let late = slots.advance(ms(25));
        assert_eq!(late.ended, [0, 1]);
        assert_eq!(late.begun.iter().map(|begun| begun.at).collect::<Vec<_>>(), [ms(10), ms(20)]);
        assert_eq!(slots.advance(ms(30)).ended, [2]);
        assert_eq!((slots.busy(), slots.next_end()), (0, None));
        slots.arrives(ms(40), 3);
        assert_eq!(slots.advance(ms(41)).begun, [Begun { at: ms(40), takes: ms(10) }]);
    }

    #[test]
    fn a_station_with_a_queue_serves_exactly_its_capacity() {
        let mut slots = Slots::new(station(4, "fixed:10ms"));
        (0..10_000).for_each(|whom| slots.arrives(ms(0), whom));
        // However seldom and unevenly somebody looks.
        let ended: usize = [1, 13, 28, 170, 990, 1_003, 10_000]
            .map(|at| slots.advance(ms(at)).ended.len())
            .iter()
            .sum();
        assert_eq!(ended, 4_000);
    }

    #[test]
    fn a_station_slows_for_good() {
        let slows = Some(Slows { after: ms(100), factor: 3.0 });
        let mut slots = Slots::new(Station { slows, ..station(1, "fixed:10ms") });
        (0..100).for_each(|whom| slots.arrives(ms(0), whom));
        assert_eq!(slots.advance(ms(100)).ended.len(), 10);
        assert_eq!(slots.advance(ms(400)).ended.len(), 10);
    }

    proptest! {
        #[test]
        fn all_are_served_in_order_by_no_more_than_there_are_slots(
            count in 1_usize..5, gaps in prop::collection::vec((0_u64..8_000, any::<bool>()), 1..200)
        ) {
            let mut slots = Slots::new(station(count, "exponential:5ms"));
            let (mut now, mut begun, mut ended) = (Duration::ZERO, Vec::new(), Vec::new());
            let mut note = |advanced: Advanced<usize>| {
                begun.extend(advanced.begun);
                ended.extend(advanced.ended);
            };
            for (whom, (gap, looked)) in gaps.iter().enumerate() {
                now += Duration::from_micros(*gap);
                slots.arrives(now, whom);
                if *looked {
                    note(slots.advance(now));
                    prop_assert!(slots.busy() == count || slots.waiting() == 0);
                    prop_assert!(slots.next_end().is_none_or(|end| end > now));
                }
            }
            note(slots.advance(Duration::from_secs(100)));
            prop_assert_eq!((slots.busy(), slots.waiting()), (0, 0));
            prop_assert!(begun.windows(2).all(|pair| pair[0].at <= pair[1].at));
            for at in &begun {
                let at_once = begun.iter().filter(|other| other.at <= at.at && at.at < other.at + other.takes);
                prop_assert!(at_once.count() <= count);
            }
            ended.sort_unstable();
            prop_assert_eq!(ended, (0..gaps.len()).collect::<Vec<_>>());
        }
    }
}
