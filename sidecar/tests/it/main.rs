//! The built binary over real sockets, with real clients and real servers.
//!
//! Nothing here sleeps to be right or depends on how fast the machine is: tests wait for events, with
//! deadlines far beyond what they should take, and every port is chosen by the system.

mod faults;
mod ledger;
mod lifecycle;
mod strict;
mod weir;
