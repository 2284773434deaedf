//! The load kit.
//!
//! [`engine`] offers requests at a rate that does not wait for their answers, [`station`] is a service
//! whose capacity is known by arithmetic, [`analysis`] says what follows from a run, and [`report`]
//! writes it down. What can be computed is kept apart from what moves bytes: schedules, records and
//! verdicts take time as an argument.

mod alarm;
pub mod analysis;
pub mod clock;
pub mod engine;
pub mod report;
pub mod station;
mod units;

pub use units::{Rate, duration};
