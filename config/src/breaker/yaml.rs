//! `breaker:` as it is written: the word `adaptive`, `adaptive: {...}`, or thresholds.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::{
    AdaptiveBreaker, Breaker, BreakerScope, Mode, Trip, TripBreaker,
    decode::{At, Decode, Reader, Section, WordOr, has_unknown_key, optional, section},
    scalar::{Count, Decimal, Name, Percent, Period, Time, word},
    tree::NodeId,
};

/// go-zero's value; the 2 of Google's SRE book sets in later.
const K: f64 = 1.5;
const WINDOW: Period = Period::seconds(10);

/// `breaker:` in a file.
pub(crate) type BreakerForm = WordOr<Adaptive, BreakerYaml>;

/// The word `adaptive`.
#[derive(Clone, Copy)]
pub(crate) enum Adaptive {
    Adaptive,
}

word! { Adaptive is "the word `adaptive`" { "adaptive" ["on", "true", "enabled", "default"] => Adaptive } }

word! {
    BreakerScope is "the scope of a breaker" {
        "route" => Route,
        "endpoint" ["host", "instance", "server"] => Endpoint,
    }
}

/// A breaker's mapping, told apart by its keys.
pub(crate) enum BreakerYaml {
    Adaptive(AdaptiveBreakerYaml),
    Trip(TripBreakerYaml),
}

section! {
    /// A breaker that refuses a share of the requests which grows with the failures.
    struct AdaptiveBreakerYaml {
        /// The policy's name; the route's name by default.
        name: Option<At<Name>>,
        /// How it decides.
        adaptive: Section<AdaptiveYaml>,
        /// One state for the route, or one for each endpoint.
        per: At<BreakerScope> = BreakerScope::Route,
        /// Refuse, only count, or do nothing.
        mode: At<Mode> = Mode::Enforce,
    }
}

section! {
    /// How the adaptive breaker decides.
    struct AdaptiveYaml {
        /// How many requests are let through per success seen.
        k: At<Decimal<1_100_000, 100_000_000>> = Decimal(K),
        /// How far back successes and requests are counted.
        window: At<Period> = WINDOW,
    }
}

section! {
    /// A breaker that refuses everything for a while once one of its thresholds is passed.
    struct TripBreakerYaml {
        /// The policy's name; the route's name by default.
        name: Option<At<Name>>,
        /// Failures in a row that open it.
        consecutive: Option<At<Count<1, 1_000_000>>>,
        /// Share of failures in the window that opens it.
        error_ratio: Option<At<Percent>>,
        /// Share of slow answers in the window that opens it; goes with `slow_after`.
        slow_ratio: Option<At<Percent>>,
        /// From when on an answer is slow (time to the response header); goes with `slow_ratio`.
        slow_after: Option<At<Period>>,
        /// How far back outcomes are counted for the two ratios.
        window: At<Period> = WINDOW,
        /// Outcomes in the window before a ratio counts.
        min_requests: At<Count<1, 1_000_000>> = Count(20),
        /// How long it stays open the first time; doubles each time a probe fails.
        open_for: At<Period> = Period::seconds(5),
        /// The longest it stays open.
        open_max: At<Period> = Period::seconds(60),
        /// How many probes run at once while it is half-open, and how many must succeed. Where they do not end, one more may pass each `open_for`.
        probes: At<Count<1, 1_000>> = Count(3),
        /// One state for the route, or one for each endpoint.
        per: At<BreakerScope> = BreakerScope::Route,
        /// Refuse, only count, or do nothing.
        mode: At<Mode> = Mode::Enforce,
    }
}

/// Keys that both kinds have: with no other, the breaker is adaptive.
const SHARED: [&str; 3] = ["name", "per", "mode"];

impl Decode for BreakerYaml {
    /// What one value may stand for; the other thresholds need more than one.
    const KEYS: &'static [&'static str] = &["consecutive", "error_ratio", "mode", "per"];

    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.node(node).entries();
        let adaptive = entries.iter().all(|entry| SHARED.contains(&entry.key.as_str()));
        if entries.iter().any(|entry| entry.key == "adaptive") && thresholds(node, reader) {
            return None;
        }
        if adaptive || entries.iter().any(|entry| entry.key == "adaptive") {
            AdaptiveBreakerYaml::decode(node, reader).map(Self::Adaptive)
        } else {
            TripBreakerYaml::decode(node, reader).map(Self::Trip)
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let adaptive = AdaptiveBreakerYaml::schema(generator);
        let trip = TripBreakerYaml::schema(generator);
        json_schema!({ "anyOf": [adaptive, trip] })
    }
}

/// Whether a breaker that is written as adaptive has thresholds too, which is then reported.
fn thresholds(node: NodeId, reader: &mut Reader<'_>) -> bool {
    let is_threshold = |key: &str| TripBreakerYaml::KEYS.contains(&key) && !SHARED.contains(&key);
    let mut found = false;
    for entry in reader.node(node).entries().iter().filter(|entry| is_threshold(&entry.key)) {
        let what = "an adaptive breaker has no thresholds".to_owned();
        let help =
            "keep either `adaptive` or the thresholds; `k` and `window` go inside `adaptive: { }`"
                .to_owned();
        reader.key_problem(node, entry, what, help);
        found = true;
    }
    found
}

