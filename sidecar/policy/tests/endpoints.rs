//! Which endpoints of an upstream are used, and how requests are shared among them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use rand::{Rng, SeedableRng, rngs::StdRng};
use weir_config::{HealthCheck, Upstream};
use weir_policy::{Cause, EndpointState, Endpoints, Judged, Outcome, Pick, Standing, Time};

const GOOD: Outcome = Outcome::Success { latency: Some(Duration::from_millis(10)) };

fn at(seconds: f64) -> Time {
    Time::default() + Duration::from_secs_f64(1.0 + seconds)
}

fn settings(upstream: &str) -> Upstream {
    let yaml = format!(
        "version: 1\nlisteners: [{{ address: 127.0.0.1:1, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"app.test:80\"], {upstream} }} }}\n"
    );
    weir_config::load(&yaml, "weir.yaml", &|_| None).unwrap().upstreams.remove(0)
}

/// An upstream on a virtual clock.
struct Model {
    rules: Endpoints,
    all: Vec<Standing>,
    check: HealthCheck,
    random: StdRng,
}

impl Model {
    fn new(upstream: &str, count: usize) -> Self {
        Self {
            rules: Endpoints::new(&settings(upstream)),
            all: (0..count).map(|_| Standing::first(Time::default())).collect(),
            check: settings("health_check: { healthy_after: 1, unhealthy_after: 1 }")
                .health_check
                .unwrap(),
            random: StdRng::seed_from_u64(7),
        }
    }

    fn pick_without(&mut self, excluded: &[usize], now: Time) -> Option<Pick> {
        let random = self.random.next_u64();
        self.rules.pick(self.all.iter(), |place| excluded.contains(&place), now, random)
    }

    fn pick(&mut self, now: Time) -> usize {
        self.pick_without(&[], now).expect("one of all").place
    }

    fn picks(&mut self, count: usize, now: Time) -> Vec<usize> {
        (0..count).map(|_| self.pick(now)).collect()
    }

    /// How many of `count` requests at that time each would get.
    fn shares(&mut self, count: usize, now: Time) -> Vec<usize> {
        let picks = self.picks(count, now);
        (0..self.all.len())
            .map(|place| picks.iter().filter(|pick| **pick == place).count())
            .collect()
    }

    fn ends(&self, place: usize, outcome: Outcome, now: Time) -> Option<Judged> {
        self.rules.on_outcome(&self.all[place], outcome, now, now, self.all.iter())
    }

    fn fails(&self, place: usize, times: usize, now: Time) -> Option<Judged> {
        (0..times).filter_map(|_| self.ends(place, Outcome::Failure, now)).last()
    }

    fn state(&self, place: usize, now: Time) -> EndpointState {
        self.rules.view(&self.all[place], now).state
    }

    fn ejected(&self, now: Time) -> usize {
        let is_ejected = |place: &usize| self.state(*place, now) == EndpointState::Ejected;
        (0..self.all.len()).filter(is_ejected).count()
    }

    fn busy(&self, place: usize, in_flight: u32) {
        (0..in_flight).for_each(|_| self.all[place].began());
    }
}

