//! What must happen by when.

use std::time::Duration;

use weir_policy::Time;

use super::{Answer, Pump, Upload};
use crate::{
    clock,
    proxy::{refuse::Refusal, stop::Stop},
    reason::Reason,
};

/// Who has how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Total,
    RequestBody,
    FirstByte,
    Idle,
    /// The client takes what it is given.
    Write,
}

impl Pump<'_> {
    /// The nearest deadline.
    fn due(&self) -> (Time, Due) {
        let total = self.exchange.ends_by().map(|at| (at, Due::Total));
        let nearest = [total, self.due_of_upload(), self.due_of_answer()];
        let nearest = nearest.into_iter().flatten().min_by_key(|(at, _)| *at);
        nearest.unwrap_or((self.last() + self.route.timeout.idle, Due::Idle))
    }

    fn due_of_upload(&self) -> Option<(Time, Due)> {
        let timeout = &self.route.timeout;
        if !self.to_upstream.is_clear() {
            let last = self.upstream_at.max(self.to_upstream.at);
            return Some((last + timeout.idle, Due::Idle));
        }
        match self.upload {
            Upload::Open if self.exchange.streamed => None,
            Upload::Open => Some((self.client_at + timeout.request_body, Due::RequestBody)),
            Upload::Done | Upload::Abandoned if self.answer == Answer::Awaited => {
                Some((self.upstream_at + timeout.first_byte, Due::FirstByte))
            }
            Upload::Done | Upload::Abandoned => None,
        }
    }

    fn due_of_answer(&self) -> Option<(Time, Due)> {
        if !self.to_client.is_clear() {
            let at = self.to_client.at + self.exchange.listener.timeout.write;
            return Some((at, Due::Write));
        }
        let begun = self.answer == Answer::Begun;
        // While the answer drips, nobody is waited for.
        let last = self.next_drop().map_or(self.last(), |at| at.max(self.last()));
        begun.then(|| (last + self.route.timeout.idle, Due::Idle))
    }

    /// When there was progress at last; on a stream either side's counts.
    fn last(&self) -> Time {
        if self.exchange.streamed { self.upstream_at.max(self.client_at) } else { self.upstream_at }
    }

    /// Makes sure that the timer does not fire too late. Too early is fine: then it is set again.
    pub(super) fn set_timer(&mut self) {
        let at = self.wakes();
        if at < self.armed {
            self.arm(at);
        }
    }

    /// When there is something to do, whoever moves or not.
    fn wakes(&self) -> Time {
        let (at, _) = self.due();
        self.next_drop().map_or(at, |drop| at.min(drop))
    }

    fn arm(&mut self, at: Time) {
        self.armed = at;
        self.timer.as_mut().reset(clock::instant(at));
    }

    /// The timer has fired: something is overdue, or there was progress and it is set again.
    pub(super) async fn tick(&mut self) -> Result<(), Stop> {
        let now = clock::now();
        // On h1 nobody says when a part of what is on its way has been taken.
        self.to_upstream.note_progress(now);
        self.to_client.note_progress(now);
        let (at, due) = self.due();
        if now >= at {
            return Err(self.overdue(due));
        }
        if self.next_drop().is_some_and(|at| now >= at) {
            self.give_drop().await?;
        }
        self.arm(self.wakes());
        Ok(())
    }

    pub(super) fn overdue(&self, due: Due) -> Stop {
        let timeout = &self.route.timeout;
        let (reason, what, limit): (_, _, Duration) = match due {
            Due::Write => return Stop::Gone(Reason::ClientSlow),
            // It is the client that does not take its answer.
            Due::Total if !self.to_client.is_clear() => return Stop::Gone(Reason::ClientSlow),
            Due::Total if self.exchange.spares_upstream() => {
                let detail = match self.exchange.deadline.callers {
                    true => "the deadline that the caller set has passed",
                    false => "the time is over, of which a fault that was injected took some",
                };
                return Stop::Refused(
                    Refusal::new(Reason::Deadline, detail)
                        .would_pass("a longer deadline".to_owned()),
                );
            }
            Due::Total if self.upload == Upload::Open && self.to_upstream.is_clear() => {
                let detail = format!("the request was not complete within {:?}", timeout.total);
                return Stop::Refused(Refusal::new(Reason::Deadline, detail));
            }
            Due::Total if self.exchange.came_late(clock::now()) => {
                let detail = format!(
                    "no answer within {:?}, of which the service had less than half",
                    timeout.total
                );
                return Stop::Refused(Refusal::new(Reason::Deadline, detail));
            }
            Due::RequestBody => {
                let detail = format!("no piece of the body came within {:?}", timeout.request_body);
                return Stop::Refused(Refusal::new(Reason::RequestTimeout, detail));
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
