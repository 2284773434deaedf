//! `limits:` how large, how many.

pub(crate) mod yaml;

use std::num::NonZeroU32;

use crate::ByteSize;

/// What a listener takes before a route is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections open at once; further ones are closed on accept. Defaults to 10,000.
    pub connections: NonZeroU32,
    /// Requests on one connection before it is closed; 1,000 by default.
    pub requests_per_connection: NonZeroU32,
    /// Streams open at once on one HTTP/2 connection; 100 by default.
    pub streams_per_connection: NonZeroU32,
    /// Bytes of the request header, all lines together; above it 431. 60 KiB by default, at most 1 MiB.
    pub header_bytes: ByteSize,
    /// Header fields; above it 431. 100 by default, at most 256.
    pub headers: NonZeroU32,
    /// Bytes of the request target; above it 414. 8 KiB by default.
    pub uri_bytes: ByteSize,
}

/// What a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLimits {
    /// Bytes of a request body; above it 413. 10 MiB by default; zero takes no body at all.
    pub body: ByteSize,
    /// Streams open at once: WebSockets, and every request of a `stream: true` route; each holds a permit of `concurrency` too, unless that is learned. 1,000 by default.
    pub streams: NonZeroU32,
}
