//! A run: each arrival is sent when it is due, and what became of it is written down.
//!
//! Meant for a runtime of one thread: then sending, receiving and writing down wait for nothing but each
//! other, and the CPU time that the generator reports is what it had of one core.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Uri};
use tokio::time::timeout_at;
use tokio_util::task::TaskTracker;

use super::{
    arrivals::{Arrival, Arrivals, Spacing},
    client::Client,
    health::{Checked, Health},
    outcome::Outcome,
    recorder::{Judged, Recorder},
    stage::Stage,
};
use crate::{alarm::Alarm, clock, clock::Clock};

/// What to offer to whom.
#[derive(Clone, Debug)]
pub struct Run {
    /// The server.
    pub to: SocketAddr,
    /// What is asked for.
    pub path: Uri,
    /// In which order at which rates.
    pub stages: Vec<Stage>,
    /// Who asks; each stream has an equal share of the arrivals.
    pub streams: Vec<Stream>,
    /// How arrivals are apart.
    pub spacing: Spacing,
    /// Of the arrivals.
    pub seed: u64,
    /// What counts as answered in time.
    pub judged: Judged,
    /// After how long a caller gives up, since it meant to start.
    pub timeout: Duration,
    /// How many requests may be on their way; what is due beyond is not sent, and counted.
    pub in_flight_max: usize,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What its results are called.
    pub name: String,
    /// What its requests say.
    pub headers: HeaderMap,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Every request.
    pub recorder: Recorder,
    /// How the generator did.
    pub health: Checked,
}

/// Offers the load and waits for what becomes of it.
///
/// # Errors
///
/// When this process cannot have a timer. What the server does wrong is part of the record.
pub async fn run(run: &Run) -> io::Result<Ran> {
    let host = HeaderValue::from_str(&run.to.to_string()).map_err(io::Error::other)?;
    let alarm = Alarm::new()?;
    let requests = TaskTracker::new();
    let cpu = clock::cpu();
    let shared = Arc::new(Shared {
        clock: Clock::start(),
        client: Client::new(run.to, host, run.path.clone()),
        streams: run.streams.clone(),
        timeout: run.timeout,
        written: Mutex::new(Written {
            recorder: Recorder::new(&run.stages, run.streams.len(), run.judged),
            health: Health::default(),
        }),
    });
    for (number, arrival) in
        Arrivals::new(&run.stages, run.streams.len(), run.spacing, run.seed).enumerate()
    {
        let wait = arrival.at.saturating_sub(shared.clock.now());
        if !wait.is_zero() {
            alarm.after(wait).await?;
        } else if number % AT_ONCE_MAX == 0 {
            // Behind, as after a pause of the machine: what was made ready must get out meanwhile.
            tokio::task::yield_now().await;
        }
        if requests.len() < run.in_flight_max {
            requests.spawn(Arc::clone(&shared).request(arrival));
        } else {
            shared.unsent(arrival);
        }
    }
    requests.close();
    requests.wait().await;
    let written = shared.written();
    let used = clock::cpu().saturating_sub(cpu);
    let health = written.health.checked(used, shared.clock.now());
    Ok(Ran { recorder: written.recorder.clone(), health })
}

/// How many are made ready before any of them is sent.
const AT_ONCE_MAX: usize = 16;

/// What the requests of a run share.
struct Shared {
    clock: Clock,
    client: Client,
    streams: Vec<Stream>,
    timeout: Duration,
    written: Mutex<Written>,
}

struct Written {
    recorder: Recorder,
    health: Health,
}

impl Shared {
    async fn request(self: Arc<Self>, arrival: Arrival) {
        let sent = self.clock.now();
        self.written().health.sent(sent.saturating_sub(arrival.at));
        let gives_up = self.clock.instant(arrival.at + self.timeout);
        let asked = self.client.ask(&self.streams[arrival.stream].headers);
        let (outcome, connection) =
            timeout_at(gives_up, asked).await.unwrap_or((Outcome::TimedOut, None));
        self.written().recorder.ended(arrival, Some(sent), self.clock.now(), &outcome);
        if let Some(connection) = connection {
            self.client.keep(connection).await;
        }
    }

    fn unsent(&self, arrival: Arrival) {
        let mut written = self.written();
        written.health.unsent();
        written.recorder.ended(arrival, None, arrival.at, &Outcome::Unsent);
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
