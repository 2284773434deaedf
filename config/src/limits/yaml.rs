//! `limits:` as they are written.

use crate::{
    ListenerLimits, RouteLimits,
    decode::{At, Reader, section},
    scalar::{Count, Size},
};

const MIB: u64 = 1 << 20;
/// Larger bodies belong to an object store.
const BODY_MAX: u64 = 1 << 40;

section! {
    /// What a listener takes before a route is known.
    struct ListenerLimitsYaml {
        /// Connections open at once; further ones are closed on accept.
        connections: At<Count<1, 1_000_000>> = Count(10_000),
        /// Requests on one connection before it is closed.
        requests_per_connection: At<Count<1, 1_000_000_000>> = Count(1_000),
        /// Streams open at once on one HTTP/2 connection; each may hold 64 KiB of an upload that waits.
        streams_per_connection: At<Count<1, 100_000>> = Count(100),
        /// Bytes of the request header, all lines together; above it 431.
        header_bytes: At<Size<1024, MIB>> = Size::kib(60),
        /// Header fields; above it 431.
        headers: At<Count<1, 256>> = Count(100),
        /// Bytes of the request target; above it 414.
        uri_bytes: At<Size<64, MIB>> = Size::kib(8),
    }
}

section! {
    /// What a route takes.
    struct RouteLimitsYaml {
        /// Bytes of a request body; above it 413. Zero takes no body at all. Bodies of a `stream: true` route have no limit.
        body: At<Size<0, BODY_MAX>> = Size::mib(10),
        /// Streams open at once: WebSockets, and every request of a `stream: true` route; each holds a permit of `concurrency` too, unless that is learned.
        streams: At<Count<1, 1_000_000>> = Count(1_000),
    }
}

impl ListenerLimitsYaml {
    pub(crate) fn value(self) -> Option<ListenerLimits> {
        Some(ListenerLimits {
            connections: self.connections.take()?.nonzero()?,
            requests_per_connection: self.requests_per_connection.take()?.nonzero()?,
            streams_per_connection: self.streams_per_connection.take()?.nonzero()?,
            header_bytes: self.header_bytes.take()?.0,
            headers: self.headers.take()?.nonzero()?,
            uri_bytes: self.uri_bytes.take()?.0,
        })
    }

    pub(crate) fn of(limits: &ListenerLimits) -> Self {
        Self {
            connections: At::of(Count(limits.connections.get())),
            requests_per_connection: At::of(Count(limits.requests_per_connection.get())),
            streams_per_connection: At::of(Count(limits.streams_per_connection.get())),
            header_bytes: At::of(Size(limits.header_bytes)),
            headers: At::of(Count(limits.headers.get())),
            uri_bytes: At::of(Size(limits.uri_bytes)),
        }
    }
}

impl RouteLimitsYaml {
    pub(crate) fn value(self) -> Option<RouteLimits> {
        Some(RouteLimits { body: self.body.take()?.0, streams: self.streams.take()?.nonzero()? })
    }

    /// On a route of streams.
    pub(crate) fn check_stream(&self, reader: &mut Reader<'_>) {
        if self.body.written() {
            reader.problem(
                self.body.node(),
                "a `stream: true` route takes bodies of any length, so this limit would never be asked",
                "leave `body` out, or `stream: true` on a route whose bodies shall have a limit",
            );
        }
    }

    pub(crate) fn of(limits: &RouteLimits, stream: bool) -> Self {
        let body = if stream { At::absent() } else { At::of(Size(limits.body)) };
        Self { body, streams: At::of(Count(limits.streams.get())) }
    }
}
