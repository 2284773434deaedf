//! The tries at the upstream: pick, connect, send the header, pump; and again where the route has it so.
//!
//! A pooled connection may have been closed by the upstream just as we took it. Such a try is made again
//! at once when nothing can have happened yet: the request is safe to repeat, has no body, and no byte of
//! an answer was seen. It takes a token of the same budget as tries again after a failure ([`again`]), so
//! an upstream that closes every connection is not asked more often than one that fails otherwise.

use std::sync::Arc;

use http::Method;
use pingora::{ErrorType::ConnectTimedout, http::RequestHeader, protocols::http::ServerSession};
use weir_config::Protocol;

use super::{
    again, client,
    connections::{Connections, UpstreamSession},
    exchange::Exchange,
    forward,
    pick::pick,
    pump::{Ended, Pump, body_too_large, upstream_stop},
    refuse::Refusal,
    stop::Stop,
    told,
};
use crate::{
    clock,
    plan::{Cause, Route},
    reason::{Reason, Stage},
    upstream::Endpoint,
};

/// Tries at stale pooled connections before the failure is believed.
const STALE_MAX: u32 = 3;

/// Hands the request to the upstream and the answer to the client.
pub(super) async fn forward(
    exchange: &mut Exchange,
    route: &Route,
    session: &mut ServerSession,
) -> Result<(), Stop> {
    check_length(route, session.req_header())?;
    if route.retry.is_on() {
        route.retry.on_request(clock::now());
        if route.retry.repeats(&session.req_header().method) {
            exchange.replay.begin();
        }
    }
    let has_body = !session.is_body_done();
    let mut endpoint = pick(exchange, route, &[])?;
    loop {
        exchange.at_endpoint(Arc::clone(&endpoint));
        let ended = attempt(exchange, route, session, &endpoint, has_body).await;
        let pause = match &ended {
            Ok(Ended::Answered { .. }) => return Ok(()),
            Ok(Ended::Again(pause)) => Some(*pause),
            Err(stop) => again::after(exchange, route, session, stop),
        };
        let (Some(pause), Some(next)) = (pause, exchange.next.take()) else {
            return ended.map(drop);
        };
        tokio::select! {
            biased;
            () = client::left(session) => return Err(Stop::Gone(Reason::ClientCancel)),
            () = tokio::time::sleep(pause) => {}
        }
        endpoint = next;
    }
}

/// One try, on a connection that had not ended before.
async fn attempt(
    exchange: &mut Exchange,
    route: &Route,
    session: &mut ServerSession,
    endpoint: &Arc<Endpoint>,
    has_body: bool,
) -> Result<Ended, Stop> {
    let request = session.req_header();
    let repeatable = !has_body && is_safe(&request.method) && !forward::is_websocket(request);
    let connections = Arc::clone(&exchange.view.connections[route.upstream_index]);
    // A stream that an h2 upstream resets says nothing of the connection: it is an answer of its kind.
    let is_h1 = route.upstream.protocol == Protocol::H1;
    let mut stale = 0;
    loop {
        let header =
            forward::request(exchange, session.req_header(), has_body, route.upstream.protocol);
        let mut header = header.map_err(Stop::Refused)?;
        exchange.forwarded_at = clock::now();
        let (mut upstream, reused) = tokio::select! {
            biased;
            connected = connect(exchange, route, endpoint, &connections) => connected?,
            () = client::left(session) => return Err(Stop::Gone(Reason::ClientCancel)),
        };
        exchange.goes_up(has_body);
        forward::hand_on_deadline(exchange, route, &mut header);
        let ended = run(exchange, route, session, &mut upstream, header, has_body).await;
        let whole = matches!(ended, Ok(Ended::Answered { request_complete: true }));
        connections.put_back(endpoint, upstream, whole).await;
        let untouched = exchange.header_at.is_none() && session.response_written().is_none();
        match ended {
            Err(Stop::Upstream(Refusal { reason: Reason::UpstreamReset, .. }))
                if reused
                    && is_h1
                    && repeatable
                    && untouched
                    && stale < STALE_MAX
                    && route.retry.withdraw(clock::now()) =>
            {
                route.retry.make(Cause::Stale);
                exchange.comes_down(None);
                stale += 1;
            }
            ended => return ended.map_err(|stop| told::how(exchange, route, endpoint, stop)),
        }
    }
}

