//! `timeout:` how long each part of a request may take.

pub(crate) mod yaml;

use std::time::Duration;

/// The times of a route; all above zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// To connect to an endpoint, TLS included; 1 s by default.
    pub connect: Duration,
    /// Between two pieces of the client's body; 30 s by default.
    pub request_body: Duration,
    /// From the request's end to the response header; 15 s by default.
    pub first_byte: Duration,
    /// Between two pieces of the response, and of a stream in either direction; 30 s by default.
    pub idle: Duration,
    /// From the request's first byte to the response's last; on a stream, to the response header.
    /// 30 s by default. 504 when no header was sent, a cut connection or stream otherwise.
    pub total: Duration,
}
