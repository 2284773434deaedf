//! Permits and the queue, one thread at a time; `in_flight_loom.rs` has the interleavings.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use proptest::prelude::*;
use weir_config::{Concurrency, ConcurrencyLimit, Key, Mode, Queue};
use weir_policy::{Claim, Entered, InFlight, Limit, Overloaded, Place, Sample, Time};

/// Of a queue of so many nobody knows better.
fn settings(limit: u32, queue: u32) -> Concurrency {
    Concurrency {
        name: "everything".into(),
        limit: ConcurrencyLimit::Fixed(NonZeroU32::new(limit).expect("not zero")),
        queue: Queue { length: Some(queue), timeout: None },
        fair_per: Key::Route,
        mode: Mode::Enforce,
    }
}

/// Somebody like anybody else.
const ANYBODY: Claim = Claim { priority: weir_config::Priority::Normal, client: 0 };

fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn counts<W>(in_flight: &InFlight<W>) -> (u32, u32) {
    (in_flight.in_flight(), in_flight.queued())
}

fn place<W: std::fmt::Debug>(entered: Entered<W>) -> Place {
    let Entered::Waiting { place, .. } = entered else { panic!("{entered:?}") };
    place
}

#[test]
fn permits_up_to_the_limit_then_places_then_a_refusal_with_numbers() {
    let in_flight = InFlight::new(&settings(2, 1));
    assert!(in_flight.try_acquire());
    assert_eq!(
        in_flight.enqueue(ANYBODY, || unreachable!("no waker is needed"), at(0)),
        Entered::Granted
    );
    assert!(!in_flight.try_acquire());
    place(in_flight.enqueue(ANYBODY, || "first", at(0)));
    let overloaded = Overloaded { in_flight: 2, limit: 2, queued: 1, queue_length: 1 };
    assert_eq!(in_flight.enqueue(ANYBODY, || "second", at(0)), Entered::Full(overloaded));
    assert_eq!(counts(&in_flight), (2, 1));
}

#[test]
fn a_permit_goes_to_the_longest_waiter_and_nobody_overtakes() {
    let in_flight = InFlight::new(&settings(1, 3));
    assert!(in_flight.try_acquire());
    for (waker, ms) in [("a", 0), ("b", 10), ("c", 20)] {
        place(in_flight.enqueue(ANYBODY, || waker, at(ms)));
    }
    for (waker, waited) in [("a", 30), ("b", 20), ("c", 10)] {
        assert_eq!(in_flight.release(at(30)), Some(waker));
        assert_eq!(in_flight.last_wait(), Duration::from_millis(waited));
        assert!(!in_flight.try_acquire(), "the permit was never free");
    }
    assert_eq!(in_flight.release(at(30)), None);
    assert_eq!(counts(&in_flight), (0, 0));
}

#[test]
fn a_waiter_that_leaves_frees_its_place_and_one_that_was_granted_cannot() {
    let in_flight = InFlight::new(&settings(1, 2));
    assert!(in_flight.try_acquire());
    let first = place(in_flight.enqueue(ANYBODY, || "first", at(0)));
    let second = place(in_flight.enqueue(ANYBODY, || "second", at(0)));
    assert!(in_flight.leave(first));
    assert!(!in_flight.leave(first), "once");
    let third = place(in_flight.enqueue(ANYBODY, || "third", at(0)));
    assert_eq!(in_flight.release(at(0)), Some("second"));
    assert!(!in_flight.leave(second), "it holds a permit");
    assert!(in_flight.leave(third));
    assert_eq!(in_flight.release(at(0)), None);
    assert!(in_flight.try_acquire());
}

#[test]
fn a_queue_of_zero_refuses_at_once() {
    let in_flight = InFlight::<()>::new(&settings(1, 0));
    assert!(in_flight.try_acquire());
    assert!(matches!(in_flight.enqueue(ANYBODY, || unreachable!(), at(0)), Entered::Full(_)));
}

#[test]
fn what_was_forced_over_the_limit_drains_before_anybody_is_granted() {
    let in_flight = InFlight::new(&settings(1, 1));
    for _ in 0..3 {
        in_flight.force_acquire();
    }
    place(in_flight.enqueue(ANYBODY, || "waiter", at(0)));
    assert_eq!(in_flight.release(at(0)), None);
    assert_eq!(in_flight.release(at(0)), None);
    assert_eq!(counts(&in_flight), (1, 1));
    assert_eq!(in_flight.release(at(0)), Some("waiter"));
}

#[test]
fn configured_anew_it_keeps_who_is_in_flight_and_who_waits() {
    let in_flight = InFlight::new(&settings(1, 2));
    assert!(in_flight.try_acquire());
    for waker in ["a", "b"] {
        place(in_flight.enqueue(ANYBODY, || waker, at(0)));
    }
    in_flight.reconfigure(&settings(2, 0));
    assert_eq!((in_flight.limit(), in_flight.queue_length()), (2, 0));
    assert_eq!(counts(&in_flight), (1, 2));
    assert_eq!(in_flight.grant(at(1)), Some("a"), "there is room for one more");
    assert_eq!(in_flight.grant(at(1)), None);
    assert!(
        matches!(in_flight.enqueue(ANYBODY, || "c", at(1)), Entered::Full(_)),
        "nobody more may wait"
    );
    in_flight.reconfigure(&settings(1, 2));
    assert_eq!(in_flight.release(at(2)), None, "one too many is in flight");
    assert_eq!(in_flight.release(at(2)), Some("b"));
    assert_eq!(counts(&in_flight), (1, 0));
}

