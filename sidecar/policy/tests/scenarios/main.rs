//! Limits that adapt before models of services, on a virtual clock, through the code that the sidecar
//! runs.
//!
//! `cargo test` holds the default to what each scenario expects, and proves that a limit that does not
//! adapt misses it. The table of `docs/concurrency.md` is printed by
//!
//! ```text
//! SEEDS=8 cargo test --release -p weir-policy --test scenarios -- --ignored --nocapture
//! ```
//!
//! `HALF=choose` prints the other half, `SCENARIO=` and `LIMIT=` take those whose names contain a word.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod door;
mod rivals;
mod run;
mod scenario;
mod service;
mod table;

use std::num::NonZeroU32;

use weir_config::AdaptiveLimit;
use weir_policy::{Adaptive, Fixed, Limit};

use self::{
    rivals::{Aimd, Correlation, Gradient2, Vegas, Windowed},
    run::Outcome,
    scenario::{Half, Scenario},
};

type Make = fn(start: u32) -> Box<dyn Limit>;

const DEFAULT: Make = |start| {
    let number = |number| NonZeroU32::new(number).unwrap();
    Box::new(Adaptive::new(AdaptiveLimit {
        start: number(start),
        min: number(1),
        max: number(MOST),
    }))
};
const FROZEN: Make = |start| fixed(start);
const ALWAYS_MOST: Make = |_| fixed(MOST);
const ALWAYS_LEAST: Make = |_| fixed(1);

/// Those of the table.
const LIMITS: &[(&str, Make)] = &[
    ("adaptive", DEFAULT),
    ("gradient2", |start| Box::new(Windowed::new(Gradient2::default(), start))),
    ("vegas", |start| Box::new(Windowed::new(Vegas::default(), start))),
    ("aimd", |start| Box::new(Windowed::new(Aimd::default(), start))),
    ("correlation", |start| Box::new(Windowed::new(Correlation::default(), start))),
    ("frozen", FROZEN),
    ("always 1000", ALWAYS_MOST),
    ("always 1", ALWAYS_LEAST),
];

/// The default's highest.
const MOST: u32 = 1_000;

fn fixed(limit: u32) -> Box<dyn Limit> {
    Box::new(Fixed::new(NonZeroU32::new(limit).unwrap()))
}

/// The means of some runs, by phase.
fn outcomes(scenario: &Scenario, make: Make, seeds: u64) -> Vec<Outcome> {
    let runs: Vec<_> =
        (1..=seeds).map(|seed| run::run(scenario, make(scenario.start), seed)).collect();
    let phases = 0..scenario.phases.len();
    phases.map(|phase| Outcome::mean(runs.iter().map(|run| run[phase]))).collect()
}

/// What a scenario expects and did not get.
fn missed(scenario: &Scenario, outcomes: &[Outcome]) -> Vec<String> {
    let phases = scenario.phases.iter().zip(outcomes).enumerate();
    let missed = phases.flat_map(|(number, (phase, outcome))| {
        let missed = phase.expect.iter().flat_map(|expect| expect.missed(outcome));
        missed.map(move |words| format!("{}, phase {}: {words}", scenario.name, number + 1))
    });
    missed.collect()
}

#[test]
fn the_default_does_what_every_scenario_expects() {
    let all = scenario::all();
    let missed: Vec<_> =
        all.iter().flat_map(|it| missed(it, &outcomes(it, DEFAULT, seeds()))).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_limit_that_stays_where_it_starts_misses_most_of_them() {
    misses_most(FROZEN, 0.5);
}

#[test]
fn the_highest_limit_misses_nearly_all_of_them() {
    misses_most(ALWAYS_MOST, 0.8);
}

#[test]
fn the_lowest_limit_misses_nearly_all_of_them() {
    misses_most(ALWAYS_LEAST, 0.8);
}

/// What a scenario expects is worth something only if there is a limit that does not do it.
fn misses_most(make: Make, share: f64) {
    let all = scenario::all();
    let misses = |it: &&Scenario| {
        let is_met = |outcomes: &[Outcome]| missed(it, outcomes).is_empty();
        !is_met(&run::run_while(it, make(it.start), 1, is_met))
    };
    let (failed, passed): (Vec<_>, Vec<_>) = all.iter().partition(misses);
    let passed: Vec<_> = passed.iter().map(|it| &it.name).collect();
    assert!(failed.len() as f64 >= share * all.len() as f64, "not missed: {passed:?}");
}

#[test]
fn there_are_scenarios_to_choose_by_and_others_to_report() {
    let all = scenario::all();
    let half = |half: Half| all.iter().filter(|it| it.half == half).count();
    assert!(half(Half::Choose) >= 10 && half(Half::Report) >= 10);
    for scenario in &all {
        let expects = scenario.phases.iter().any(|phase| phase.expect.is_some());
        assert!(expects, "{}: nothing is expected", scenario.name);
        assert!(scenario.about.ends_with('.'), "{}: says what it shows", scenario.name);
    }
}

#[test]
#[ignore = "a table to be read"]
fn table() {
    table::print(LIMITS, seeds());
}

fn seeds() -> u64 {
    std::env::var("SEEDS").map_or(1, |seeds| seeds.parse().unwrap())
}
