//! A request and its upstream: what it holds while it is there, and who is told what came of it.

use std::{sync::Arc, time::Duration};

use weir_policy::{Breaker, Outcome, Sample, Ticket, Time};

use super::Exchange;
use crate::{clock, plan::Concurrency, reason::Reason, upstream::Endpoint};

/// What the upstream did, as breakers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Verdict {
    /// It answered; the time to its header, where that is a latency and not the life of a stream.
    Good(Option<Duration>),
    /// It failed, or was too late.
    Fault,
    /// Nothing that says how it is.
    Nothing,
}

/// A request at an endpoint.
#[derive(Debug)]
pub(super) struct AtEndpoint {
    pub(super) endpoint: Arc<Endpoint>,
    /// Its upstream knows what came of it.
    pub(super) told: bool,
}

/// A permit of a concurrency limit.
#[derive(Debug)]
pub(super) struct Permit {
    limit: Arc<Concurrency>,
    since: Time,
    /// Permits held when it was taken, itself included.
    in_flight: u32,
}

impl Exchange {
    pub(in crate::proxy) fn holds_ticket(&mut self, breaker: Arc<Breaker>, ticket: Ticket) {
        self.tickets.push((breaker, ticket));
    }

    pub(in crate::proxy) fn holds_permit(&mut self, limit: &Arc<Concurrency>) {
        let in_flight = limit.in_flight().in_flight();
        self.permit = Some(Permit { limit: Arc::clone(limit), since: clock::now(), in_flight });
    }

    /// The endpoint that has the request now; one that had it before has it no more.
    pub(in crate::proxy) fn at_endpoint(&mut self, endpoint: Arc<Endpoint>) {
        endpoint.standing.began();
        self.tried.push(Arc::clone(&endpoint));
        if let Some(before) = self.endpoint.replace(AtEndpoint { endpoint, told: false }) {
            before.endpoint.standing.ended();
        }
    }

    /// The upstream has it from here on; all of it, unless it has a body.
    pub(in crate::proxy) fn goes_up(&mut self, has_body: bool) {
        let now = clock::now();
        self.forwarded = true;
        self.handed_over_at = (!has_body).then_some(now);
        self.at_upstream = Some(now);
    }

    /// The header of an answer that went well has come: how long the upstream has taken for it is known.
    pub(in crate::proxy) fn answered_well(&self, now: Time) {
        if let (Some(at), Some(route)) = (self.handed_over_at, &self.route) {
            route.service_time.answered(now.since(at), self.fit, now);
        }
    }

    /// A try has ended so, and there is another one: the permit stays.
    pub(in crate::proxy) fn try_ends(&mut self, verdict: Verdict, reason: Reason) {
        self.comes_down(Some(reason));
        self.settle(verdict);
        self.handed_over_at = None;
        self.header_at = None;
    }

    /// The answer has begun, and is a stream. That it has begun says something of the upstream, how long
    /// it lasts does not. So it does not count against a limit that is learned from how long answers
    /// take; `limits.streams` bounds it.
    pub(in crate::proxy) fn stream_begins(&mut self, verdict: Verdict) {
        self.settle(verdict);
        if self.permit.as_ref().is_some_and(|permit| permit.limit.learns()) {
            self.release_permit(Verdict::Nothing);
        }
    }

    /// The upstream is done with the request: it is told the verdict, and so are its breakers; the permit
    /// goes on.
    pub(in crate::proxy) fn upstream_done(&mut self, verdict: Verdict) {
        self.comes_down(self.reason);
        self.settle(verdict);
        if let Some(at) = self.endpoint.take() {
            at.endpoint.standing.ended();
        }
        self.release_permit(verdict);
    }

    /// Tells the endpoint's upstream and the breakers, whose tickets come back.
    pub(in crate::proxy) fn settle(&mut self, verdict: Verdict) {
        let outcome = match verdict {
            Verdict::Good(latency) => Some(Outcome::Success { latency }),
            Verdict::Fault => Some(Outcome::Failure),
            Verdict::Nothing => None,
        };
        if outcome.is_none() && self.tickets.is_empty() {
            return;
        }
        let now = clock::now();
        if let (Some(outcome), Some(at), Some(route)) = (outcome, &mut self.endpoint, &self.route)
            && !std::mem::replace(&mut at.told, true)
        {
            route.upstream.on_outcome(&at.endpoint, outcome, self.forwarded_at, now);
        }
        let random = self.worker.random();
        for (breaker, ticket) in self.tickets.drain(..) {
            match outcome {
                Some(outcome) => breaker.on_outcome(ticket, outcome, now, random),
                None => breaker.release(ticket),
            }
        }
    }

    /// The upstream works on it no more, for now or for good.
    pub(in crate::proxy) fn comes_down(&mut self, reason: Option<Reason>) {
        let Some(since) = self.at_upstream.take() else { return };
        let now = clock::now();
        self.upstream_time += now.since(since);
        let in_vain = matches!(
            reason,
            Some(
                Reason::Deadline | Reason::UpstreamFirstByteTimeout | Reason::UpstreamTotalTimeout
            )
        );
        if let (true, None, Some(at), Some(route)) =
            (in_vain, self.header_at, self.handed_over_at, &self.route)
        {
            route.service_time.unanswered(now.since(at), now);
        }
    }

    /// Hands the permit to the next in the queue; its limit hears how the upstream did.
    fn release_permit(&mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let (limit, now) = (&permit.limit, clock::now());
        // How long a stream lives is no wait that others have before them.
        if !self.streamed {
            limit.in_flight().on_held(now.since(permit.since));
        }
        if let Some((latency, dropped)) = self.told_to_limit(verdict, now) {
            limit.learn(Sample { latency, in_flight: permit.in_flight, dropped }, now);
        }
        limit.hand_on(now);
    }

    /// What a concurrency limit learns: how long a good answer took, and that the upstream was too
    /// slow or asked for less. A failure of another kind may be quick, and says nothing of the load.
    fn told_to_limit(&self, verdict: Verdict, now: Time) -> Option<(Duration, bool)> {
        match (verdict, self.reason?) {
            (Verdict::Good(latency), _) => Some((latency?, false)),
            // What a client takes to send its body is no time of the upstream's here either.
            (_, reason) if reason.says_less_please() => {
                let had = self.handed_over_at.map_or(Duration::ZERO, |at| now.since(at));
                Some((had, true))
            }
            _ => None,
        }
    }

    /// How long the upstream took from the end of the request to its answer's header; nothing where the
    /// answer came before that.
    pub(in crate::proxy) fn latency(&self) -> Option<Duration> {
        let (from, to) = (self.handed_over_at?, self.header_at?);
        (from <= to).then(|| to.since(from))
    }

    /// Whether the upstream had all of the request for less than half of its time. Then it was the queue, or
    /// the client, that took most of it.
    pub(in crate::proxy) fn came_late(&self, now: Time) -> bool {
        let (_, whole) = self.whole_time();
        self.handed_over_at.is_some_and(|at| now.since(at) < whole / 2)
    }

    /// Whether it says nothing of the upstream that the time is over: it was the caller's own, or a fault
    /// that was injected took some of it.
    pub(in crate::proxy) fn spares_upstream(&self) -> bool {
        self.deadline.callers || self.injected.is_some()
    }
}
