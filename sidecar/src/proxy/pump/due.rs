//! What must happen by when.

use std::time::Duration;

use weir_policy::Time;

use super::{Pump, Upload};
use crate::{
    clock,
    proxy::{refuse::Refusal, way::Stop},
    reason::Reason,
};

/// Who has how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Total,
    RequestBody,
    FirstByte,
    Idle,
}

impl Pump<'_> {
    /// The nearest deadline.
    fn due(&self) -> (Time, Due) {
        let timeout = &self.route.timeout;
        let body = match self.upload {
            Upload::Open if !self.streaming => {
                Some((self.client_at + timeout.request_body, Due::RequestBody))
            }
            Upload::Held(_) | Upload::Behind => Some((self.upstream_at + timeout.idle, Due::Idle)),
            Upload::Done | Upload::Abandoned if !self.header_sent => {
                Some((self.upstream_at + timeout.first_byte, Due::FirstByte))
            }
            _ => None,
        };
        let last =
            if self.streaming { self.upstream_at.max(self.client_at) } else { self.upstream_at };
        let answer = self.header_sent.then_some((last + timeout.idle, Due::Idle));
        let total = (!self.streaming).then_some((self.exchange.deadline.at, Due::Total));
        let nearest = [total, body, answer].into_iter().flatten().min_by_key(|(at, _)| *at);
        nearest.unwrap_or((last + timeout.idle, Due::Idle))
    }

    /// Makes sure that the timer does not fire too late. Too early is fine: then it is set again.
    pub(super) fn set_timer(&mut self) {
        let (at, _) = self.due();
        if at < self.armed {
            self.arm(at);
        }
    }

    fn arm(&mut self, at: Time) {
        self.armed = at;
        self.timer.as_mut().reset(clock::instant(at));
    }

    /// The timer has fired: something is overdue, or there was progress and it is set again.
    pub(super) fn tick(&mut self) -> Result<(), Stop> {
        let (at, due) = self.due();
        if clock::now() >= at {
            return Err(self.overdue(due));
        }
        self.arm(at);
        Ok(())
    }

    pub(super) fn overdue(&self, due: Due) -> Stop {
        let timeout = &self.route.timeout;
        let (reason, what, limit): (_, _, Duration) = match due {
            Due::Total if self.exchange.deadline.callers => {
                let detail = "the deadline that the caller set has passed";
                return Stop::Refused(
                    Refusal::new(Reason::Deadline, detail)
                        .would_pass("a longer deadline".to_owned()),
                );
            }
            Due::Total if matches!(self.upload, Upload::Open) => {
                let detail = format!("the request was not complete within {:?}", timeout.total);
                return Stop::Refused(
                    Refusal::new(Reason::Deadline, detail).policy(&self.route.name),
                );
            }
            Due::RequestBody => {
                let detail = format!("no piece of the body came within {:?}", timeout.request_body);
                return Stop::Refused(
                    Refusal::new(Reason::RequestTimeout, detail).policy(&self.route.name),
                );
            }
            Due::Total => {
                (Reason::UpstreamTotalTimeout, "the answer was not complete", timeout.total)
            }
            Due::FirstByte => {
                (Reason::UpstreamFirstByteTimeout, "no response header", timeout.first_byte)
            }
            Due::Idle => (Reason::UpstreamIdleTimeout, "silence", timeout.idle),
        };
        Stop::Upstream(Refusal::new(reason, format!("{what} within {limit:?}")))
    }
}