#[test]
fn each_in_turn_whatever_its_load() {
    let mut model = Model::new("balance: round_robin", 3);
    model.busy(0, 9);
    assert_eq!(model.picks(7, at(0.0)), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn the_turn_of_an_excluded_one_is_shared_evenly() {
    for balance in ["round_robin", "least_requests"] {
        let mut model = Model::new(&format!("balance: {balance}"), 3);
        model.busy(1, 3);
        model.busy(2, 3);
        let picks = (0..6).map(|_| model.pick_without(&[0], at(0.0)).unwrap().place);
        assert_eq!(picks.collect::<Vec<_>>(), [1, 2, 1, 2, 1, 2]);
    }
}

#[test]
fn the_least_loaded_and_ties_in_turn() {
    let mut model = Model::new("balance: least_requests", 4);
    model.busy(1, 4);
    assert_eq!(model.picks(6, at(0.0)), [0, 2, 3, 0, 2, 3]);
    model.busy(0, 1);
    model.busy(2, 1);
    assert_eq!(model.picks(3, at(0.0)), [3, 3, 3]);
}

#[test]
fn least_requests_levels_what_runs_unevenly() {
    let mut model = Model::new("balance: least_requests", 3);
    model.busy(0, 7);
    model.busy(2, 2);
    for _ in 0..12 {
        let place = model.pick(at(0.0));
        model.busy(place, 1);
    }
    assert!(model.all.iter().all(|one| one.in_flight() == 7));
}

#[test]
fn of_many_two_are_compared() {
    let mut model = Model::new("balance: least_requests", 100);
    model.busy(40, 1_000);
    for _ in 0..5_000 {
        let place = model.pick(at(0.0));
        model.busy(place, 1);
    }
    let most =
        (0..100).filter(|place| *place != 40).map(|place| model.all[place].in_flight()).max();
    assert!(most.unwrap() <= 56, "{most:?}");
    assert_eq!(model.all[40].in_flight(), 1_000);
}

#[test]
fn none_when_all_are_excluded_or_there_are_none() {
    for count in [0, 2] {
        for balance in ["round_robin", "least_requests", "peak_ewma"] {
            let mut model = Model::new(&format!("balance: {balance}"), count);
            assert_eq!(model.pick_without(&[0, 1], at(0.0)), None);
        }
    }
}

#[test]
fn a_slow_one_gets_little_and_is_tried_again() {
    let mut model = Model::new("balance: peak_ewma", 2);
    let mut got = [0, 0];
    let millis = [10, 200];
    for request in 0..10_000 {
        let now = at(f64::from(request) / 100.0);
        let place = model.pick(now);
        got[place] += 1;
        let latency = Some(Duration::from_millis(millis[place]));
        model.ends(place, Outcome::Success { latency }, now);
    }
    assert!(got[1] > 0 && got[1] < 100, "{got:?}");
}

#[test]
fn one_that_fails_at_once_draws_nothing() {
    let mut model = Model::new("balance: peak_ewma, outlier: { mode: disabled }", 2);
    let mut failed = 0;
    for request in 0..1_000 {
        let now = at(f64::from(request) / 100.0);
        let place = model.pick(now);
        let outcome = if place == 0 { Outcome::Failure } else { GOOD };
        failed += usize::from(place == 0);
        model.ends(place, outcome, now);
    }
    assert!(failed <= 2, "{failed}");
}

#[test]
fn failures_in_a_row_eject_and_each_time_for_longer() {
    let mut model = Model::new("slow_start: 0s", 2);
    assert_eq!(model.fails(0, 4, at(0.0)), None);
    model.ends(0, GOOD, at(0.0));
    assert_eq!(model.fails(0, 4, at(0.0)), None, "they are counted anew after one that went well");
    let mut now = 0.0;
    for (times, lasts) in [(1, 30.0), (2, 60.0), (3, 90.0)] {
        let judged = model.fails(0, 5, at(now));
        let Some(Judged::Ejected(ejection)) = judged else { panic!("{judged:?}") };
        assert_eq!((ejection.cause, ejection.times), (Cause::Consecutive, times));
        assert_eq!(ejection.until, at(now + lasts));
        assert_eq!(model.shares(10, at(now + lasts - 0.1)), [0, 10]);
        now += lasts;
        assert_eq!(model.shares(10, at(now)), [5, 5]);
    }
    let view = model.rules.view(&model.all[0], at(now));
    assert_eq!(view.ejections, [3, 0]);
    now += 300.0;
    let judged = model.fails(0, 5, at(now));
    let Some(Judged::Ejected(ejection)) = judged else { panic!("{judged:?}") };
    assert_eq!(ejection.times, 1, "it has been well for long");
}

#[test]
fn a_share_of_failures_ejects_where_others_do_better() {
    let model = Model::new("", 2);
    let mut judged = None;
    for request in 0..24 {
        model.ends(1, GOOD, at(0.1));
        let outcome = if request % 2 == 0 { GOOD } else { Outcome::Failure };
        judged = model.ends(0, outcome, at(0.1)).or(judged);
    }
    let Some(Judged::Ejected(ejection)) = judged else { panic!("{judged:?}") };
    assert_eq!(ejection.cause, Cause::ErrorRatio);
}

#[test]
fn where_all_fail_alike_nobody_is_ejected() {
    let model = Model::new("", 3);
    let mut now = 0.0;
    for _ in 0..500 {
        for place in 0..3 {
            let judged = model.ends(place, Outcome::Failure, at(now));
            assert!(!matches!(judged, Some(Judged::Ejected(_))), "{judged:?}");
        }
        now += 0.01;
    }
    assert_eq!(model.ejected(at(now)), 0);
}

#[test]
fn outcomes_of_requests_from_before_say_nothing_of_today() {
    let model = Model::new("outlier: { consecutive: 2 }", 2);
    assert!(matches!(model.fails(0, 2, at(0.0)), Some(Judged::Ejected(_))));
    for began in [0.0, 29.0] {
        let one = &model.all[0];
        for _ in 0..10 {
            let late = model.rules.on_outcome(
                one,
                Outcome::Failure,
                at(began),
                at(31.0),
                model.all.iter(),
            );
            assert_eq!(late, None);
        }
    }
    assert_eq!(model.ejected(at(31.0)), 0);
}

#[test]
fn when_the_last_one_fails_too_the_others_come_back() {
    let mut model = Model::new("outlier: { consecutive: 2, max_ejected: 100% }, slow_start: 0s", 3);
    for place in [0, 1] {
        assert!(matches!(model.fails(place, 2, at(0.0)), Some(Judged::Ejected(_))));
    }
    assert_eq!(model.shares(9, at(0.1)), [0, 0, 9]);
    assert_eq!(model.fails(2, 2, at(0.1)), Some(Judged::Last { readmitted: 2 }));
    assert_eq!(model.shares(9, at(0.1)), [3, 3, 3]);
}

#[test]
fn no_more_are_ejected_than_may_be() {
    for (share, expected) in [("1%", 1), ("50%", 5), ("59%", 5), ("100%", 9)] {
        let model = Model::new(&format!("outlier: {{ max_ejected: {share} }}"), 10);
        for place in 0..10 {
            model.fails(place, 5, at(0.0));
            if place < 9 {
                let ejected = model.ejected(at(0.0));
                assert_eq!(ejected, expected.min(place + 1), "{share}");
            }
        }
    }
}

#[test]
fn in_shadow_it_is_counted_and_used() {
    let mut model = Model::new("outlier: { mode: shadow }", 2);
    model.fails(0, 5, at(0.0));
    assert_eq!(model.state(0, at(1.0)), EndpointState::Ejected);
    assert_eq!(model.shares(10, at(1.0)), [5, 5]);
}

#[test]
fn where_none_would_be_used_all_are() {
    let mut model = Model::new("", 3);
    for place in 0..3 {
        model.all[place].on_check(false, &model.check, at(0.0));
    }
    let pick = model.pick_without(&[0], at(1.0)).unwrap();
    assert!(pick.in_panic && pick.place != 0);
    assert_eq!(model.shares(9, at(1.0)), [3, 3, 3]);
    assert_eq!(model.rules.panicked(), 10);
    model.all[1].on_check(true, &model.check, at(2.0));
    assert_eq!(model.shares(9, at(2.0)), [0, 9, 0], "also while its share still grows");
    assert_eq!(model.pick_without(&[1], at(2.0)), None, "a bad one is no other one");
}

#[test]
fn one_that_joins_waits_for_its_check_where_there_are_checks() {
    let mut model = Model::new("slow_start: 0s", 2);
    model.all.push(Standing::joining(true, at(0.0)));
    assert_eq!(model.state(2, at(0.0)), EndpointState::Unchecked);
    assert_eq!(model.shares(10, at(0.0)), [5, 5, 0]);
    model.all[2].on_check(true, &model.check, at(1.0));
    assert_eq!(model.shares(9, at(1.0)), [3, 3, 3]);
    model.all[2].on_check(false, &model.check, at(2.0));
    assert_eq!(model.shares(10, at(2.0)), [5, 5, 0]);
    model.all[2].unchecked(at(3.0));
    assert_eq!(model.shares(9, at(3.0)), [3, 3, 3], "what nobody checks is used");
}

/// New, recovered, readmitted.
fn starting(balance: &str) -> [Model; 3] {
    let new = || Model::new(&format!("balance: {balance}, slow_start: 60s"), 3);
    let (mut joined, recovered, readmitted) = (new(), new(), new());
    joined.all.push(Standing::joining(false, at(0.0)));
    joined.all.swap_remove(0);
    recovered.all[0].on_check(false, &recovered.check, at(-1.0));
    recovered.all[0].on_check(true, &recovered.check, at(0.0));
    for _ in 0..5 {
        readmitted.ends(0, Outcome::Failure, at(-0.5));
    }
    [joined, recovered, readmitted]
}

#[test]
fn the_share_of_one_that_starts_grows_in_a_line() {
    for balance in ["round_robin", "least_requests", "peak_ewma"] {
        for (case, mut model) in starting(balance).into_iter().enumerate() {
            // One that is readmitted starts 30 s after its ejection.
            let start = if case == 2 { 29.5 } else { 0.0 };
            let mut last = 0.0;
            for step in (0..60).step_by(3) {
                let now = at(start + f64::from(step));
                let share = model.rules.view(&model.all[0], now).share;
                assert!(share >= last, "{share} after {last}");
                let straight = 0.1 + 0.9 * f64::from(step) / 60.0;
                assert!((share - straight).abs() < 1e-6, "{share} for {straight}");
                last = share;
                let got = model.shares(4_000, now)[0] as f64 / 4_000.0;
                let fair = share / (share + 2.0);
                assert!((got - fair).abs() < 0.03, "{balance}: {got} for {fair} after {step} s");
            }
            let whole = model.rules.view(&model.all[0], at(start + 60.0));
            assert_eq!((whole.share, whole.state), (1.0, EndpointState::Healthy));
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Good(usize),
    Fails(usize),
    Check(usize, bool),
    Passes(u16),
}

fn event(count: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..count).prop_map(Event::Good),
        6 => (0..count).prop_map(Event::Fails),
        1 => (0..count, any::<bool>()).prop_map(|(place, well)| Event::Check(place, well)),
        1 => (1..10_000_u16).prop_map(Event::Passes),
    ]
}

fn upstream_of_some() -> impl Strategy<Value = (usize, Vec<Event>)> {
    (1..6_usize).prop_flat_map(|count| (Just(count), vec(event(count), 0..400)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn all_are_never_ejected_and_one_is_always_picked(
        (count, events) in upstream_of_some(),
        max_ejected in 1..=100_u32,
        consecutive in 1..4_u32,
    ) {
        let outlier = format!("outlier: {{ consecutive: {consecutive}, min_requests: 3, max_ejected: {max_ejected}% }}");
        let mut model = Model::new(&outlier, count);
        let may_be = (count * max_ejected as usize / 100).max(1).min(count.saturating_sub(1));
        let mut now = 0.0;
        for event in events {
            match event {
                Event::Good(place) => drop(model.ends(place, GOOD, at(now))),
                Event::Fails(place) => drop(model.ends(place, Outcome::Failure, at(now))),
                Event::Check(place, well) => model.all[place].on_check(well, &model.check, at(now)),
                Event::Passes(millis) => now += f64::from(millis) / 1e3,
            }
            let ejected = model.all.iter().filter(|one| {
                model.rules.view(one, at(now)).last_ejection.is_some_and(|last| at(now) < last.until)
            });
            prop_assert!(ejected.count() <= may_be);
            let pick = model.pick_without(&[], at(now)).unwrap();
            let is_used = model.rules.is_used(&model.all[pick.place], at(now));
            prop_assert!(is_used != pick.in_panic);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn requests_are_shared_evenly_among_equals(count in 1..40_usize, seed in any::<u64>()) {
        for balance in ["round_robin", "least_requests", "peak_ewma"] {
            let mut model = Model::new(&format!("balance: {balance}"), count);
            model.random = StdRng::seed_from_u64(seed);
            let mut got = vec![0_u32; count];
            // Each request lasts as long as it takes for `count` more to come.
            let mut running = std::collections::VecDeque::new();
            for request in 0..200 * count {
                let now = at(request as f64 / 1_000.0);
                if running.len() == count {
                    let place: usize = running.pop_front().unwrap();
                    model.all[place].ended();
                    model.ends(place, GOOD, now);
                }
                let place = model.pick(now);
                model.all[place].began();
                running.push_back(place);
                got[place] += 1;
            }
            let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
            prop_assert!(*least >= 120 && *most <= 290, "{balance}: {got:?}");
            if balance != "peak_ewma" && count <= 16 {
                prop_assert!(most - least <= 1, "{balance}: {got:?}");
            }
        }
    }
}
