//! `faults:` what is made to go wrong, to see what comes of it.

pub(crate) mod yaml;

use std::time::Duration;

use crate::{ByteSize, GrpcStatus, Ratio};

/// Faults that are injected into the requests of a route; at least one of them is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// Some wait before the upstream is asked.
    pub delay: Option<DelayFault>,
    /// Some are answered, or cut off, instead.
    pub abort: Option<AbortFault>,
    /// Some answers come slowly.
    pub drip: Option<DripFault>,
    /// What a caller that is trusted may ask for, of a request of its own.
    pub header: Option<FaultHeader>,
}

/// A wait before the upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayFault {
    /// How long; shorter than `timeout.total`.
    pub duration: Duration,
    /// How many requests; all by default.
    pub ratio: Ratio,
}

/// An end instead of an answer of the upstream's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AbortFault {
    /// What the client gets.
    pub end: Abort,
    /// How many requests; all by default.
    pub ratio: Ratio,
}

/// What the client of a request that is aborted gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// An answer.
    Answer {
        /// 400 to 599; 503 by default.
        status: u16,
        /// In place of the status, where the caller speaks gRPC; `UNAVAILABLE` by default.
        grpc: GrpcStatus,
    },
    /// A connection, or on HTTP/2 a stream, that is reset.
    Reset,
}

impl Abort {
    /// What is answered where nothing else is said.
    pub const STATUS: u16 = 503;
    /// What gRPC callers are told where nothing else is said.
    pub const GRPC_STATUS: GrpcStatus = GrpcStatus::Unavailable;
}

/// An answer whose body comes slowly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DripFault {
    /// Bytes a second; above zero.
    pub rate: ByteSize,
    /// How many requests; all by default.
    pub ratio: Ratio,
}

/// What a trusted caller may ask for in a header; what is not set it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultHeader {
    /// In lower case; `x-weir-fault` by default.
    pub name: String,
    /// The longest delay.
    pub delay_max: Option<Duration>,
    /// Any abort.
    pub abort: bool,
    /// The slowest drip, in bytes a second; above zero.
    pub drip_min: Option<ByteSize>,
}
