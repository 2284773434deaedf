//! The limits of a listener on a head that arrived as fields (HTTP/2).
//!
//! What RFC 9113 forbids has been refused by the h2 crate and by Pingora before a stream is handed
//! over; how much of it is taken is ours to say.

use pingora::http::RequestHeader;
use weir_config::ListenerLimits;

use super::head::Fault;

/// What RFC 9113 (section 10.5.1) counts for each field beyond its name and value.
const FIELD_OVERHEAD: usize = 32;

pub(super) fn check(request: &RequestHeader, limits: &ListenerLimits) -> Result<(), Fault> {
    let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target as u64 > limits.uri_bytes.get() {
        return Err(Fault::UriTooLong);
    }
    if request.headers.len() > limits.headers.get() as usize {
        return Err(Fault::TooManyHeaders);
    }
    let fields = request.headers.iter();
    let bytes: usize =
        fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum();
    if (bytes + target) as u64 > limits.header_bytes.get() {
        return Err(Fault::HeaderTooLarge);
    }
    Ok(())
}
