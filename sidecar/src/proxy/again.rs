//! Whether a request that has failed is tried again, and when.
//!
//! It must be safe: nothing was sent, or the route says that the method may be repeated and all of the
//! body that went up is still here; and nothing of an answer has gone to the client. Then it must be of
//! use: within the deadline, and not before the service wants it. Then the budget is asked, and last the
//! breakers and for an endpoint. Refusals of our own are none of it: they never come here.

use std::time::Duration;

use http::{HeaderMap, header};
use pingora::{http::ResponseHeader, protocols::http::ServerSession};
use weir_config::RetryOn;
use weir_policy::backoff;

use super::{
    admit,
    exchange::{Exchange, Verdict},
    forward,
    pick::{ids, pick},
    stop::Stop,
};
use crate::{
    clock,
    plan::{Cause, Route, Withheld},
    reason::Reason,
};

/// The longest that a service may ask a try again to be put off; what it asks beyond is passed on. A
/// request that waits keeps its permit, so this is no longer than a pause of our own.
const PUSHBACK_MAX: Duration = Duration::from_millis(250);

/// How long to wait before the next try, if there is one after this end of the last.
pub(super) fn after(
    exchange: &mut Exchange,
    route: &Route,
    session: &ServerSession,
    stop: &Stop,
) -> Option<Duration> {
    let Stop::Upstream(refusal) = stop else { return None };
    let (failure, cause) = match refusal.reason {
        Reason::UpstreamConnect | Reason::UpstreamConnectTimeout => {
            (RetryOn::Connect, Cause::Connect)
        }
        Reason::UpstreamReset => (RetryOn::Reset, Cause::Reset),
        Reason::UpstreamFirstByteTimeout => (RetryOn::FirstByte, Cause::FirstByte),
        _ => return None,
    };
    let covered = route.retry.is_on() && route.retry.covers(failure);
    if !covered || exchange.header_at.is_some() {
        return None;
    }
    let failed = Failed { cause, verdict: Verdict::Fault, reason: refusal.reason, pushback: None };
    decide(exchange, route, session, failed)
}

/// The same after an answer, of which nothing has gone to the client yet.
pub(super) fn after_answer(
    exchange: &mut Exchange,
    route: &Route,
    session: &ServerSession,
    answer: &ResponseHeader,
    judged: Reason,
) -> Option<Duration> {
    if !route.retry.is_on() {
        return None;
    }
    let status = RetryOn::Status(answer.status.as_u16());
    // What gRPC has to say at once is in the header (Trailers-Only).
    let unavailable = || forward::grpc_status(&answer.headers) == Some(UNAVAILABLE);
    let covered =
        route.retry.covers(status) || route.retry.covers(RetryOn::Unavailable) && unavailable();
    if !covered {
        return None;
    }
    let verdict = match judged {
        Reason::Ok => Verdict::Good(None),
        Reason::UpstreamError => Verdict::Fault,
        _ => Verdict::Nothing,
    };
    let pushback = pushback(&answer.headers);
    let failed = Failed { cause: Cause::Status, verdict, reason: judged, pushback };
    decide(exchange, route, session, failed)
}

const UNAVAILABLE: u16 = 14;

/// How a try has failed.
struct Failed {
    cause: Cause,
    /// What it says of the upstream.
    verdict: Verdict,
    reason: Reason,
    /// What the upstream says of the next one.
    pushback: Option<Pushback>,
}

/// When a service wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushback {
    After(Duration),
    Never,
}

fn decide(
    exchange: &mut Exchange,
    route: &Route,
    session: &ServerSession,
    failed: Failed,
) -> Option<Duration> {
    let retry = &route.retry;
    let request = session.req_header();
    let is_safe = failed.cause == Cause::Connect || retry.repeats(&request.method);
    let is_over = exchange.tries_again >= retry.settings.attempts
        || session.response_written().is_some_and(|said| !said.status.is_informational());
    if is_over || !is_safe || forward::is_websocket(request) {
        return None;
    }
    match next(exchange, route, failed) {
        Ok(pause) => {
            exchange.tries_again += 1;
            exchange.replay.rewind();
            Some(pause)
        }
        Err(why) => {
            retry.withhold(why);
            exchange.withheld = Some(why);
            None
        }
    }
}

/// Finds out when, and who has it next. The answer at hand is the client's unless all of it is there.
fn next(exchange: &mut Exchange, route: &Route, failed: Failed) -> Result<Duration, Withheld> {
    if !exchange.replay.is_whole() {
        return Err(Withheld::Body);
    }
    let nth = exchange.tries_again + 1;
    let drawn = backoff(route.retry.settings.backoff, nth, exchange.worker.random());
    let pause = match failed.pushback {
        None => drawn,
        Some(Pushback::After(asked)) if asked <= PUSHBACK_MAX => asked.max(drawn),
        Some(_) => return Err(Withheld::Pushback),
    };
    let now = clock::now();
    let needed = route.service_time.needed(now).unwrap_or_default();
    if now + pause + needed >= exchange.deadline.at {
        return Err(Withheld::Deadline);
    }
    if !route.retry.withdraw(now) {
        return Err(Withheld::Budget);
    }
    // The breakers hear of this try before they are asked about the next.
    exchange.try_ends(failed.verdict, failed.reason);
    let endpoint = admit::breaker(exchange, route).ok().and_then(|()| {
        let untried = pick(exchange, route, &ids(&exchange.tried)).ok();
        untried.or_else(|| pick(exchange, route, &[]).ok())
    });
    if endpoint.is_none() {
        route.retry.give_back(now);
        // What a breaker gave for the next try comes back.
        exchange.settle(Verdict::Nothing);
        return Err(Withheld::Upstream);
    }
    route.retry.make(failed.cause);
    exchange.next = endpoint;
    Ok(pause)
}

/// What an answer says of the next try: gRPC in milliseconds, of which a negative number means never
/// (gRFC A6), HTTP in seconds or as a date.
fn pushback(headers: &HeaderMap) -> Option<Pushback> {
    let text = |name| headers.get(name)?.to_str().ok();
    if let Some(millis) = text("grpc-retry-pushback-ms") {
        return Some(match millis.trim().parse() {
            Ok(millis) => Pushback::After(Duration::from_millis(millis)),
            // Also what cannot be read.
            Err(_) => Pushback::Never,
        });
    }
    let after = text(header::RETRY_AFTER.as_str())?.trim();
    Some(match after.parse() {
        Ok(seconds) => Pushback::After(Duration::from_secs(seconds)),
        // A date: not within the moment that we would wait.
        Err(_) => Pushback::Never,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_when_it_wants_to_be_asked_again() {
        for (name, value, expected) in [
            ("retry-after", "0", Pushback::After(Duration::ZERO)),
            ("retry-after", " 120 ", Pushback::After(Duration::from_secs(120))),
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Pushback::Never),
            ("retry-after", "99999999999999999999", Pushback::Never),
            ("grpc-retry-pushback-ms", "250", Pushback::After(Duration::from_millis(250))),
            ("grpc-retry-pushback-ms", "-1", Pushback::Never),
            ("grpc-retry-pushback-ms", "soon", Pushback::Never),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(pushback(&headers), Some(expected), "{name}: {value}");
        }
        assert_eq!(pushback(&HeaderMap::new()), None);
    }
}
