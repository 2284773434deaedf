//! A request's way through the stages, and what becomes of its connection.

use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use pingora::protocols::{Stream, http::ServerSession};
use tokio::time::timeout;

use super::{
    admit, attempt, client,
    exchange::{Exchange, Verdict},
    faults, forward, identify,
    linger::{Rest, drain, linger},
    refuse::{self, Refusal},
    stop::Stop,
};
use crate::reason::Reason;

/// A connection that can take the next request, with what was read of it.
pub(super) struct Reusable {
    pub(super) stream: Stream,
    pub(super) prefix: BytesMut,
}

/// An answered request's session, and what of the request was not read.
type Answered = (ServerSession, Rest);

/// Walks a request whose header has been read; returns its h1 connection when it can go on.
pub(super) async fn walk(mut exchange: Exchange, mut session: ServerSession) -> Option<Reusable> {
    if exchange.worker.draining.is_cancelled() {
        session.set_keepalive(None);
    }
    let (mut session, rest) = match proceed(&mut exchange, &mut session).await {
        Ok(()) => {
            let rest = Rest::of(&mut session);
            (session, rest)
        }
        Err(stop) => stopped(&mut exchange, session, stop).await?,
    };
    client::sent(&mut session, exchange.listener.timeout.write).await?;
    drop(exchange);
    if rest == Rest::Unbounded || closes(&session) {
        linger(session).await;
        return None;
    }
    let (stream, prefix) = drain(session).await?.into_parts();
    Some(Reusable { stream, prefix: prefix.unwrap_or_default() })
}

/// Whether the connection ends with this answer.
fn closes(session: &ServerSession) -> bool {
    session.as_http1().is_some_and(|session| !session.will_keepalive())
}

/// The stages, in order.
async fn proceed(exchange: &mut Exchange, session: &mut ServerSession) -> Result<(), Stop> {
    identify::identify(exchange, session.req_header()).map_err(Stop::Refused)?;
    let Some(route) = exchange.route.clone() else {
        return Err(Stop::Refused(Refusal::new(Reason::Internal, "a request lost its route")));
    };
    admit::deadline(exchange, &route).map_err(Stop::Refused)?;
    admit::rate(exchange, &route, session).await.map_err(Stop::Refused)?;
    admit::breaker(exchange, &route).map_err(Stop::Refused)?;
    if route.stream || forward::is_websocket(session.req_header()) {
        admit::stream(exchange, &route).map_err(Stop::Refused)?;
    }
    admit::permit(exchange, &route, session).await?;
    faults::inject(exchange, &route, session).await?;
    attempt::forward(exchange, &route, session).await
}

async fn stopped(exchange: &mut Exchange, session: ServerSession, stop: Stop) -> Option<Answered> {
    match stop {
        Stop::Gone(reason) => {
            exchange.ends_instead(reason);
            exchange.upstream_done(Verdict::Nothing);
            None
        }
        Stop::Upstream(refusal) => {
            exchange.ends_instead(refusal.reason);
            exchange.upstream_done(Verdict::Fault);
            answer_or_cut(exchange, session, refusal).await
        }
        Stop::Reset(refusal) => {
            exchange.ends_instead(refusal.reason);
            exchange.upstream_done(Verdict::Nothing);
            exchange.refund();
            refuse::explain_cut(exchange, session.req_header(), None, refusal);
            client::reset(session);
            None
        }
        Stop::Refused(refusal) => {
            exchange.ends_instead(refusal.reason);
            exchange.upstream_done(Verdict::Nothing);
            exchange.refund();
            answer_or_cut(exchange, session, refusal).await
        }
    }
}

/// Ends an answer in the middle, so that nobody takes it for whole; what was said of it arrives.
///
/// Only an HTTP/1.0 client, whose answer has no length and ends with the connection, cannot tell.
async fn cut(mut session: ServerSession) {
    match &mut session {
        ServerSession::H2(session) => session.shutdown(),
        session => timeout(CUT_TIMEOUT, session.shutdown()).await.unwrap_or_default(),
    }
}

/// How long a client may take to hear the beginning of an answer that has no end.
const CUT_TIMEOUT: Duration = Duration::from_millis(100);

/// Says why, where the answer has not begun; otherwise it is cut so that nobody takes it for whole.
async fn answer_or_cut(
    exchange: &mut Exchange,
    mut session: ServerSession,
    refusal: Refusal,
) -> Option<Answered> {
    // After a 101 every byte is the protocol's that was switched to.
    let begun = session
        .response_written()
        .map(|header| header.status)
        .filter(|status| !status.is_informational() || *status == StatusCode::SWITCHING_PROTOCOLS);
    if let Some(status) = begun {
        refuse::explain_cut(exchange, session.req_header(), Some(status.as_u16()), refusal);
        cut(session).await;
        return None;
    }
    let rest = Rest::of(&mut session);
    match rest {
        Rest::Unbounded => session.set_keepalive(None),
        Rest::None | Rest::Small => session.set_close_on_response_before_downstream_finish(false),
    }
    refuse::answer(exchange, &mut session, refusal).await.ok()?;
    Some((session, rest))
}
