//! The upstream's answer, piece by piece, whatever it speaks; and what it says of the upstream.

use http::header;
use pingora::{
    ErrorType::{
        ConnectionClosed, Custom, H2Error, InternalError, ReadError, ReadTimedout, WriteError,
        WriteTimedout,
    },
    OkOrErr,
    http::ResponseHeader,
    protocols::http::{HttpTask, v2::client::Http2Session},
};

use crate::{
    proxy::{connections::UpstreamSession, refuse::Refusal, stop::Stop},
    reason::Reason,
};

/// The next piece of an upstream's answer.
pub(super) async fn next(upstream: &mut UpstreamSession) -> pingora::Result<HttpTask> {
    match upstream {
        UpstreamSession::H1(stream) => stream.read_response_task().await,
        UpstreamSession::H2(stream) => next_h2(stream).await,
        UpstreamSession::Custom(()) => pingora::Error::e_explain(InternalError, "no such protocol"),
    }
}

async fn next_h2(stream: &mut Http2Session) -> pingora::Result<HttpTask> {
    if stream.response_header().is_none() {
        stream.read_response_header().await?;
        let end = stream.check_response_end_or_error()?;
        let header = stream.response_header().cloned();
        let header = header.or_err(InternalError, "a header that was read is gone")?;
        return Ok(HttpTask::Header(Box::new(header), end));
    }
    if let Some(body) = stream.read_response_body().await? {
        let end = stream.check_response_end_or_error()?;
        return Ok(HttpTask::Body(Some(body), end));
    }
    Ok(HttpTask::Trailer(stream.read_trailers().await?.map(Box::new)))
}

/// What a status says of the upstream.
pub(super) fn judge(header: &ResponseHeader) -> Reason {
    match header.status.as_u16() {
        429 => Reason::UpstreamPushback,
        503 if header.headers.contains_key(header::RETRY_AFTER) => Reason::UpstreamPushback,
        // The request's own fault, whatever the hundred.
        501 | 505 => Reason::Ok,
        500.. => Reason::UpstreamError,
        _ => Reason::Ok,
    }
}

/// What an error on the upstream's side means.
pub(in crate::proxy) fn upstream_stop(error: &pingora::Error) -> Stop {
    let reason = match error.etype() {
        ReadTimedout => Reason::UpstreamFirstByteTimeout,
        ConnectionClosed
        | ReadError
        | WriteError
        | WriteTimedout
        | H2Error
        | Custom("PrematureBodyEnd") => Reason::UpstreamReset,
        _ => Reason::UpstreamProtocol,
    };
    let detail = match reason {
        Reason::UpstreamProtocol => "the upstream's answer is not valid HTTP",
        _ => "the upstream closed the connection before the answer was complete",
    };
    Stop::Upstream(Refusal::new(reason, detail).error(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_what_it_says_of_the_upstream() {
        for (status, retry_after, expected) in [
            (200, false, Reason::Ok),
            (404, false, Reason::Ok),
            (429, false, Reason::UpstreamPushback),
            (500, false, Reason::UpstreamError),
            (501, false, Reason::Ok),
            (503, false, Reason::UpstreamError),
            (503, true, Reason::UpstreamPushback),
            (504, false, Reason::UpstreamError),
        ] {
            let mut header = ResponseHeader::build(status, None).unwrap();
            if retry_after {
                header.insert_header("retry-after", "1").unwrap();
            }
            assert_eq!(judge(&header), expected, "{status}");
        }
    }
}
