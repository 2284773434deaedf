//! `concurrency:` as it is written.

use std::num::NonZeroU32;

use crate::{
    AdaptiveLimit, Concurrency, ConcurrencyLimit, Mode, Queue,
    decode::{At, Reader, Section, optional, section},
    rate_limit::yaml::{self as keys, KeyForm},
    scalar::{Count, Name, Or, Period, Time, word},
    tree::NodeId,
};

/// How many at once.
type Permits = Count<1, 1_000_000>;

/// Where a learned limit begins, unless its bounds say otherwise: between what is too few for most
/// services and what is too many for a small one, and found right within seconds from either.
const START: u32 = 20;
const MIN: u32 = 1;
const MAX: u32 = 1000;

section! {
    /// How many requests may be at the upstream at once, and how many may wait.
    struct ConcurrencyYaml {
        /// The policy's name; by default that of the route, or of the upstream.
        name: Option<At<Name>>,
        /// Requests at the upstream at once; `adaptive` learns it from the answers.
        limit: At<Or<Adaptive, Permits>> = Or::Word(Adaptive::Adaptive),
        /// Where an adaptive limit begins; 20 by default, or the bound that is nearest to it.
        start: Option<At<Permits>>,
        /// The lowest that an adaptive limit goes; 1 by default.
        min: Option<At<Permits>>,
        /// The highest that an adaptive limit goes; 1000 by default.
        max: Option<At<Permits>>,
        /// Who may wait for a permit.
        queue: Section<QueueYaml>,
        /// What tells clients apart: where the queue is full, a place of the client that takes the most goes to one that takes less. `route` makes no difference between them.
        fair_per: At<KeyForm> = keys::client(),
        /// Refuse, only count, or do nothing.
        mode: At<Mode> = Mode::Enforce,
    }
}

section! {
    /// The queue before a concurrency limit.
    struct QueueYaml {
        /// How many may wait; zero refuses at once. `auto` follows the limit: six times as many in a burst, and about its square root once more arrive than can be served.
        length: At<Or<Auto, Count<0, 1_000_000>>> = Or::Word(Auto::Auto),
        /// How long one may wait; `auto` is as long as a request is at the upstream, and at least 100 ms; 5 ms while more arrive than can be served, before a queue of a written length.
        timeout: At<Or<Auto, Period>> = Or::Word(Auto::Auto),
    }
}

/// The word `adaptive`.
#[derive(Clone, Copy)]
pub(crate) enum Adaptive {
    Adaptive,
}

/// The word `auto`.
#[derive(Clone, Copy)]
pub(crate) enum Auto {
    Auto,
}

word! { Adaptive is "the word `adaptive`" { "adaptive" ["auto", "automatic", "dynamic", "gradient", "vegas", "aimd"] => Adaptive } }
word! { Auto is "the word `auto`" { "auto" ["adaptive", "automatic", "default"] => Auto } }

impl ConcurrencyYaml {
    /// `owner` is the name of the route or the upstream, `node` the section's place.
    pub(crate) fn value(
        self,
        owner: &str,
        node: NodeId,
        reader: &mut Reader<'_>,
    ) -> Option<Concurrency> {
        if self.queue.0.written() && self.queue.0.get().is_some() && !self.limit.written() {
            let help = "write the limit too, such as `limit: adaptive`";
            reader.problem(self.queue.0.node(), "a queue stands before a limit", help);
        }
        let bounds = [(self.start, "start"), (self.min, "min"), (self.max, "max")];
        let limit = match self.limit.take() {
            Some(Or::Value(limit)) => fixed(limit, &bounds, reader),
            Some(Or::Word(_)) => adaptive(bounds, node, reader).map(ConcurrencyLimit::Adaptive),
            None => None,
        };
        let fair_at = self.fair_per.node();
        let fair_per = self.fair_per.take().and_then(|form| keys::key(form, fair_at, reader));
        let queue = self.queue.0.take()?;
        Some(Concurrency {
            name: Name::or(self.name, owner)?,
            limit: limit?,
            queue: Queue {
                length: queue.length.take()?.value().map(|length| length.0),
                timeout: queue.timeout.take()?.value().map(|timeout| timeout.0),
            },
            fair_per: fair_per?,
            mode: self.mode.take()?,
        })
    }

