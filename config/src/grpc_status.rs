//! The status of a gRPC call that failed.

use crate::scalar::{Word, word};

/// A status other than OK, as in `google.rpc.Code`.
#[allow(missing_docs, reason = "the names are gRPC's")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GrpcStatus {
    Cancelled = 1,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

word! {
    GrpcStatus is "a gRPC status" {
        "CANCELLED" ["1", "canceled"] => Cancelled,
        "UNKNOWN" ["2"] => Unknown,
        "INVALID_ARGUMENT" ["3"] => InvalidArgument,
        "DEADLINE_EXCEEDED" ["4"] => DeadlineExceeded,
        "NOT_FOUND" ["5"] => NotFound,
        "ALREADY_EXISTS" ["6"] => AlreadyExists,
        "PERMISSION_DENIED" ["7"] => PermissionDenied,
        "RESOURCE_EXHAUSTED" ["8"] => ResourceExhausted,
        "FAILED_PRECONDITION" ["9"] => FailedPrecondition,
        "ABORTED" ["10"] => Aborted,
        "OUT_OF_RANGE" ["11"] => OutOfRange,
        "UNIMPLEMENTED" ["12"] => Unimplemented,
        "INTERNAL" ["13"] => Internal,
        "UNAVAILABLE" ["14"] => Unavailable,
        "DATA_LOSS" ["15"] => DataLoss,
        "UNAUTHENTICATED" ["16"] => Unauthenticated,
    }
}

impl GrpcStatus {
    /// The status with this name, as in `UNAVAILABLE`.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|spelling| spelling.word == name);
        found.map(|spelling| spelling.value)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::WORDS.iter().find(|spelling| spelling.value == self);
        found.map_or("UNKNOWN", |spelling| spelling.word)
    }

    /// Its number, 1 to 16.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn codes_are_those_of_google_rpc() {
        for (name, code) in [("CANCELLED", 1), ("RESOURCE_EXHAUSTED", 8), ("UNAUTHENTICATED", 16)] {
            let status = GrpcStatus::named(name).unwrap();
            assert_eq!((status.code(), status.name()), (code, name));
        }
        assert_eq!(GrpcStatus::named("OK"), None);
    }
}
