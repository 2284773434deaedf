//! Why a request ended as it did: the one taxonomy, and the one table from reason to answer.
//!
//! The word of a reason is the metric label, the field in logs, the `reason` of a problem body and
//! the `details` of `Proxy-Status`. The status says whose turn it is: 429 is the caller's quota,
//! 503 our own overload, 504 a deadline, 502 the upstream's fault, 4xx the caller's request.

use http::StatusCode;
use serde::{Serialize, Serializer};

/// How a request counts in the ledger; each ends in exactly one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It was handed to the upstream, whatever came of it there.
    Forwarded,
    /// We refused it.
    Rejected,
    /// The client left, or stopped reading, before the end.
    Cancelled,
}

impl Class {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The step on a request's way where it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Parse,
    Identify,
    /// The deadline was spent before any policy was asked.
    Deadline,
    Rate,
    Breaker,
    /// Streams and concurrency, with the queue.
    Admit,
    /// A fault that was injected.
    Fault,
    /// The upstream.
    Try,
}

impl Stage {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Identify => "identify",
            Self::Deadline => "deadline",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::Admit => "admit",
            Self::Fault => "fault",
            Self::Try => "try",
        }
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $class:ident, $status:expr, $grpc:expr, $error:literal;)+) => {
        /// Why a request ended as it did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word for it everywhere.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The class it counts in.
            pub(crate) const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)+ }
            }

            /// The status of the answer, where we write one.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => $status,)+ }
            }

            /// The gRPC code of the answer, where we write one (`google.rpc.Code`).
            pub(crate) const fn grpc_code(self) -> u8 {
                match self { $(Self::$name => $grpc,)+ }
            }

            /// The error type of `Proxy-Status` (RFC 9209, section 2.3).
            pub(crate) const fn proxy_error(self) -> &'static str {
                match self { $(Self::$name => $error,)+ }
            }
        }
    };
}

reasons! {
    /// The upstream answered, and well enough (below 500, or a status that says nothing of its health).
    Ok = "ok", Forwarded, StatusCode::OK, 0, "";
    /// The upstream answered with a failure of its own.
    UpstreamError = "upstream_error", Forwarded, StatusCode::BAD_GATEWAY, 13, "http_response_incomplete";
    /// The upstream asked for less: 429, or 503 with `Retry-After`.
    UpstreamPushback = "upstream_pushback", Forwarded, StatusCode::SERVICE_UNAVAILABLE, 14, "http_response_incomplete";
    /// No connection: refused, unreachable, or the TLS handshake failed.
    UpstreamConnect = "upstream_connect", Forwarded, StatusCode::BAD_GATEWAY, 14, "connection_refused";
    /// No connection within `timeout.connect`.
    UpstreamConnectTimeout = "upstream_connect_timeout", Forwarded, StatusCode::GATEWAY_TIMEOUT, 4, "connection_timeout";
    /// The connection ended before the answer did.
    UpstreamReset = "upstream_reset", Forwarded, StatusCode::BAD_GATEWAY, 14, "connection_terminated";
    /// The answer was not HTTP.
    UpstreamProtocol = "upstream_protocol", Forwarded, StatusCode::BAD_GATEWAY, 13, "http_protocol_error";
    /// No response header within `timeout.first_byte`.
    UpstreamFirstByteTimeout = "upstream_first_byte_timeout", Forwarded, StatusCode::GATEWAY_TIMEOUT, 4, "http_response_timeout";
    /// Silence in the answer for longer than `timeout.idle`.
    UpstreamIdleTimeout = "upstream_idle_timeout", Forwarded, StatusCode::GATEWAY_TIMEOUT, 4, "http_response_timeout";
    /// The route's `timeout.total` ran out while the upstream had the request.
    UpstreamTotalTimeout = "upstream_total_timeout", Forwarded, StatusCode::GATEWAY_TIMEOUT, 4, "http_response_timeout";
    /// Not a request we would pass on: malformed, ambiguous, or smuggling.
    BadRequest = "bad_request", Rejected, StatusCode::BAD_REQUEST, 3, "http_request_error";
    /// CONNECT.
    MethodNotAllowed = "method_not_allowed", Rejected, StatusCode::METHOD_NOT_ALLOWED, 12, "http_request_denied";
    /// The header or the body did not arrive in time.
    RequestTimeout = "request_timeout", Rejected, StatusCode::REQUEST_TIMEOUT, 4, "http_request_error";
    /// The body is above `limits.body`.
    BodyTooLarge = "body_too_large", Rejected, StatusCode::PAYLOAD_TOO_LARGE, 8, "http_request_denied";
    /// The request target is above `limits.uri_bytes`.
    UriTooLong = "uri_too_long", Rejected, StatusCode::URI_TOO_LONG, 3, "http_request_denied";
    /// The header is above `limits.headers` or `limits.header_bytes`.
    HeaderTooLarge = "header_too_large", Rejected, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, 8, "http_request_denied";
    /// No route matches.
    NoRoute = "no_route", Rejected, StatusCode::NOT_FOUND, 12, "destination_not_found";
    /// Over a rate limit.
    RateLimited = "rate_limited", Rejected, StatusCode::TOO_MANY_REQUESTS, 8, "http_request_denied";
    /// Its rate limit is shared and its store is lost, which `on_store_loss: closed` refuses.
    LimitStoreLost = "limit_store_lost", Rejected, StatusCode::SERVICE_UNAVAILABLE, 14, "http_request_denied";
    /// The breaker is open.
    BreakerOpen = "breaker_open", Rejected, StatusCode::SERVICE_UNAVAILABLE, 14, "destination_unavailable";
    /// Over the concurrency limit, and no place in the queue, or none that was kept.
    Overloaded = "overloaded", Rejected, StatusCode::SERVICE_UNAVAILABLE, 14, "connection_limit_reached";
    /// Over `limits.streams`.
    StreamLimit = "stream_limit", Rejected, StatusCode::SERVICE_UNAVAILABLE, 14, "connection_limit_reached";
    /// The deadline was spent, or could not be met any more, before the upstream had the request; or it was the caller's own.
    Deadline = "deadline", Rejected, StatusCode::GATEWAY_TIMEOUT, 4, "http_request_denied";
    /// The upstream has no endpoint: its name has never been resolved.
    NoEndpoint = "no_endpoint", Rejected, StatusCode::SERVICE_UNAVAILABLE, 14, "dns_error";
    /// A fault that was asked for: an abort in place of the upstream's answer.
    FaultInjected = "fault_injected", Rejected, StatusCode::SERVICE_UNAVAILABLE, 14, "http_request_denied";
    /// A fault of ours.
    Internal = "internal", Rejected, StatusCode::INTERNAL_SERVER_ERROR, 13, "proxy_internal_error";
    /// The client left before the end.
    ClientCancel = "client_cancel", Cancelled, StatusCode::BAD_REQUEST, 1, "http_request_error";
    /// The client took no byte for longer than `timeout.write`.
    ClientSlow = "client_slow", Cancelled, StatusCode::BAD_REQUEST, 1, "http_request_error";
}

