//! A refusal as a value: the reason, and the advice that goes with it.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use pingora::{ErrorType::InvalidHTTPHeader, http::RequestHeader};
use serde_json::Value;

use super::rate_limit;
use crate::{
    clock,
    observe::{
        explain::{Explanation, Values},
        words::NONE,
    },
    proxy::exchange::Exchange,
    reason::{Reason, Stage},
};

/// A verdict with advice.
#[derive(Debug)]
pub(in crate::proxy) struct Refusal {
    pub(in crate::proxy) reason: Reason,
    /// Apart, because most requests never see it and every result carries its size.
    pub(super) advice: Box<Advice>,
}

#[derive(Debug, Default)]
pub(super) struct Advice {
    pub(super) detail: String,
    pub(super) policy: String,
    /// The status of the answer and that of gRPC, where they are not those of the reason.
    answer: Option<(StatusCode, u8)>,
    /// Where the reason does not tell it.
    stage: Option<Stage>,
    pub(super) retry_after: Option<Duration>,
    pub(super) rate: Option<(HeaderValue, HeaderValue)>,
    inputs: Values,
    threshold: Values,
    would_pass: String,
}

impl Refusal {
    pub(in crate::proxy) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, advice: Box::new(Advice { detail: detail.into(), ..Advice::default() }) }
    }

    /// Names the policy as the configuration does.
    pub(in crate::proxy) fn policy(mut self, name: &str) -> Self {
        name.clone_into(&mut self.advice.policy);
        self
    }

    /// With other statuses than the reason has.
    pub(in crate::proxy) fn answered_with(mut self, status: StatusCode, grpc: u8) -> Self {
        self.advice.answer = Some((status, grpc));
        self
    }

    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        self.advice.answer.map_or(self.reason.status(), |(status, _)| status)
    }

    /// The status of the answer to gRPC.
    pub(super) fn grpc_code(&self) -> u8 {
        self.advice.answer.map_or(self.reason.grpc_code(), |(_, grpc)| grpc)
    }

    /// Where on its way the request was refused.
    pub(in crate::proxy) fn at(mut self, stage: Stage) -> Self {
        self.advice.stage = Some(stage);
        self
    }

    pub(in crate::proxy) fn retry_after(mut self, after: Duration) -> Self {
        self.advice.retry_after = Some(after);
        self
    }

    /// The `RateLimit` fields.
    pub(in crate::proxy) fn rate(
        mut self,
        policy: &HeaderValue,
        remaining: u32,
        reset: Duration,
    ) -> Self {
        self.advice.rate = Some((policy.clone(), rate_limit(policy, remaining, reset)));
        self
    }

    /// What was seen at this instant, for `/explain`.
    pub(in crate::proxy) fn input(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.advice.inputs.push((name, value.into()));
        self
    }

    /// What it was compared with.
    pub(in crate::proxy) fn threshold(
        mut self,
        name: &'static str,
        value: impl Into<Value>,
    ) -> Self {
        self.advice.threshold.push((name, value.into()));
        self
    }

    /// What an error says of itself.
    pub(in crate::proxy) fn error(self, error: &pingora::Error) -> Self {
        let root = error.root_cause();
        let text = match error.etype() {
            // What stands between is the answer's whole header, cookies and all.
            InvalidHTTPHeader if !root.is::<pingora::Error>() => {
                format!("{}: {root}", error.etype().as_str())
            }
            _ => error.to_string(),
        };
        self.input("error", shortened(text.trim(), ERROR_BYTES))
    }

    /// The nearest change that would have let the request pass.
    pub(in crate::proxy) fn would_pass(mut self, change: String) -> Self {
        self.advice.would_pass = change;
        self
    }

    /// What `/explain` keeps of it, when it is told whole and with the status of its reason.
    pub(super) fn explanation(
        self,
        exchange: &Exchange,
        request: Option<&RequestHeader>,
    ) -> Explanation {
        let status = Some(self.status().as_u16());
        let (reason, advice) = (self.reason, *self.advice);
        let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
        Explanation {
            at_seconds: clock::unix_seconds(),
            listener: exchange.listener.name.clone(),
            route: exchange.route_name().to_owned(),
            method: request
                .map_or(NONE.to_owned(), |from| shortened(from.method.as_str(), METHOD_BYTES)),
            path: request.map_or(NONE.to_owned(), |from| shortened(from.uri.path(), PATH_BYTES)),
            status,
            cut: false,
            stage: advice.stage.unwrap_or_else(|| reason.usual_stage()),
            policy: or(advice.policy, NONE),
            reason,
            detail: advice.detail,
            inputs: advice.inputs,
            threshold: advice.threshold,
            would_pass: or(advice.would_pass, usual_change(reason)),
            retry_after: advice.retry_after,
        }
    }
}

/// What would have let a request pass that ended so, where whoever refused it knows no more.
fn usual_change(reason: Reason) -> &'static str {
    match reason {
        Reason::BadRequest => "a request that can be read in one way",
        Reason::MethodNotAllowed => "another method than CONNECT",
        Reason::NoRoute => "a route of this listener that takes it",
        Reason::NoEndpoint => "an endpoint of the upstream that can be asked",
        Reason::Deadline => "a longer deadline",
        Reason::UpstreamReset => {
            "an upstream that keeps the connection until its answer is complete, or a try again"
        }
        Reason::UpstreamProtocol => "an upstream that answers in valid HTTP",
        Reason::UpstreamConnect => "an upstream that takes connections",
        Reason::UpstreamTotalTimeout => "a higher timeout.total, or a faster upstream",
        _ => NONE,
    }
}

/// What is kept of a path, of a method, and of an error, for `/explain`.
const PATH_BYTES: usize = 256;
const METHOD_BYTES: usize = 32;
const ERROR_BYTES: usize = 512;

/// At most so many bytes, and no half character.
pub(in crate::proxy) fn shortened(text: &str, bytes: usize) -> String {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_quote_the_header_that_it_is_about() {
        let quoting = |cause: &str| {
            let cause: Box<dyn std::error::Error + Send + Sync> = cause.into();
            pingora::Error::because(InvalidHTTPHeader, "buf: set-cookie: s3cret", cause)
        };
        let plain = pingora::Error::explain(InvalidHTTPHeader, "larger than 1048576");
        for (error, expected) in [
            (quoting("invalid header name"), "InvalidHTTPHeader: invalid header name"),
            (plain, "InvalidHTTPHeader context: larger than 1048576"),
        ] {
            let refusal = Refusal::new(Reason::UpstreamProtocol, "no").error(&error);
            assert_eq!(refusal.advice.inputs, [("error", expected.into())]);
        }
    }
}
