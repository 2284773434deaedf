//! Scenarios as they are written.

use std::{fs, ops::RangeInclusive, path::Path};

use serde::Deserialize;

use super::{
    run::Outcome,
    service::{Shape, Time},
};

/// A service, what is asked of it, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(skip)]
    pub(crate) name: String,
    /// What it shows, in a sentence.
    pub(crate) about: String,
    /// Some were at hand while the default was designed; by the others it is reported.
    pub(crate) half: Half,
    #[serde(with = "serde_yaml::with::singleton_map_recursive")]
    pub(crate) service: Shape,
    #[serde(with = "serde_yaml::with::singleton_map_recursive")]
    pub(crate) time: Time,
    /// It turns away at once what comes while it has so many.
    #[serde(default)]
    pub(crate) turns_away_above: Option<u32>,
    /// After so many milliseconds an answer is of no use any more.
    #[serde(default = "patience")]
    pub(crate) patience: f64,
    /// Where the limit starts.
    #[serde(default = "start")]
    pub(crate) start: u32,
    /// How many may wait before the limit, and for how many milliseconds; the defaults if not said.
    #[serde(default)]
    pub(crate) queue: Option<u32>,
    #[serde(default)]
    pub(crate) wait: Option<f64>,
    pub(crate) phases: Vec<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Half {
    Choose,
    Report,
}

/// A time in which the load stays the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) seconds: f64,
    /// Arrivals, Poisson, in capacities.
    pub(crate) load: f64,
    /// How many times slower the service is than at first.
    #[serde(default = "one")]
    pub(crate) slower: f64,
    /// What is left of its slots.
    #[serde(default = "one")]
    pub(crate) left: f64,
    /// The share of requests that it fails, whatever is in flight.
    #[serde(default)]
    pub(crate) fails: f64,
    /// Seconds that are not counted.
    #[serde(default)]
    pub(crate) settle: f64,
    #[serde(default)]
    pub(crate) expect: Option<Expect>,
}

/// What must come of a phase.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// At least this share of what was possible is answered in time.
    pub(crate) goodput: f64,
    /// The 99th percentile of what was let through is at most so many milliseconds.
    #[serde(default)]
    pub(crate) p99: Option<f64>,
    /// The limit is on average between these.
    #[serde(default)]
    pub(crate) limit: Option<(f64, f64)>,
}

impl Expect {
    fn limit(&self) -> RangeInclusive<f64> {
        self.limit.map_or(0.0..=f64::INFINITY, |(least, most)| least..=most)
    }

    /// What of it did not come, in words.
    pub(crate) fn missed(&self, outcome: &Outcome) -> Vec<String> {
        let Outcome { goodput, p99, limit } = *outcome;
        let p99_most = self.p99.unwrap_or(f64::INFINITY);
        let rows = [
            (goodput >= self.goodput, format!("goodput {goodput:.3}, not {}", self.goodput)),
            (p99 <= p99_most, format!("p99 {p99:.0} ms, not {p99_most}")),
            (self.limit().contains(&limit), format!("limit {limit:.1}, not {:?}", self.limit())),
        ];
        rows.into_iter().filter(|(is_met, _)| !is_met).map(|(_, words)| words).collect()
    }
}

fn patience() -> f64 {
    250.0
}

fn start() -> u32 {
    20
}

fn one() -> f64 {
    1.0
}

/// All scenarios, by name.
pub(crate) fn all() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let scenario = |file: &Path| {
        let text = fs::read_to_string(file).unwrap();
        let scenario: Scenario = serde_yaml::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Scenario { name: file.file_stem().unwrap().to_string_lossy().into_owned(), ..scenario }
    };
    files.iter().map(|file| scenario(file)).collect()
}