/// A limit that the test moves.
#[derive(Debug)]
struct Moved(Arc<AtomicU32>);

impl Limit for Moved {
    fn current(&self) -> u32 {
        self.0.load(SeqCst)
    }

    fn on_sample(&self, sample: Sample, _: Time) {
        self.0.store(sample.in_flight, SeqCst);
    }
}

#[test]
fn a_limit_that_rises_grants_waiters_and_one_that_falls_takes_permits_out() {
    let limit = Arc::new(AtomicU32::new(1));
    let in_flight = InFlight::with_limit(Box::new(Moved(limit)), settings(1, 4).queue);
    assert!(in_flight.try_acquire());
    for waker in ["a", "b", "c"] {
        place(in_flight.enqueue(ANYBODY, || waker, at(0)));
    }
    assert_eq!(in_flight.grant(at(0)), None);
    let sample = |in_flight| Sample { latency: Duration::ZERO, in_flight, dropped: false };
    in_flight.on_sample(sample(3), at(0));
    assert!(!in_flight.try_acquire(), "the new permits are the waiters'");
    assert_eq!([in_flight.grant(at(0)), in_flight.grant(at(0))], [Some("a"), Some("b")]);
    assert_eq!(in_flight.grant(at(0)), None);
    in_flight.on_sample(sample(1), at(0));
    assert_eq!([in_flight.release(at(0)), in_flight.release(at(0))], [None, None]);
    assert_eq!(in_flight.release(at(0)), Some("c"));
    assert_eq!(counts(&in_flight), (1, 0));
}

#[test]
fn threads_share_permits_without_losing_a_waiter() {
    const LIMIT: u32 = 3;
    let in_flight = InFlight::<Sender<()>>::new(&settings(LIMIT, 100));
    let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let end = |in_flight: &InFlight<Sender<()>>| {
        while let Some(waker) = in_flight.release(at(0)) {
            if waker.send(()).is_ok() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..8 {
            let (in_flight, running, most) = (&in_flight, &running, &most);
            scope.spawn(move || {
                for round in 0..500 {
                    let (waker, woken) = channel();
                    match in_flight.enqueue(ANYBODY, || waker, at(0)) {
                        Entered::Granted => {}
                        // Some give up; a permit that came all the same is handed on.
                        Entered::Waiting { place, .. } if (thread + round) % 3 == 0 => {
                            if !in_flight.leave(place) {
                                end(in_flight);
                            }
                            continue;
                        }
                        Entered::Waiting { .. } => woken.recv().expect("a waiter is woken"),
                        Entered::Full(full) => panic!("{full:?}"),
                    }
                    most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    running.fetch_sub(1, SeqCst);
                    end(in_flight);
                }
            });
        }
    });
    assert!((1..=LIMIT).contains(&most.into_inner()));
    assert_eq!(counts(&in_flight), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    TryAcquire,
    Enqueue,
    Force,
    Release,
    Leave(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::TryAcquire),
        4 => Just(Step::Enqueue),
        1 => Just(Step::Force),
        4 => Just(Step::Release),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// Against the plainest thing it could be: a number and a list, served from the one end or, once
    /// more have come than were served, from the other.
    #[test]
    fn it_agrees_with_a_number_and_a_list(steps in steps(), limit in 1..4_u32, queue in 0..4_u32) {
        let in_flight = InFlight::new(&settings(limit, queue));
        let (mut held, mut list) = (0, Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::TryAcquire => {
                    let free = list.is_empty() && held < limit;
                    prop_assert_eq!(in_flight.try_acquire(), free);
                    held += u32::from(free);
                }
                Step::Enqueue => match in_flight.enqueue(ANYBODY, || number, at(0)) {
                    Entered::Granted => {
                        prop_assert!(list.is_empty() && held < limit);
                        held += 1;
                    }
                    Entered::Waiting { place, .. } => {
                        prop_assert!(held >= limit && list.len() < queue as usize);
                        list.push((number, place));
                    }
                    Entered::Full(_) => {
                        prop_assert!(held >= limit && list.len() == queue as usize)
                    }
                },
                Step::Force => {
                    in_flight.force_acquire();
                    held += 1;
                }
                Step::Release if held > 0 => {
                    let standing = in_flight.is_standing();
                    let handed = (held <= limit && !list.is_empty())
                        .then(|| list.remove(if standing { list.len() - 1 } else { 0 }).0);
                    let released = in_flight.release(at(0));
                    // It may have made up its mind by this very permit.
                    if standing == in_flight.is_standing() {
                        prop_assert_eq!(released, handed);
                    } else {
                        return Ok(());
                    }
                    held -= u32::from(handed.is_none());
                }
                Step::Leave(which) if !list.is_empty() => {
                    let (_, place) = list.remove(which.index(list.len()));
                    prop_assert!(in_flight.leave(place));
                }
                Step::Release | Step::Leave(_) => {}
            }
            prop_assert_eq!(counts(&in_flight), (held, list.len() as u32));
        }
    }
}
