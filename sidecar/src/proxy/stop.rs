//! Why a request did not go all the way: what every stage may return instead of a result.

use super::refuse::Refusal;
use crate::reason::Reason;

/// Why a request did not go all the way.
#[derive(Debug)]
pub(super) enum Stop {
    /// We say no.
    Refused(Refusal),
    /// The upstream failed, and this is what the client is told.
    Upstream(Refusal),
    /// Nobody is told anything: the connection is reset, or the stream.
    Reset(Refusal),
    /// The client is no longer there to be told.
    Gone(Reason),
}
