//! Who waits, for how long, and who goes first.

use std::{num::NonZeroU32, time::Duration};

use proptest::prelude::*;
use weir_config::{Priority, Queue};
use weir_policy::{Claim, Entered, Fixed, InFlight, Place, Time};

const NOW: Time = Time::from_nanos(0);
const AUTO: Queue = Queue { length: None, timeout: None };

fn limit<W>(limit: u32, queue: Queue) -> InFlight<W> {
    let limit = NonZeroU32::new(limit).expect("not zero");
    InFlight::with_limit(Box::new(Fixed::new(limit)), queue)
}

fn claim(priority: Priority, client: u64) -> Claim {
    Claim { priority, client }
}

/// Every permit taken.
fn taken<W>(permits: u32, queue: Queue) -> InFlight<W> {
    let in_flight = limit(permits, queue);
    for _ in 0..permits {
        assert!(in_flight.try_acquire());
    }
    in_flight
}

/// What became of one more.
#[derive(Debug, PartialEq, Eq)]
enum Became<W> {
    Waits,
    Replaces(W),
    Refused,
}

fn ask<W>(in_flight: &InFlight<W>, claim: Claim, waker: W) -> Became<W> {
    match in_flight.enqueue(claim, || waker, NOW) {
        Entered::Granted => panic!("there was a permit"),
        Entered::Waiting { pushed_out: None, .. } => Became::Waits,
        Entered::Waiting { pushed_out: Some(other), .. } => Became::Replaces(other),
        Entered::Full(_) => Became::Refused,
    }
}

/// Offers `ratio` as many as are served, until the queue has made up its mind.
fn offer(in_flight: &InFlight<()>, ratio: f64, priority: Priority) {
    let mut owed = 0.0;
    for _ in 0..64 * in_flight.limit() {
        owed += ratio;
        while owed >= 1.0 {
            owed -= 1.0;
            match in_flight.enqueue(claim(priority, 0), || (), NOW) {
                Entered::Granted | Entered::Waiting { .. } | Entered::Full(_) => {}
            }
        }
        // Who was served comes back at once where nobody waits, so that all permits stay taken.
        if in_flight.release(NOW).is_none() {
            assert!(in_flight.try_acquire());
        }
    }
}

#[test]
fn there_is_room_for_a_burst_until_more_arrive_than_can_be_served() {
    for permits in [1, 2, 4, 16, 64, 256, 1000] {
        let in_flight = taken(permits, AUTO);
        assert_eq!(in_flight.queue_length(), 6 * permits);
        for _ in 0..3 * permits {
            assert_eq!(ask(&in_flight, Claim::default(), ()), Became::Waits);
        }
        assert!(!in_flight.is_standing(), "a burst of {} to {permits}", 3 * permits);
        offer(&in_flight, 1.0, Priority::Normal);
        assert!(!in_flight.is_standing(), "all are served");
        offer(&in_flight, 1.5, Priority::Normal);
        assert!(in_flight.is_standing(), "{permits}");
        let few = (1.25 * f64::from(permits).sqrt()).round() as u32;
        assert_eq!(in_flight.queue_length(), few);
        // Those who are there are served; nobody comes in beyond the few.
        while in_flight.queued() > few {
            assert!(in_flight.release(NOW).is_some());
            if in_flight.queued() > few {
                assert_eq!(ask(&in_flight, Claim::default(), ()), Became::Refused);
            }
        }
    }
}

#[test]
fn a_load_that_is_served_wears_off_what_an_excess_has_taught() {
    let in_flight = taken(8, AUTO);
    offer(&in_flight, 2.0, Priority::Normal);
    assert!(in_flight.is_standing());
    while in_flight.release(NOW).is_some() {}
    let mut quiet = 0;
    while in_flight.is_standing() {
        assert!(in_flight.try_acquire());
        assert_eq!(in_flight.release(NOW), None);
        quiet += 1;
    }
    assert!((8..64 * 8).contains(&quiet), "{quiet} requests without a wait");
    assert_eq!(in_flight.queue_length(), 48);
}

#[test]
fn a_written_length_stands_and_is_served_from_its_end_once_it_is_standing() {
    let in_flight = taken(2, Queue { length: Some(40), timeout: None });
    for number in 0..5 {
        assert_eq!(ask(&in_flight, Claim::default(), number), Became::Waits);
    }
    assert_eq!(in_flight.release(NOW), Some(0), "the longest waiter");
    for number in 5..300 {
        ask(&in_flight, Claim::default(), number);
    }
    assert!(in_flight.is_standing());
    assert_eq!((in_flight.queue_length(), in_flight.queued()), (40, 40));
    assert_eq!(in_flight.release(NOW), Some(40), "the last that came in");
    assert_eq!(in_flight.release(NOW), Some(39));
}

