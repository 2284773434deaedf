//! The built binary over real sockets, with real clients and real servers.
//!
//! Nothing here sleeps to be right or depends on how fast the machine is: tests wait for events, with
//! deadlines far beyond what they should take, and every port is chosen by the system.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::let_underscore_must_use, reason = "the other side may have left already")]
#![allow(clippy::disallowed_methods, reason = "real sockets have real deadlines")]

mod faults;
mod ledger;
mod lifecycle;
mod reload;
mod shared;
mod strict;
mod traffic;
mod weir;
