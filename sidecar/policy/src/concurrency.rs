//! Concurrency limits: how many at once, and how many may wait.
//!
//! A [`Limit`] computes how many; [`InFlight`] counts them, grants permits and keeps the queue. They
//! are apart so that a limit that adapts can take the place of a fixed one without touching what must
//! never miscount.

mod adaptive;
mod allowance;
mod in_flight;
mod limit;
mod pace;
mod pressure;
mod queue;
mod usage;

use weir_config::ConcurrencyLimit;

pub use adaptive::{Adaptive, Learned, Point, Stance};
pub use in_flight::{Entered, InFlight, Overloaded};
pub use limit::{Fixed, Limit, Sample};
pub use queue::{Claim, Place};

impl<W> InFlight<W> {
    /// Nothing in flight, nobody waiting, under the configured limit.
    pub fn new(settings: &weir_config::Concurrency) -> Self {
        let limit: Box<dyn Limit> = match settings.limit {
            ConcurrencyLimit::Fixed(limit) => Box::new(Fixed::new(limit)),
            ConcurrencyLimit::Adaptive(bounds) => Box::new(Adaptive::new(bounds)),
        };
        Self::with_limit(limit, settings.queue)
    }

    /// What the limit has learned, where it is one that learns.
    pub fn learned(&self) -> Option<Learned> {
        self.rule().learned()
    }
}
