//! One request, from its first byte to its last.
//!
//! The exchange exists before the request is parsed and is closed by its `Drop`: the ledger, the
//! permit, the breaker's ticket and the stream's place come back however the request ends, also when
//! its task is dropped in the middle.

use std::{
    net::IpAddr,
    num::NonZeroU64,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use smallvec::SmallVec;
use weir_config::Priority;
use weir_policy::{Breaker, Debit, Fit, Leased, Outcome, Sample, Ticket, Time};

use super::{
    deadline::{Asked, Deadline},
    faults::Injected,
    replay::Replay,
    worker::{View, Worker},
};
use crate::{
    clock,
    observe::{
        explain::{Explanation, Id},
        ledger::Row,
        words::NONE,
    },
    plan::{Concurrency, Listener, Route, Withheld},
    reason::Reason,
    upstream::Endpoint,
};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) worker: Arc<Worker>,
    /// The plan that it is walked by, from its first byte to its last.
    pub(super) view: Arc<View>,
    pub(super) listener: Arc<Listener>,
    /// Who connected; `None` on a Unix socket.
    pub(super) peer: Option<IpAddr>,
    /// Whether `peer` is believed.
    pub(super) trusted: bool,
    pub(super) started: Time,
    /// Whether there is a request header to speak of.
    pub(super) parsed: bool,
    /// Known once the request is identified.
    pub(super) route: Option<Arc<Route>>,
    /// Who asks, as far as it is believed.
    pub(super) client: Option<IpAddr>,
    /// How important it is.
    pub(super) priority: Priority,
    pub(super) deadline: Deadline,
    /// What its caller said of the deadline.
    pub(super) asked: Asked,
    /// Whether it was let through to find out if it can make it.
    pub(super) fit: Fit,
    /// The faults that were injected.
    pub(super) injected: Option<Injected>,
    /// Bytes a second of its answer's body, where a fault makes it drip.
    pub(super) drips: Option<NonZeroU64>,
    /// Whether anything of it has gone up; then its tokens are spent, whatever becomes of it.
    pub(super) forwarded: bool,
    /// When the upstream was handed the request.
    pub(super) forwarded_at: Time,
    /// When the upstream had all of the request: what comes after that is its own time.
    pub(super) handed_over_at: Option<Time>,
    /// Since when the upstream works on it.
    at_upstream: Option<Time>,
    /// How long the upstream has worked on it, in all tries.
    upstream_time: Duration,
    /// When the response header arrived from the upstream.
    pub(super) header_at: Option<Time>,
    /// What answers tell of.
    pub(super) charged: Vec<Charged>,
    /// Debits on rate limits that only count what they would refuse.
    pub(super) charged_in_shadow: Vec<Charged>,
    tickets: Vec<(Arc<Breaker>, Ticket)>,
    permit: Option<Permit>,
    stream: bool,
    /// Its answer is a stream: the route's total has ended, and `idle` counts both ways.
    pub(super) streamed: bool,
    /// The endpoint that has it now.
    endpoint: Option<AtEndpoint>,
    /// Tries again so far.
    pub(super) tries_again: u32,
    /// Who has it next, when it is tried again.
    pub(super) next: Option<Arc<Endpoint>>,
    /// Why it was not tried again, or not once more.
    pub(super) withheld: Option<Withheld>,
    /// What of its body can be sent again.
    pub(super) replay: Replay,
    /// Every endpoint that has had it, in order.
    pub(super) tried: SmallVec<[Arc<Endpoint>; 2]>,
    status: Option<u16>,
    reason: Option<Reason>,
    /// Where `/explain` says why.
    explained: Option<Id>,
}

/// A request at an endpoint.
#[derive(Debug)]
struct AtEndpoint {
    endpoint: Arc<Endpoint>,
    /// Its upstream knows what came of it.
    told: bool,
}

/// A debit on the rate limit at this place of the route.
#[derive(Debug)]
pub(super) struct Charged {
    pub(super) rate: usize,
    pub(super) taken: Taken,
}

/// What a request took from a rate limit.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// From the limit that this sidecar has by itself.
    pub(super) own: Option<Debit>,
    /// From what it holds of the fleet's.
    pub(super) leased: Option<Leased>,
}

impl Taken {
    pub(super) fn own(debit: Debit) -> Self {
        Self { own: Some(debit), leased: None }
    }

    /// Whole requests left, and until all of them are there again; `None` when nobody has counted.
    pub(super) fn left(&self) -> Option<(u32, Duration)> {
        let own = || self.own.as_ref().map(|debit| (debit.remaining, debit.reset));
        self.leased.as_ref().map(|leased| (leased.remaining, leased.reset)).or_else(own)
    }
}

