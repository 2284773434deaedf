//! `concurrency:` as it is written.

use schemars::Schema;
use serde::Serialize;

use crate::{
    Concurrency, Mode, Queue,
    decode::{At, Section, section},
    scalar::{Count, Leaf, Name, Period, Text, Time, Wrong},
};

/// How many at once.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Permits(Count<1, 1_000_000>);

section! {
    /// How many requests may be at the upstream at once, and how many may wait.
    struct ConcurrencyYaml {
        /// The policy's name; the route's name by default.
        name: Option<At<Name>>,
        /// Requests at the upstream at once.
        limit: At<Permits> = Permits(Count(1024)),
        /// Who may wait for a permit.
        queue: Section<QueueYaml>,
        /// Refuse, only count, or do nothing.
        mode: At<Mode> = Mode::Enforce,
    }
}

section! {
    /// The queue before a concurrency limit.
    struct QueueYaml {
        /// How many may wait; zero refuses at once.
        length: At<Count<0, 1_000_000>> = Count(16),
        /// How long one may wait.
        timeout: At<Period> = Period::millis(50),
    }
}

impl Leaf for Permits {
    const EXPECTED: &'static str = "a whole number";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        match text.text.as_str() {
            "adaptive" => {
                let wrong = Wrong::new("is not built yet", "write a number, such as `limit: 64`");
                Err(wrong.fix("write a number, such as `limit: 64`").instead("64"))
            }
            _ => Count::parse(text).map(Self),
        }
    }

    fn describe() -> Schema {
        Count::<1, 1_000_000>::describe()
    }
}

impl ConcurrencyYaml {
    pub(crate) fn value(self, route: &str) -> Option<Concurrency> {
        let queue = self.queue.0.take()?;
        Some(Concurrency {
            name: Name::or(self.name, route)?,
            limit: self.limit.take()?.0.nonzero()?,
            queue: Queue { length: queue.length.take()?.0, timeout: queue.timeout.take()?.0 },
            mode: self.mode.take()?,
        })
    }

    pub(crate) fn of(concurrency: &Concurrency) -> Self {
        let queue = QueueYaml {
            length: At::of(Count(concurrency.queue.length)),
            timeout: At::of(Time(concurrency.queue.timeout)),
        };
        Self {
            name: Some(At::of(Name(concurrency.name.clone()))),
            limit: At::of(Permits(Count(concurrency.limit.get()))),
            queue: Section(At::of(queue)),
            mode: At::of(concurrency.mode),
        }
    }
}
