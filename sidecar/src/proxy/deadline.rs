//! Until when a request has time, and what the service is told of it.
//!
//! A trusted caller says it in any of three headers, and the nearest holds. It may only shorten: the
//! route's `timeout.total` stands whatever is asked for. Where two of them say a duration
//! (`grpc-timeout`, `x-envoy-expected-rq-timeout-ms`), it counts from the request's first byte, on the
//! monotonic clock, and what is left of it is handed on with each try, in the same header. The third says
//! a point in time (`x-request-deadline`, see [`wall`]), from which no time has to be taken off, so it is
//! passed on as it came.
//!
//! A value that is no time is passed over and counted, not answered 400: without it the request is one
//! that `timeout.total` bounds, as any other, and a caller's slip is no outage. It goes on as it came, for
//! whoever understands it. So does whatever a stranger says. It is not believed here, because of what a
//! deadline does to policies, but nobody else is hurt by what its own sender loses.

mod grpc_timeout;
mod wall;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use weir_policy::Time;

use crate::{clock, observe::ledger::DeadlineHeader};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const ENVOY_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const REQUEST_DEADLINE: HeaderName = HeaderName::from_static("x-request-deadline");

/// Until when, and whose word that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    pub(super) at: Time,
    /// The caller set it, shorter than the route's own.
    pub(super) callers: bool,
}

/// What a caller's headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The nearest of all.
    nearest: Option<Time>,
    grpc: bool,
    envoy: bool,
}

impl Asked {
    /// Reads them, of a request that began at `started`; those that say no time are given to `ignored`.
    pub(super) fn read(
        headers: &HeaderMap,
        started: Time,
        mut ignored: impl FnMut(DeadlineHeader),
    ) -> Self {
        let mut asked = Self::default();
        let mut read = |name: &HeaderName, header, at: fn(&str, Time) -> Option<Time>| {
            let mut found = false;
            for value in headers.get_all(name) {
                let said = value.to_str().ok().and_then(|value| at(value.trim(), started));
                match said {
                    Some(at) => {
                        found = true;
                        asked.nearest = Some(asked.nearest.map_or(at, |nearest| nearest.min(at)));
                    }
                    None => ignored(header),
                }
            }
            found
        };
        let grpc = read(&GRPC_TIMEOUT, DeadlineHeader::GrpcTimeout, after_grpc_timeout);
        let envoy = read(&ENVOY_TIMEOUT, DeadlineHeader::EnvoyTimeout, after_envoy_timeout);
        read(&REQUEST_DEADLINE, DeadlineHeader::RequestDeadline, at_request_deadline);
        Self { grpc, envoy, ..asked }
    }

    /// The route's total, or less where the caller asked for that.
    pub(super) fn deadline(&self, started: Time, total: Duration) -> Deadline {
        let own = started + total;
        match self.nearest {
            Some(at) if at < own => Deadline { at, callers: true },
            _ => Deadline { at: own, callers: false },
        }
    }

    /// Until when the caller waits for the whole of a stream, for which the route has no total.
    pub(super) fn of_stream(&self) -> Option<Time> {
        self.nearest
    }

    /// Says in the headers that the caller used how much time is left now, of that until `until`.
    pub(super) fn hand_on(&self, request: &mut RequestHeader, until: Time, now: Time) {
        let left = until.since(now);
        let mut say = |name: HeaderName, value: HeaderValue| {
            // One that ends here because `Connection` names it is not brought back.
            if request.headers.contains_key(&name) {
                // What replaces a field has room.
                request.insert_header(name, value).unwrap_or_default();
            }
        };
        if self.grpc {
            say(GRPC_TIMEOUT, grpc_timeout::written(left));
        }
        if self.envoy {
            // Zero is no deadline at all to Envoy.
            let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
            say(ENVOY_TIMEOUT, HeaderValue::from(millis));
        }
    }
}

fn after_grpc_timeout(text: &str, started: Time) -> Option<Time> {
    Some(started + grpc_timeout::read(text)?)
}

/// Whole milliseconds.
fn after_envoy_timeout(text: &str, started: Time) -> Option<Time> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let millis = text.parse().ok().filter(|millis| digits && *millis > 0)?;
    Some(started + Duration::from_millis(millis))
}

