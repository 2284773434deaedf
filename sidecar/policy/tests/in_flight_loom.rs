//! The interleavings of small groups of threads around one permit, up to a number of preemptions.
//!
//! The source is compiled a second time, with loom's primitives in place of the standard library's, so
//! that a plain `cargo test` runs the model. `LOOM_MAX_PREEMPTIONS=3 cargo test -p weir-policy --test
//! in_flight_loom` looks deeper than the default here.

#![allow(dead_code, unreachable_pub, reason = "a second compilation of a part of the library")]

mod sync {
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

#[path = "../src/concurrency/allowance.rs"]
mod allowance;
#[path = "../src/concurrency/in_flight.rs"]
mod in_flight;
#[path = "../src/concurrency/limit.rs"]
mod limit;
#[path = "../src/concurrency/pace.rs"]
mod pace;
#[path = "../src/concurrency/pressure.rs"]
mod pressure;
#[path = "../src/concurrency/queue.rs"]
mod queue;
#[path = "../src/time.rs"]
mod time;
#[path = "../src/concurrency/usage.rs"]
mod usage;

use std::num::NonZeroU32;

use loom::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::{Sender, channel},
    },
    thread,
};
use weir_config::Priority;
use weir_policy::Learned;

use self::{
    in_flight::{Entered, InFlight},
    limit::{Fixed, Limit, Sample},
    queue::Claim,
    time::Time,
};

const NOW: Time = Time::from_nanos(0);

/// What a waiter is told: that it has the permit, or that another has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Granted,
    PushedOut,
}

/// A limit of one, and how many hold its permit at the moment.
struct Model {
    in_flight: InFlight<Sender<Turn>>,
    holders: AtomicU32,
}

impl Model {
    fn new(queue: u32) -> Arc<Self> {
        let queue = weir_config::Queue { length: Some(queue), timeout: None };
        let in_flight = InFlight::with_limit(Box::new(Fixed::new(NonZeroU32::MIN)), queue);
        Arc::new(Self { in_flight, holders: AtomicU32::new(0) })
    }

    /// Waits for the permit if need be, uses it and hands it on. A lost wake-up is a deadlock, which
    /// the model finds.
    fn wait_and_use(&self) {
        self.wait_as(Priority::Normal);
    }

    fn wait_and_use_as_one_that_goes_first(&self) {
        self.wait_as(Priority::High);
    }

    fn wait_as(&self, priority: Priority) {
        let (waker, woken) = channel();
        match self.in_flight.enqueue(Claim { priority, client: 0 }, || waker, NOW) {
            Entered::Granted => {}
            Entered::Waiting { place, pushed_out, .. } => {
                tell(pushed_out);
                if woken.recv().expect("a waiter is woken") == Turn::PushedOut {
                    assert!(self.in_flight.leave(place), "it was granted nothing");
                    return;
                }
            }
            Entered::Full(_) => return,
        }
        self.use_permit();
    }

    /// Joins the queue and gives up at once.
    fn wait_and_leave(&self) {
        let (waker, _woken) = channel();
        match self.in_flight.enqueue(Claim::default(), || waker, NOW) {
            Entered::Granted => self.use_permit(),
            Entered::Waiting { place, pushed_out, .. } => {
                tell(pushed_out);
                if !self.in_flight.leave(place) {
                    self.hand_on();
                }
            }
            Entered::Full(_) => {}
        }
    }

    fn try_and_use(&self) {
        if self.in_flight.try_acquire() {
            self.use_permit();
        }
    }

    fn use_permit(&self) {
        assert_eq!(self.holders.fetch_add(1, SeqCst), 0, "one permit, one holder");
        self.holders.fetch_sub(1, SeqCst);
        self.hand_on();
    }

    fn hand_on(&self) {
        if let Some(waker) = self.in_flight.release(NOW) {
            // A waiter that has just given up finds that it was granted, and hands on itself.
            let _gone = waker.send(Turn::Granted);
        }
    }
}

fn tell(pushed_out: Option<Sender<Turn>>) {
    if let Some(waker) = pushed_out {
        let _gone = waker.send(Turn::PushedOut);
    }
}

/// Runs the given parts at once with room for them all, and finds nothing left behind afterwards.
fn check(parts: &'static [fn(&Model)]) {
    check_with_room_for(parts.len() as u32, parts);
}

fn check_with_room_for(queue: u32, parts: &'static [fn(&Model)]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(move || {
        let model = Model::new(queue);
        let threads: Vec<_> = parts[1..]
            .iter()
            .map(|part| {
                let model = model.clone();
                thread::spawn(move || part(&model))
            })
            .collect();
        parts[0](&model);
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        assert_eq!((model.in_flight.in_flight(), model.in_flight.queued()), (0, 0));
    });
}

#[test]
fn no_wake_up_is_lost_between_a_release_and_a_waiter() {
    check(&[Model::wait_and_use, Model::wait_and_use]);
}

#[test]
fn three_take_turns() {
    check(&[Model::wait_and_use, Model::wait_and_use, Model::wait_and_use]);
}

#[test]
fn a_waiter_that_leaves_strands_nobody() {
    check(&[Model::wait_and_use, Model::wait_and_leave, Model::wait_and_use]);
}

#[test]
fn nobody_overtakes_into_a_second_permit() {
    check(&[Model::wait_and_use, Model::try_and_use, Model::wait_and_leave]);
}

#[test]
fn who_is_pushed_out_is_told_and_gives_nothing_back() {
    check_with_room_for(
        1,
        &[Model::wait_and_use, Model::wait_and_use, Model::wait_and_use_as_one_that_goes_first],
    );
}

#[test]
fn one_that_leaves_while_it_is_pushed_out_gives_nothing_back() {
    check_with_room_for(
        1,
        &[Model::try_and_use, Model::wait_and_leave, Model::wait_and_use_as_one_that_goes_first],
    );
}