    pub(crate) fn of(concurrency: &Concurrency) -> Self {
        let Queue { length, timeout } = concurrency.queue;
        let queue = QueueYaml {
            length: At::of(length.map_or(Or::Word(Auto::Auto), |length| Or::Value(Count(length)))),
            timeout: At::of(timeout.map_or(Or::Word(Auto::Auto), |time| Or::Value(Time(time)))),
        };
        let permits = |count: NonZeroU32| Count(count.get());
        let (limit, bounds) = match concurrency.limit {
            ConcurrencyLimit::Fixed(limit) => (Or::Value(permits(limit)), None),
            ConcurrencyLimit::Adaptive(bounds) => (Or::Word(Adaptive::Adaptive), Some(bounds)),
        };
        let bound = |of: fn(&AdaptiveLimit) -> NonZeroU32| {
            bounds.as_ref().map(|bounds| At::of(permits(of(bounds))))
        };
        Self {
            name: Some(At::of(Name(concurrency.name.clone()))),
            limit: At::of(limit),
            start: bound(|bounds| bounds.start),
            min: bound(|bounds| bounds.min),
            max: bound(|bounds| bounds.max),
            queue: Section(At::of(queue)),
            fair_per: At::of(keys::of_key(&concurrency.fair_per)),
            mode: At::of(concurrency.mode),
        }
    }
}

/// A limit that is written has nothing to learn.
fn fixed(
    limit: Permits,
    bounds: &[(Option<At<Permits>>, &str); 3],
    reader: &mut Reader<'_>,
) -> Option<ConcurrencyLimit> {
    let mut whole = true;
    for (bound, key) in bounds {
        let Some(bound) = bound else { continue };
        let help = format!("write `limit: adaptive`, or leave `{key}` out");
        reader.problem(bound.node(), format!("`{key}` bounds a limit that adapts"), help);
        whole = false;
    }
    limit.nonzero().filter(|_| whole).map(ConcurrencyLimit::Fixed)
}

/// Bounds in order, and a start between them.
fn adaptive(
    [start, min, max]: [(Option<At<Permits>>, &str); 3],
    section: NodeId,
    reader: &mut Reader<'_>,
) -> Option<AdaptiveLimit> {
    let at = |bound: &Option<At<Permits>>| bound.as_ref().map_or(section, At::node);
    let (start_at, min_at, max_at) = (at(&start.0), at(&min.0), at(&max.0));
    let (start_written, min_written) = (start.0.is_some(), min.0.is_some());
    let (start, min, max) = (optional(start.0), optional(min.0), optional(max.0));
    let (start, min, max) = (start?, min?, max?);
    let count = |bound: Option<Permits>, default| bound.map_or(default, |bound| bound.0);
    let low = count(min, MIN);
    // A lowest above the highest there is by default moves that along.
    let high = count(max, MAX.max(low));
    if low > high {
        let at = if min_written { min_at } else { max_at };
        let help = format!("write a `max` of at least {low}, or a `min` of at most {high}");
        reader.problem(at, format!("`min` is {low}, above `max`, which is {high}"), help);
        return None;
    }
    let first = count(start, START.clamp(low, high));
    if start_written && !(low..=high).contains(&first) {
        let help = format!("write a `start` from {low} to {high}");
        reader.problem(
            start_at,
            format!("`start` is not from `min` to `max`, {low} to {high}"),
            help,
        );
        return None;
    }
    Some(AdaptiveLimit {
        start: NonZeroU32::new(first)?,
        min: NonZeroU32::new(low)?,
        max: NonZeroU32::new(high)?,
    })
}
