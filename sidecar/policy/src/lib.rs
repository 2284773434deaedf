//! Pure policies.
