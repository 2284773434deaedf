//! The primitives of the structures that are model-checked; the model brings its own in their place.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

pub(crate) use portable_atomic::AtomicU128;
