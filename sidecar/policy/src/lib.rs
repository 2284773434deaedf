//! Pure overload policies: what passes, what waits, what is refused, and when to come back.
//!
//! A policy here is a value that several threads share. It reads no clock, draws no random number
//! and touches no socket: [`Time`] and random bits are arguments, a verdict is a value with advice.
//! So each can be proven on a virtual clock, and the proxy holds no arithmetic.
//!
//! No decision takes a lock that another request could hold, with three exceptions: the queue before a
//! full concurrency limit, where the requests concerned wait anyway; the moment in which a part of a key
//! table is allocated; and the leases of shared limits, whose locks are many, each held for a few loads
//! and never while the store is asked.
//!
//! Whether a verdict is enforced or only counted is the proxy's business.

mod breaker;
mod concurrency;
mod endpoints;
mod faults;
mod lot;
mod memo;
mod rate_limit;
mod retry;
mod service_time;
mod sync;
mod time;
mod window;

pub use breaker::{Breaker, Open, Outcome, Snapshot, State, Threshold, Ticket};
pub use concurrency::{
    Adaptive, Claim, Entered, Fixed, InFlight, Learned, Limit, Overloaded, Place, Point, Sample,
    Stance,
};
pub use endpoints::{Cause, Ejection, EndpointState, Endpoints, Judged, Pick, Standing, View};
pub use faults::{Drip, Injection, Objection};
pub use rate_limit::{
    Answered, Ask, Asks, Debit, Exceeded, Grant, LeaseKey, Leased, Leases, RateLimiter,
    StoreReceipt, Taken,
};
pub use retry::{Retries, backoff};
pub use service_time::{Fit, ServiceTime, TooLate};
pub use time::Time;