#[test]
fn patience_follows_how_long_permits_are_held() {
    let patience = |in_flight: &InFlight<()>| match in_flight.enqueue(Claim::default(), || (), NOW)
    {
        Entered::Waiting { patience, .. } => patience,
        other => panic!("{other:?}"),
    };
    let in_flight = taken(100, AUTO);
    assert_eq!(patience(&in_flight), Duration::from_millis(100), "nothing is known");
    in_flight.on_held(Duration::from_millis(20));
    assert_eq!(patience(&in_flight), Duration::from_millis(100), "that is enough");
    for _ in 0..1000 {
        in_flight.on_held(Duration::from_secs(2));
    }
    let long = patience(&in_flight);
    assert!((1.99..=2.0).contains(&long.as_secs_f64()), "{long:?}");

    let written = Queue { length: None, timeout: Some(Duration::from_millis(7)) };
    let in_flight = taken(1, written);
    in_flight.on_held(Duration::from_secs(2));
    assert_eq!(patience(&in_flight), Duration::from_millis(7));

    // A long queue that does not empty: those who came last are in time, the others hear soon.
    let in_flight = taken(1, Queue { length: Some(1000), timeout: None });
    in_flight.on_held(Duration::from_millis(1));
    for _ in 0..100 {
        ask(&in_flight, Claim::default(), ());
    }
    assert_eq!(patience(&in_flight), Duration::from_millis(5));
}

#[test]
fn higher_classes_go_first_and_take_places_over_from_lower_ones() {
    use Priority::{High, Low, Normal};
    let in_flight = taken(1, Queue { length: Some(3), timeout: None });
    let asks = |priority, name| ask(&in_flight, claim(priority, 0), name);
    assert_eq!(asks(Low, "low 1"), Became::Waits);
    assert_eq!(asks(Normal, "normal 1"), Became::Waits);
    assert_eq!(asks(Low, "low 2"), Became::Waits);
    assert_eq!(asks(Low, "low 3"), Became::Refused);
    assert_eq!(asks(Normal, "normal 2"), Became::Replaces("low 2"), "the newest of the lowest");
    assert_eq!(asks(High, "high 1"), Became::Replaces("low 1"));
    assert_eq!(asks(High, "high 2"), Became::Replaces("normal 2"));
    assert_eq!(asks(Normal, "normal 3"), Became::Refused, "nobody is below it but one like it");
    for name in ["high 1", "high 2", "normal 1"] {
        assert_eq!(in_flight.release(NOW), Some(name));
    }
    assert_eq!(in_flight.release(NOW), None);
}

#[test]
fn too_many_of_a_low_class_are_no_reason_to_shut_out_a_high_one() {
    let in_flight = taken(4, AUTO);
    offer(&in_flight, 3.0, Priority::Low);
    assert!(in_flight.is_standing());
    let length = |priority| match in_flight.enqueue(claim(priority, 0), || (), NOW) {
        Entered::Full(seen) => Some(seen.queue_length),
        _ => None,
    };
    // The last one that was served has left a place.
    assert_eq!(length(Priority::Low), None);
    assert_eq!(length(Priority::Low), Some(3));
    for _ in 0..20 {
        assert_eq!(length(Priority::High), None, "for it a burst is a burst");
    }
}

#[test]
fn one_that_was_pushed_out_gives_up_nothing_and_one_that_was_granted_must() {
    let in_flight = taken(1, Queue { length: Some(1), timeout: None });
    let place = |priority| match in_flight.enqueue(claim(priority, 0), || (), NOW) {
        Entered::Waiting { place, .. } => place,
        other => panic!("{other:?}"),
    };
    let (low, high): (Place, Place) = (place(Priority::Low), place(Priority::High));
    assert!(in_flight.leave(low), "it has nothing to give back");
    assert_eq!((in_flight.in_flight(), in_flight.queued()), (1, 1));
    assert!(in_flight.release(NOW).is_some());
    assert!(!in_flight.leave(high), "it holds the permit");
}

