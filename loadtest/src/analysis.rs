//! What follows from a run: pure functions over its record.

pub mod recovery;
