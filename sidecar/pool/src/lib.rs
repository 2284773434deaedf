//! The generic worker pool.