#[test]
fn where_nobody_is_to_wait_any_more_all_go_on() {
    let in_flight = taken(1, Queue { length: Some(3), timeout: None });
    for name in ["a", "b", "c"] {
        assert_eq!(ask(&in_flight, Claim::default(), name), Became::Waits);
    }
    let gone: Vec<_> = std::iter::from_fn(|| in_flight.let_go(NOW)).collect();
    assert_eq!(gone, ["a", "b", "c"]);
    assert_eq!((in_flight.in_flight(), in_flight.queued()), (4, 0));
    for _ in 0..4 {
        assert_eq!(in_flight.release(NOW), None);
    }
    assert!(in_flight.try_acquire());
}

#[test]
fn a_noisy_client_cannot_starve_a_quiet_one() {
    const NOISY: u64 = 1;
    const QUIET: u64 = 2;
    let in_flight: InFlight<u64> = taken(4, AUTO);
    let (mut asked, mut served) = (0, 0);
    for round in 0..5000 {
        for _ in 0..10 {
            ask(&in_flight, claim(Priority::Normal, NOISY), NOISY);
        }
        // A quarter of what is served.
        if round % 4 == 0 {
            asked += 1;
            ask(&in_flight, claim(Priority::Normal, QUIET), QUIET);
        }
        served += u32::from(in_flight.release(NOW) == Some(QUIET));
    }
    let share = f64::from(served) / f64::from(asked);
    assert!(share > 0.95, "the quiet one has {share} of what it asks for");
}

#[test]
fn clients_that_ask_for_the_same_do_not_push_each_other_out() {
    let in_flight: InFlight<u64> = taken(4, AUTO);
    let (mut served, mut pushed_out) = ([0_u32; 5], 0);
    for round in 0..20_000_u64 {
        for offer in 0..2 {
            // A walk over the five that has no order.
            let client = (round * 2 + offer).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let client = client % 5;
            let became = ask(&in_flight, claim(Priority::Normal, client), client);
            pushed_out += u32::from(matches!(became, Became::Replaces(_)));
        }
        if let Some(client) = in_flight.release(NOW) {
            served[client as usize] += 1;
        }
    }
    assert!(pushed_out < 200, "{pushed_out} of 40,000");
    assert!(served.iter().all(|one| (3200..4800).contains(one)), "{served:?}");
}

#[test]
fn the_wait_is_forecast_from_who_is_ahead() {
    let in_flight = limit::<()>(4, Queue { length: Some(100), timeout: None });
    let forecast = |priority| in_flight.forecast(priority).as_millis();
    assert_eq!(forecast(Priority::Low), 0);
    in_flight.on_held(Duration::from_millis(40));
    for _ in 0..4 {
        assert_eq!(forecast(Priority::Low), 0, "there is a permit");
        assert!(in_flight.try_acquire());
    }
    assert_eq!(forecast(Priority::Low), 10, "the next of four to end");
    for _ in 0..9 {
        ask(&in_flight, Claim::default(), ());
    }
    assert_eq!(forecast(Priority::Low), 100);
    assert_eq!(forecast(Priority::Normal), 100);
    assert_eq!(forecast(Priority::High), 10, "it goes first");
}

proptest! {
    /// Whatever comes: a place that is taken over leaves as many waiting, what waits is within what it
    /// was told, and in the end everybody is accounted for.
    #[test]
    fn everybody_who_came_in_is_served_or_told(
        asks in prop::collection::vec((0..3_usize, 0..4_u64, 0..3_u8), 1..400),
        permits in 1..5_u32,
        length in prop::option::of(0..6_u32),
    ) {
        let in_flight = taken::<usize>(permits, Queue { length, timeout: None });
        let (mut came_in, mut served, mut told) = (0, 0, 0);
        for (number, (class, client, releases)) in asks.into_iter().enumerate() {
            let queued = in_flight.queued();
            match in_flight.enqueue(claim(Priority::ALL[class], client), || number, NOW) {
                Entered::Granted => prop_assert!(false, "no permit is free"),
                Entered::Waiting { pushed_out: None, .. } => came_in += 1,
                Entered::Waiting { pushed_out: Some(other), .. } => {
                    prop_assert!(other < number);
                    prop_assert_eq!(in_flight.queued(), queued);
                    came_in += 1;
                    told += 1;
                }
                Entered::Full(seen) => prop_assert!(seen.queued >= seen.queue_length),
            }
            for _ in 0..releases {
                match in_flight.release(NOW) {
                    Some(_) => served += 1,
                    None => prop_assert!(in_flight.try_acquire()),
                }
            }
        }
        while in_flight.release(NOW).is_some() {
            served += 1;
        }
        prop_assert_eq!(came_in, served + told);
        prop_assert_eq!(in_flight.queued(), 0);
    }
}
