//! Words that metrics, `/explain`, `/upstreams` and the log share, and that no enum of ours has.
//!
//! Reasons, classes and stages have theirs in [`crate::reason`], the states of a breaker in
//! [`weir_policy::State`], and what can be configured in `weir-config`.

use serde::Serialize;
use weir_policy::Snapshot;

/// Stands for a text that there is none of: no route yet, no policy, a breaker of all endpoints.
pub(crate) const NONE: &str = "-";

/// A number of a breaker: its name, what it is, and how it is read.
pub(crate) type BreakerNumber = (&'static str, &'static str, fn(&Snapshot) -> u32);

/// The numbers of a breaker.
pub(crate) const BREAKER_NUMBERS: [BreakerNumber; 5] = [
    ("requests", "Requests in the window of a breaker.", |seen| seen.requests),
    ("failures", "Failures in the window of a breaker.", |seen| seen.failures),
    ("slow", "Slow answers in the window of a breaker.", |seen| seen.slow),
    ("refused", "Requests in its window that an adaptive breaker refused.", |seen| seen.refused),
    ("consecutive_failures", "Failures in a row that a breaker has seen.", |seen| {
        seen.consecutive_failures
    }),
];

/// The word that the configuration has for a value, such as a mode.
pub(crate) fn configured(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).unwrap_or_default();
    word.as_str().unwrap_or(NONE).to_owned()
}

#[cfg(test)]
mod tests {
    use weir_config::Mode;

    use super::*;

    #[test]
    fn a_mode_is_called_as_in_the_configuration() {
        assert_eq!(configured(&Mode::Shadow), "shadow");
    }
}
