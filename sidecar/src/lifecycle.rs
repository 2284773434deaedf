//! How the process begins to serve and how it ends.
//!
//! The end has three steps, so that no request is lost on the way: readiness fails and answers say
//! `Connection: close` while new connections are still taken (a load balancer needs a moment to
//! notice); then the listeners and the idle connections close; then what is in flight may finish
//! until the deadline. A second signal ends it at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    time::{self, Instant},
};
use weir_config::Shutdown;

use crate::{reload::Trigger, shared::Shared};

/// How often the end looks whether the last connection is gone.
const LOOK: Duration = Duration::from_millis(10);

/// Whether requests should be sent here.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    started: AtomicBool,
}

impl Readiness {
    /// Every listener is bound and every worker runs.
    pub(crate) fn started(&self) {
        self.started.store(true, Relaxed);
    }

    /// Why not, in words; `None` when ready.
    pub(crate) fn missing(&self, shared: &Shared) -> Option<String> {
        if !self.started.load(Relaxed) {
            return Some("starting".to_owned());
        }
        if shared.draining.is_cancelled() {
            return Some("draining".to_owned());
        }
        let plan = shared.plan();
        let unresolved = plan.upstreams.iter().find(|upstream| upstream.endpoints().is_empty());
        unresolved.map(|upstream| format!("upstream {} has never been resolved", upstream.name))
    }
}

/// The signals that end the process, and the one that has the configuration read again.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Which one came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM: someone else sends traffic here and needs a moment.
    Terminate,
    /// Ctrl-C: someone sits before it.
    Interrupt,
}

impl Signals {
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for either. SIGHUP asks for the configuration to be read again.
    pub(crate) async fn next(&mut self, shared: &Shared) -> Asked {
        loop {
            select! {
                _ = self.terminate.recv() => return Asked::Terminate,
                _ = self.interrupt.recv() => return Asked::Interrupt,
                _ = self.hangup.recv() => shared.reloads.ask(Trigger::Signal),
            }
        }
    }
}

/// Ends serving; returns how many requests were cut, or `None` when a second signal came.
pub(crate) async fn end(
    shared: &Arc<Shared>,
    settings: &Shutdown,
    asked: Asked,
    signals: &mut Signals,
) -> Option<i64> {
    let deadline = Instant::now() + settings.deadline;
    let delay = if asked == Asked::Terminate { settings.drain_delay } else { Duration::ZERO };
    shared.draining.cancel();
    let drained = async {
        time::sleep(delay).await;
        shared.closing.cancel();
        while connections(shared) > 0 {
            time::sleep(LOOK).await;
        }
    };
    select! {
        _ = time::timeout_at(deadline, drained) => {}
        _ = signals.next(shared) => {
            shared.ended.cancel();
            return None;
        }
    }
    let cut = shared.ledger.in_flight();
    shared.ended.cancel();
    Some(cut)
}

fn connections(shared: &Shared) -> u32 {
    shared.plan().listeners.iter().map(|listener| listener.connections()).sum()
}

/// Tells the service manager, where there is one.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