impl Reason {
    /// The place in [`Reason::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Whether what the upstream did for a request that ended so was in vain: it was too late, or nobody
    /// waited for it any more.
    pub(crate) const fn wastes(self) -> bool {
        matches!(
            self,
            Self::Deadline
                | Self::UpstreamFirstByteTimeout
                | Self::UpstreamIdleTimeout
                | Self::UpstreamTotalTimeout
                | Self::ClientCancel
                | Self::ClientSlow
        )
    }

    /// Whether the upstream has more to do than it can: it was too slow to answer, or says so itself.
    pub(crate) const fn says_less_please(self) -> bool {
        matches!(
            self,
            Self::UpstreamPushback | Self::UpstreamFirstByteTimeout | Self::UpstreamTotalTimeout
        )
    }

    /// Where a request that ends so mostly ends; a deadline passes anywhere.
    pub(crate) fn usual_stage(self) -> Stage {
        match self {
            Self::NoRoute => Stage::Identify,
            Self::Deadline => Stage::Deadline,
            Self::RateLimited | Self::LimitStoreLost => Stage::Rate,
            Self::BreakerOpen => Stage::Breaker,
            Self::Overloaded | Self::StreamLimit => Stage::Admit,
            Self::FaultInjected => Stage::Fault,
            Self::NoEndpoint | Self::Internal => Stage::Try,
            _ if self.class() == Class::Rejected => Stage::Parse,
            _ => Stage::Try,
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_place_in_the_table() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place, "{}", reason.word());
        }
    }

    #[test]
    fn the_status_says_whose_turn_it_is() {
        for &reason in Reason::ALL {
            let status = reason.status().as_u16();
            match reason.class() {
                Class::Forwarded if reason != Reason::Ok => {
                    assert!(matches!(status, 502..=504), "{reason:?}")
                }
                Class::Rejected => assert!(status >= 400, "{reason:?}"),
                _ => {}
            }
        }
    }
}
