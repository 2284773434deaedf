//! `deadline:` what becomes of a request that cannot make it any more.

pub(crate) mod yaml;

use crate::Mode;

/// Whether requests are refused on arrival that cannot be answered within the time they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deadline {
    /// Refuse, only count, or let them try; refuse by default.
    pub mode: Mode,
}
