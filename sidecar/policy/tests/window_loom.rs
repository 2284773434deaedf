//! The interleavings of small groups of threads around the border of a slice, up to a number of
//! preemptions.
//!
//! The source is compiled a second time with loom's primitives, as in `in_flight_loom`; loom has no
//! words of 128 bits, so a mutex around a number stands for one.

#![allow(dead_code, unreachable_pub, reason = "a second compilation of a part of the library")]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug)]
    pub(crate) struct AtomicU128(loom::sync::Mutex<u128>);

    impl AtomicU128 {
        pub(crate) fn new(value: u128) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn load(&self, _: Ordering) -> u128 {
            *self.0.lock().expect("the model does not panic")
        }

        pub(crate) fn compare_exchange(
            &self,
            current: u128,
            new: u128,
            _: Ordering,
            _: Ordering,
        ) -> Result<u128, u128> {
            let mut value = self.0.lock().expect("the model does not panic");
            if *value == current { Ok(std::mem::replace(&mut value, new)) } else { Err(*value) }
        }
    }
}

#[path = "../src/memo.rs"]
mod memo;
#[path = "../src/time.rs"]
mod time;
#[path = "../src/window.rs"]
mod window;

use std::time::Duration;

use loom::{sync::Arc, thread};
pub(crate) use time::Time;

use self::{
    memo::Memo,
    window::{Counts, Window},
};

const ONE: Counts = Counts([1, 0, 0]);

/// A window of three slices of 10 ns, and what its owner keeps of the closed ones.
struct Model {
    window: Window,
    past: Memo<3>,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self { window: Window::new(Duration::from_nanos(30), 3), past: Memo::new() })
    }

    fn add(&self, now: u64) {
        self.window.add(ONE, Time::from_nanos(now));
    }

    /// How many events the closed slices and the newest hold.
    fn counts(&self, now: u64) -> (u32, u32) {
        let number = self.window.advance(Time::from_nanos(now));
        let past = self.past.get(number, || self.closed(number).0);
        (past[0], self.window.newest(number).0[0])
    }

    fn newest(&self, now: u64) -> u32 {
        let number = self.window.advance(Time::from_nanos(now));
        self.window.newest(number).0[0]
    }

    fn closed(&self, number: u64) -> Counts {
        self.window.closed(number).fold(Counts::default(), Counts::plus)
    }
}

/// Runs the given parts at once after `before`, and looks at what they leave behind.
///
/// Each part goes first once: of several reads before a write, the model reorders only the last.
fn check(before: fn(&Model), parts: &[fn(&Model)], after: fn(&Model)) {
    for first in 0..parts.len() {
        let mut parts = parts.to_vec();
        parts.rotate_left(first);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(2);
        builder.check(move || {
            let model = Model::new();
            before(&model);
            let start = |&part: &fn(&Model)| {
                let model = model.clone();
                thread::spawn(move || part(&model))
            };
            let threads: Vec<_> = parts[1..].iter().map(start).collect();
            parts[0](&model);
            threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
            after(&model);
        });
    }
}

#[test]
fn threads_that_begin_a_slice_at_once_all_count_in_it() {
    check(
        |model| model.add(5),
        &[|model| model.add(10), |model| model.add(11), |model| model.add(12)],
        |model| {
            assert_eq!(model.counts(13), (1, 3));
            assert_eq!(model.counts(20), (4, 0));
        },
    );
}

#[test]
fn an_event_that_comes_late_for_its_slice_is_neither_lost_nor_counted_twice() {
    check(
        |_| {},
        &[|model| model.add(9), |model| model.add(10)],
        |model| {
            let (closed, newest) = model.counts(10);
            assert!(closed + newest == 2 && newest >= 1, "{closed}, {newest}");
        },
    );
}

#[test]
fn threads_that_begin_different_slices_leave_each_event_where_it_was_counted() {
    check(
        |model| model.add(0),
        &[|model| model.add(10), |model| model.add(20)],
        |model| {
            let (closed, newest) = model.counts(20);
            assert!(closed + newest == 3 && newest >= 1, "{closed}, {newest}");
            assert!(model.counts(30).0 < 3, "the first is gone");
        },
    );
}

#[test]
fn a_long_silence_ends_for_all_threads_at_once() {
    check(
        |model| model.add(0),
        &[|model| model.add(70), |model| model.add(71)],
        |model| assert_eq!(model.counts(75), (0, 2)),
    );
}

#[test]
fn a_closed_slice_stays_as_it_was_first_seen() {
    // It has seen its own event and all of before, and what it remembers is still right in the end.
    fn read(model: &Model) {
        model.add(10);
        let (closed, newest) = model.counts(10);
        assert!((1..=2).contains(&closed) && (1..=2).contains(&newest), "{closed}, {newest}");
        assert!(closed + newest <= 3, "{closed}, {newest}");
    }
    check(
        |model| model.add(0),
        &[read, |model| model.add(9)],
        |model| {
            let (closed, newest) = model.counts(10);
            let number = model.window.advance(Time::from_nanos(10));
            assert_eq!(model.closed(number), Counts([closed, 0, 0]));
            assert_eq!(closed + newest, 3);
        },
    );
}

#[test]
fn a_reader_never_sees_a_mark_beyond_what_it_sees_counted() {
    // Its own clock is late, so what it sees has been begun and remembered by the other.
    fn read(model: &Model) {
        let newest = model.newest(0);
        assert!(newest <= 1, "{newest}");
    }
    fn count(model: &Model) {
        model.add(0);
        assert_eq!(model.newest(10), 0);
    }
    check(|_| {}, &[count, read], |model| assert_eq!(model.counts(10), (1, 0)));
}

#[test]
fn a_cleared_window_forgets_what_was_counted_before() {
    check(
        |model| model.add(0),
        &[|model| model.window.clear(Time::from_nanos(5)), |model| model.add(6)],
        |model| {
            // What is counted while it is cleared may be kept, whichever slice it falls into.
            let (closed, newest) = model.counts(7);
            assert!(closed + newest <= 1, "{closed}, {newest}");
            model.add(8);
            assert_eq!(model.counts(8), (closed, newest + 1));
        },
    );
}
