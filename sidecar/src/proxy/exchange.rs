//! One request, from its first byte to its last.
//!
//! The exchange exists before the request is parsed and is closed by its `Drop`: the ledger, the
//! permit, the breaker's ticket and the stream's place come back however the request ends, also when
//! its task is dropped in the middle.

mod charged;
mod upstream;

use std::{
    net::IpAddr,
    num::NonZeroU64,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use smallvec::SmallVec;
use weir_config::Priority;
use weir_policy::{Breaker, Fit, Ticket, Time};

use self::upstream::{AtEndpoint, Permit};
pub(super) use self::{
    charged::{Charged, Taken},
    upstream::Verdict,
};
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
    plan::{Listener, Route, Withheld},
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

    pub(super) fn holds_stream(&mut self) {
        self.stream = true;
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
