//! The clinic from outside: what each pattern promises, and how each fault breaks it.
//!
//! Patterns and faults run on paused time without sockets; what depends on a client's leaving, on
//! protocols or on the end of the process crosses real ones.

mod dependency;
mod faults;
mod harness;
mod leaks;
mod patterns;
mod process;
mod protocols;
mod served;
mod shutdown;
mod switches;