fn at_request_deadline(text: &str, started: Time) -> Option<Time> {
    let left = wall::left(wall::read(text)?, clock::wall())?;
    Some(if left.is_zero() { started } else { clock::now() + left })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: Time = Time::from_nanos(5_000_000_000);

    fn request(fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    /// What is asked for, in milliseconds from the start, and what is passed over.
    fn asked(fields: &[(&'static str, &'static str)]) -> (Option<u128>, Vec<DeadlineHeader>) {
        let mut ignored = Vec::new();
        let asked = Asked::read(&request(fields).headers, STARTED, |header| ignored.push(header));
        (asked.nearest.map(|at| at.since(STARTED).as_millis()), ignored)
    }

    #[test]
    fn the_nearest_holds() {
        use DeadlineHeader::{EnvoyTimeout, GrpcTimeout, RequestDeadline};
        for (fields, expected) in [
            (&[("grpc-timeout", "1S")][..], (Some(1000), vec![])),
            (
                &[("grpc-timeout", "1S"), ("x-envoy-expected-rq-timeout-ms", "200")],
                (Some(200), vec![]),
            ),
            (
                &[("grpc-timeout", "100m"), ("x-envoy-expected-rq-timeout-ms", "200")],
                (Some(100), vec![]),
            ),
            (&[("grpc-timeout", "1S"), ("grpc-timeout", "300m")], (Some(300), vec![])),
            (&[("grpc-timeout", "soon"), ("grpc-timeout", "300m")], (Some(300), vec![GrpcTimeout])),
            (&[("x-envoy-expected-rq-timeout-ms", "0")], (None, vec![EnvoyTimeout])),
            (&[("x-envoy-expected-rq-timeout-ms", "+5")], (None, vec![EnvoyTimeout])),
            (
                &[("x-envoy-expected-rq-timeout-ms", "99999999999999999999")],
                (None, vec![EnvoyTimeout]),
            ),
            (&[("x-request-deadline", "5s")], (None, vec![RequestDeadline])),
            (&[("x-request-deadline", "2020-01-01T00:00:00Z")], (None, vec![RequestDeadline])),
            (&[], (None, vec![])),
        ] {
            assert_eq!(asked(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn it_may_only_shorten() {
        let total = Duration::from_secs(30);
        for (value, expected) in
            [("1S", Some(Duration::from_secs(1))), ("30S", None), ("31S", None), ("9999H", None)]
        {
            let request = request(&[("grpc-timeout", value)]);
            let asked = Asked::read(&request.headers, STARTED, |_| {});
            let deadline = asked.deadline(STARTED, total);
            let callers = deadline.callers.then(|| deadline.at.since(STARTED));
            assert_eq!(callers, expected, "{value}");
            assert!(deadline.at <= STARTED + total);
        }
    }

    #[test]
    fn what_is_left_is_handed_on_in_the_headers_that_were_used() {
        let second = Duration::from_secs(1);
        let absolute = ("x-request-deadline", "2999-01-01T00:00:00Z");
        for (fields, elapsed, expected) in [
            (
                &[("grpc-timeout", "1S"), ("grpc-timeout", "2S"), absolute][..],
                250,
                vec![("grpc-timeout", "750000u"), absolute],
            ),
            (
                &[("x-envoy-expected-rq-timeout-ms", "1000"), ("x-a", "b")],
                1,
                vec![("x-envoy-expected-rq-timeout-ms", "999"), ("x-a", "b")],
            ),
            (
                &[("x-envoy-expected-rq-timeout-ms", "1000"), ("grpc-timeout", "9S")],
                5000,
                vec![("x-envoy-expected-rq-timeout-ms", "1"), ("grpc-timeout", "1n")],
            ),
            (&[("grpc-timeout", "soon")], 1, vec![("grpc-timeout", "soon")]),
        ] {
            let mut request = request(fields);
            let asked = Asked::read(&request.headers, STARTED, |_| {});
            asked.hand_on(&mut request, STARTED + second, STARTED + Duration::from_millis(elapsed));
            let mut handed_on: Vec<_> = (request.headers.iter())
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            handed_on.sort_unstable();
            let mut expected = expected;
            expected.sort_unstable();
            assert_eq!(handed_on, expected, "{fields:?}");
        }
    }
}