impl Serialize for BreakerYaml {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Adaptive(yaml) => yaml.serialize(serializer),
            Self::Trip(yaml) => yaml.serialize(serializer),
        }
    }
}

/// What a route has where no breaker is written.
pub(crate) fn default(route: &str) -> Breaker {
    Breaker {
        name: route.to_owned(),
        trip: Trip::Adaptive(AdaptiveBreaker { k: K, window: WINDOW.0 }),
        per: BreakerScope::Route,
        mode: Mode::Enforce,
    }
}

pub(crate) fn value(
    form: BreakerForm,
    node: NodeId,
    route: &str,
    reader: &mut Reader<'_>,
) -> Option<Breaker> {
    match form {
        WordOr::Word(Adaptive::Adaptive) => Some(default(route)),
        WordOr::Mapping(BreakerYaml::Adaptive(yaml)) => yaml.value(route),
        WordOr::Mapping(BreakerYaml::Trip(yaml)) => yaml.value(node, route, reader),
    }
}

pub(crate) fn of(breaker: &Breaker) -> BreakerForm {
    let name = Some(At::of(Name(breaker.name.clone())));
    let (per, mode) = (At::of(breaker.per), At::of(breaker.mode));
    WordOr::Mapping(match &breaker.trip {
        Trip::Adaptive(adaptive) => {
            let yaml = AdaptiveYaml {
                k: At::of(Decimal(adaptive.k)),
                window: At::of(Time(adaptive.window)),
            };
            BreakerYaml::Adaptive(AdaptiveBreakerYaml {
                name,
                adaptive: Section(At::of(yaml)),
                per,
                mode,
            })
        }
        Trip::Open(trip) => BreakerYaml::Trip(TripBreakerYaml {
            name,
            consecutive: trip.consecutive.map(|count| At::of(Count(count.get()))),
            error_ratio: trip.error_ratio.map(|ratio| At::of(Percent(ratio))),
            slow_ratio: trip.slow_ratio.map(|ratio| At::of(Percent(ratio))),
            slow_after: trip.slow_ratio.map(|_| At::of(Time(trip.slow_after))),
            window: At::of(Time(trip.window)),
            min_requests: At::of(Count(trip.min_requests.get())),
            open_for: At::of(Time(trip.open_for)),
            open_max: At::of(Time(trip.open_max)),
            probes: At::of(Count(trip.probes.get())),
            per,
            mode,
        }),
    })
}

impl AdaptiveBreakerYaml {
    fn value(self, route: &str) -> Option<Breaker> {
        let adaptive = self.adaptive.0.take()?;
        let (k, window) = (adaptive.k.take()?.0, adaptive.window.take()?.0);
        Some(Breaker {
            name: Name::or(self.name, route)?,
            trip: Trip::Adaptive(AdaptiveBreaker { k, window }),
            per: self.per.take()?,
            mode: self.mode.take()?,
        })
    }
}

impl TripBreakerYaml {
    fn value(self, node: NodeId, route: &str, reader: &mut Reader<'_>) -> Option<Breaker> {
        self.check(node, reader);
        let open_for = self.open_for.take()?.0;
        let open_max = match self.open_max.written() {
            true => self.open_max.take()?.0,
            false => self.open_max.take()?.0.max(open_for),
        };
        let trip = TripBreaker {
            consecutive: optional(self.consecutive)?.and_then(Count::nonzero),
            error_ratio: optional(self.error_ratio)?.map(|percent| percent.0),
            slow_ratio: optional(self.slow_ratio)?.map(|percent| percent.0),
            slow_after: optional(self.slow_after)?.map_or(Duration::MAX, |period| period.0),
            window: self.window.take()?.0,
            min_requests: self.min_requests.take()?.nonzero()?,
            open_for,
            open_max,
            probes: self.probes.take()?.nonzero()?,
        };
        Some(Breaker {
            name: Name::or(self.name, route)?,
            trip: Trip::Open(trip),
            per: self.per.take()?,
            mode: self.mode.take()?,
        })
    }

    fn check(&self, node: NodeId, reader: &mut Reader<'_>) {
        match (&self.slow_ratio, &self.slow_after) {
            (Some(ratio), None) => {
                reader.problem(
                    ratio.node(),
                    "`slow_ratio` does not say what is slow",
                    "add `slow_after: 500ms` beside it",
                );
            }
            (None, Some(after)) => {
                reader.problem(
                    after.node(),
                    "`slow_after` does not say how many are too many",
                    "add `slow_ratio: 80%` beside it",
                );
            }
            (None, None)
                if self.consecutive.is_none()
                    && self.error_ratio.is_none()
                    && !has_unknown_key::<Self>(node, reader) =>
            {
                let help =
                    "add `error_ratio: 50%` or `consecutive: 5`, or write `breaker: adaptive`";
                reader.problem(node, "no threshold would ever open this breaker", help);
            }
            _ => {}
        }
        if let (Some(open_for), Some(open_max)) = (self.open_for.get(), self.open_max.get())
            && self.open_max.written()
            && open_max.0 < open_for.0
        {
            reader.problem(
                self.open_max.node(),
                "`open_max` is shorter than `open_for`",
                "make `open_max` at least as long as `open_for`",
            );
        }
    }
}
