//! Open-loop load: requests arrive when they are due, whatever became of those before.
//!
//! A closed loop, in which each of so many users waits for an answer before it asks again, asks less of
//! a service that is slow and so hides what overload does to it. Here the [`arrivals`] are fixed before
//! the first request is sent. Each request's latency counts from the moment at which it was meant to
//! start, so that a stall is felt by all the requests that it delayed (wrk2's correction of coordinated
//! omission, without its approximation); latency from the real send stands beside it.
//!
//! A generator that cannot keep up would measure itself. What it could not send is counted, and how
//! late it sent the rest is part of every result ([`health`]).

pub mod arrivals;
mod client;
pub mod health;
pub mod outcome;
pub mod recorder;
mod run;
pub mod stage;

pub use run::{Ran, Run, Stream, run};