/// A permit of a concurrency limit.
#[derive(Debug)]
struct Permit {
    limit: Arc<Concurrency>,
    since: Time,
    /// Permits held when it was taken, itself included.
    in_flight: u32,
}

/// What the upstream did, as breakers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered; the time to its header, where that is a latency and not the life of a stream.
    Good(Option<Duration>),
    /// It failed, or was too late.
    Fault,
    /// Nothing that says how it is.
    Nothing,
}

impl Exchange {
    /// Counts a request that has begun, on the listener at this place.
    pub(super) fn begin(
        worker: &Arc<Worker>,
        listener: usize,
        peer: Option<IpAddr>,
        started: Time,
    ) -> Self {
        worker.page().begin(listener);
        let view = worker.view();
        let listener = Arc::clone(&view.plan.listeners[listener]);
        Self {
            worker: Arc::clone(worker),
            trusted: view.plan.trusts(peer),
            peer,
            started,
            parsed: false,
            route: None,
            client: peer,
            priority: Priority::default(),
            deadline: Deadline { at: started + listener.timeout.request_header, callers: false },
            forwarded: false,
            asked: Asked::default(),
            fit: Fit::default(),
            injected: None,
            drips: None,
            forwarded_at: started,
            handed_over_at: None,
            at_upstream: None,
            upstream_time: Duration::ZERO,
            header_at: None,
            charged: Vec::new(),
            charged_in_shadow: Vec::new(),
            tickets: Vec::new(),
            permit: None,
            stream: false,
            streamed: false,
            endpoint: None,
            tries_again: 0,
            next: None,
            withheld: None,
            replay: Replay::default(),
            tried: SmallVec::new(),
            status: None,
            reason: None,
            explained: None,
            view,
            listener,
        }
    }

    /// How it ended; the first word stands.
    pub(super) fn ends(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
    }

