//! `outlier:` when an endpoint is passed over because it fails where others do not.

pub(crate) mod yaml;

use std::{num::NonZeroU32, time::Duration};

use crate::{Mode, Ratio};

/// When an endpoint of an upstream is ejected, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// Failures in a row that eject it; 5 by default.
    pub consecutive: NonZeroU32,
    /// Share of failures in the window that ejects it; 50% by default.
    pub error_ratio: Ratio,
    /// How far back outcomes are counted for the share; 10 s by default.
    pub window: Duration,
    /// Outcomes in the window before the share counts; 20 by default.
    pub min_requests: NonZeroU32,
    /// How long it is passed over the first time; so much longer each time in a row. 30 s by default.
    pub ejection_time: Duration,
    /// The longest that it is passed over, and after how long without it starts from the first time
    /// again; 5 min by default, never below `ejection_time`.
    pub ejection_time_max: Duration,
    /// Share of the endpoints that may be ejected at once, rounded down; one always may, but never all.
    pub max_ejected: Ratio,
    /// Enforce, shadow or disabled.
    pub mode: Mode,
}
