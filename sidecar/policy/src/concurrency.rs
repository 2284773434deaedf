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

pub use adaptive::{Adaptive, Learned, Point, Stance};
pub use in_flight::{Entered, InFlight, Overloaded};
pub use limit::{Fixed, Limit, Sample};
pub use queue::{Claim, Place};