/// The header goes up, then both ways flow.
async fn run(
    exchange: &mut Exchange,
    route: &Route,
    session: &mut ServerSession,
    upstream: &mut UpstreamSession,
    header: Box<RequestHeader>,
    has_body: bool,
) -> Result<Ended, Stop> {
    let until = exchange.deadline.at;
    let sent = async {
        match &mut *upstream {
            UpstreamSession::H2(stream) => stream.write_request_header(header, !has_body),
            upstream => {
                upstream.write_request_header(header).await?;
                if has_body { Ok(()) } else { upstream.finish_request_body().await }
            }
        }
    };
    match clock::by(until, sent).await {
        Some(sent) => sent.map_err(|error| upstream_stop(&error))?,
        None => {
            let detail = "the upstream did not take the request header in time";
            if exchange.spares_upstream() {
                return Err(Stop::Refused(Refusal::new(Reason::Deadline, detail)));
            }
            return Err(Stop::Upstream(Refusal::new(Reason::UpstreamTotalTimeout, detail)));
        }
    }
    Pump::new(exchange, session, route, upstream).run().await
}

async fn connect(
    exchange: &Exchange,
    route: &Route,
    endpoint: &Endpoint,
    connections: &Connections,
) -> Result<(UpstreamSession, bool), Stop> {
    let now = clock::now();
    let until = (now + route.timeout.connect).min(exchange.deadline.at);
    let refusal = |reason, detail: String| {
        told::seen(exchange, route, endpoint, Refusal::new(reason, detail))
    };
    let timed_out = || {
        let detail = format!("no connection to the upstream within {:?}", until.since(now));
        let (reason, (name, limit), whose) = if until < exchange.deadline.at {
            let connect = ("connect_seconds", route.timeout.connect);
            (Reason::UpstreamConnectTimeout, connect, "a higher timeout.connect")
        } else if exchange.spares_upstream() {
            (Reason::Deadline, exchange.whole_time(), "a longer deadline")
        } else {
            (Reason::UpstreamConnectTimeout, exchange.whole_time(), "a higher timeout.total")
        };
        let refusal = refusal(reason, detail)
            .threshold(name, limit.as_secs_f64())
            .would_pass(format!("{whose}, or an upstream that takes connections"));
        match reason {
            Reason::Deadline => Stop::Refused(refusal),
            _ => Stop::Upstream(refusal),
        }
    };
    match clock::by(until, connections.get(endpoint)).await {
        None => Err(timed_out()),
        Some(Err(error)) if *error.etype() == ConnectTimedout => Err(timed_out()),
        Some(Err(error)) => {
            let failed =
                refusal(Reason::UpstreamConnect, "no connection to the upstream".to_owned());
            Err(Stop::Upstream(
                // All of it: what is at the root of a failed handshake may be no more than an address.
                failed.error(&error),
            ))
        }
        Some(Ok(connected)) => Ok(connected),
    }
}

/// A body whose length is told and too large is refused before the upstream hears of it.
fn check_length(route: &Route, request: &RequestHeader) -> Result<(), Stop> {
    let length = request.headers.get(http::header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let limit = route.limits.body.get();
    match length {
        Some(length) if length > limit && !route.stream => Err(Stop::Refused(
            body_too_large(limit).at(Stage::Try).input("content_length_bytes", length),
        )),
        _ => Ok(()),
    }
}

/// RFC 9110, section 9.2.2: repeating these has no further effect.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}
