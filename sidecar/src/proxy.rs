//! The request's way, in the order it is walked.
//!
//! `accept -> connection (head, chunks) -> identify -> admit -> faults -> attempt (forward, pump) -> exchange`,
//! with [`refuse`] wherever a verdict is no.
//!
//! Weir stands on pingora-core: its HTTP sessions, its connectors, its pools and its TLS. It does not
//! use pingora-proxy's loop. That loop cannot be left at a deadline, polls nothing downstream while a
//! filter waits, hides the raw head, retries by itself, and exists twice (h1, h2) with channels
//! between its halves. Here one task walks one request and owns both sessions, so that every wait
//! has a deadline and every exit passes the same place.

mod accept;
mod admit;
mod again;
mod attempt;
mod backlog;
mod bare;
mod chunks;
mod client;
mod connection;
mod connections;
mod deadline;
mod exchange;
mod faults;
mod forward;
mod head;
mod identify;
mod keys;
mod linger;
mod pick;
mod pump;
mod refuse;
mod replay;
mod stop;
mod stream;
mod told;
mod way;
mod worker;
mod write_behind;

pub(crate) use self::{
    accept::{BindError, Bound, bind, run},
    worker::{View, Worker},
};