    /// How it ended after all, where a trailer says other than the header.
    pub(super) fn ends_instead(&mut self, reason: Reason) {
        self.reason = Some(reason);
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The status that was sent to the client.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// Keeps why it did not go well.
    pub(super) fn explain(&mut self, id: Id, why: Explanation) {
        self.worker.shared.explain.keep(id, why);
        self.explained = Some(id);
    }

    /// All the time that the request has, by the name that `/explain` has for it.
    pub(super) fn whole_time(&self) -> (&'static str, Duration) {
        let name = if self.deadline.callers { "deadline_seconds" } else { "total_seconds" };
        (name, self.deadline.at.since(self.started))
    }

    /// Whether it says nothing of the upstream that the time is over: it was the caller's own, or a fault
    /// that was injected took some of it.
    pub(super) fn spares_upstream(&self) -> bool {
        self.deadline.callers || self.injected.is_some()
    }

    /// Whether the upstream had all of the request for less than half of its time. Then it was the queue, or
    /// the client, that took most of it.
    pub(super) fn came_late(&self, now: Time) -> bool {
        let (_, whole) = self.whole_time();
        self.handed_over_at.is_some_and(|at| now.since(at) < whole / 2)
    }

    /// How long the upstream took from the end of the request to its answer's header; nothing where the
    /// answer came before that.
    pub(super) fn latency(&self) -> Option<Duration> {
        let (from, to) = (self.handed_over_at?, self.header_at?);
        (from <= to).then(|| to.since(from))
    }

    /// Until when all of it must be through: of a stream, for as long as its caller waits, if it says so.
    pub(super) fn ends_by(&self) -> Option<Time> {
        match self.streamed {
            true => self.asked.of_stream(),
            false => Some(self.deadline.at),
        }
    }

    /// The answer's header has come, and what follows is a stream: the route's total is over.
    pub(super) fn streams(&mut self) {
        self.streamed = true;
        if let Some(at) = self.asked.of_stream() {
            self.deadline = Deadline { at, callers: true };
        }
    }

    pub(super) fn route_name(&self) -> &str {
        self.route.as_ref().map_or(NONE, |route| &route.name)
    }

    pub(super) fn holds_ticket(&mut self, breaker: Arc<Breaker>, ticket: Ticket) {
        self.tickets.push((breaker, ticket));
    }

    pub(super) fn holds_permit(&mut self, limit: &Arc<Concurrency>) {
        let in_flight = limit.in_flight().in_flight();
        self.permit = Some(Permit { limit: Arc::clone(limit), since: clock::now(), in_flight });
    }

    pub(super) fn holds_stream(&mut self) {
        self.stream = true;
    }

    /// The endpoint that has the request now; one that had it before has it no more.
    pub(super) fn at_endpoint(&mut self, endpoint: Arc<Endpoint>) {
        endpoint.standing.began();
        self.tried.push(Arc::clone(&endpoint));
        if let Some(before) = self.endpoint.replace(AtEndpoint { endpoint, told: false }) {
            before.endpoint.standing.ended();
        }
    }

    /// The upstream has it from here on; all of it, unless it has a body.
    pub(super) fn goes_up(&mut self, has_body: bool) {
        let now = clock::now();
        self.forwarded = true;
        self.handed_over_at = (!has_body).then_some(now);
        self.at_upstream = Some(now);
    }

    /// The upstream works on it no more, for now or for good.
    pub(super) fn comes_down(&mut self, reason: Option<Reason>) {
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

    /// The header of an answer that went well has come: how long the upstream has taken for it is known.
    pub(super) fn answered_well(&self, now: Time) {
        if let (Some(at), Some(route)) = (self.handed_over_at, &self.route) {
            route.service_time.answered(now.since(at), self.fit, now);
        }
    }

    /// The upstream is done with the request: it is told the verdict, and so are its breakers; the permit
    /// goes on.
    pub(super) fn upstream_done(&mut self, verdict: Verdict) {
        self.comes_down(self.reason);
        self.settle(verdict);
        if let Some(at) = self.endpoint.take() {
            at.endpoint.standing.ended();
        }
        self.release_permit(verdict);
    }

    /// A try has ended so, and there is another one: the permit stays.
    pub(super) fn try_ends(&mut self, verdict: Verdict, reason: Reason) {
        self.comes_down(Some(reason));
        self.settle(verdict);
        self.handed_over_at = None;
        self.header_at = None;
    }

    /// The answer has begun, and is a stream. That it has begun says something of the upstream, how long
    /// it lasts does not. So it does not count against a limit that is learned from how long answers
    /// take; `limits.streams` bounds it.
    pub(super) fn stream_begins(&mut self, verdict: Verdict) {
        self.settle(verdict);
        if self.permit.as_ref().is_some_and(|permit| permit.limit.learns()) {
            self.release_permit(Verdict::Nothing);
        }
    }

    /// Tells the endpoint's upstream and the breakers, whose tickets come back.
    pub(super) fn settle(&mut self, verdict: Verdict) {
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

    /// Logs how it ended, where that is not known already from others that ended so.
    #[cold]
    fn complain(&self, row: &Row, reason: Reason) {
        let due = row.complaints.due(reason, clock::now());
        let Some(suppressed) = due else { return };
        tracing::warn!(
            listener = self.listener.name,
            route = self.route_name(),
            reason = reason.word(),
            class = reason.class().word(),
            status = self.status,
            suppressed,
            id = self.explained.map(tracing::field::display),
            "a request did not go well"
        );
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
            (_, reason) if reason.says_less_please() => Some((now.since(self.forwarded_at), true)),
            _ => None,
        }
    }

    /// Gives the tokens back, unless the policy keeps them or the upstream has had the request.
    pub(super) fn refund(&mut self) {
        if self.forwarded {
            return;
        }
        let Some(route) = &self.route else { return };
        let now = clock::now();
        for charged in self.charged.drain(..).chain(self.charged_in_shadow.drain(..)) {
            let rate = &route.rates[charged.rate];
            if rate.settings.charge_on_reject {
                continue;
            }
            if let Some(debit) = &charged.taken.own {
                rate.limiter.refund(debit, now);
            }
            if let (Some(limit), Some(leased)) = (&rate.shared, &charged.taken.leased) {
                limit.refund(leased, now);
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.upstream_done(Verdict::Nothing);
        if let (true, Some(route)) = (self.stream, &self.route) {
            route.streams.fetch_sub(1, Relaxed);
        }
        let unsaid = if std::thread::panicking() { Reason::Internal } else { Reason::ClientCancel };
        let row = self.route.as_ref().map_or(&self.listener.unrouted, |route| &route.row);
        let took = (!self.streamed).then(|| clock::now().since(self.started));
        let reason = self.reason.unwrap_or(unsaid);
        // The end of a stream is the end of it for its client too.
        if reason.wastes() && !self.streamed {
            self.worker.page().waste(row, reason, self.upstream_time);
        }
        self.worker.page().end(self.listener.index, row, reason, self.status, took);
        if reason != Reason::Ok {
            self.complain(row, reason);
        }
    }
}
