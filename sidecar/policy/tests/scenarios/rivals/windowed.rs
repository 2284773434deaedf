//! A limit that follows an algorithm, a window of time after the other.

use std::{
    fmt::Debug,
    mem,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use weir_policy::{Limit, Sample, Time};

/// Computes the next limit from what a window showed.
pub(crate) trait Algorithm: Send + Debug {
    /// The limit after `window`, during which it was `limit`.
    fn next(&mut self, window: &Window, limit: f64) -> f64;
}

/// What the upstream did in a stretch of time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// Never zero.
    pub(crate) span: Duration,
    /// Requests that were answered.
    pub(crate) completed: u32,
    /// Requests that the upstream turned away or let run into a timeout.
    pub(crate) dropped: u32,
    /// The mean of those that were answered, in seconds.
    pub(crate) latency: f64,
    /// The most that were in flight when a request was sent, and how many on average.
    pub(crate) in_flight_max: u32,
    pub(crate) in_flight: f64,
}

impl Window {
    /// Answers a second.
    pub(crate) fn throughput(&self) -> f64 {
        f64::from(self.completed) / self.span.as_secs_f64()
    }

    /// Whether the limit held anybody back.
    pub(crate) fn is_full(&self, limit: f64) -> bool {
        f64::from(self.in_flight_max) >= limit.floor()
    }

    fn add(&mut self, sample: Sample) {
        self.in_flight_max = self.in_flight_max.max(sample.in_flight);
        if sample.dropped {
            self.dropped += 1;
            return;
        }
        self.completed += 1;
        let part = 1.0 / f64::from(self.completed);
        self.latency += (sample.latency.as_secs_f64() - self.latency) * part;
        self.in_flight += (f64::from(sample.in_flight) - self.in_flight) * part;
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Windowed<A> {
    current: AtomicU32,
    state: Mutex<State<A>>,
}

#[derive(Debug)]
struct State<A> {
    algorithm: A,
    limit: f64,
    window: Window,
    latency: f64,
    since: Option<Time>,
}

impl<A: Algorithm> Windowed<A> {
    pub(crate) fn new(algorithm: A, start: u32) -> Self {
        let (window, limit) = (Window::default(), f64::from(start));
        let state = State { algorithm, limit, window, latency: 0.01, since: None };
        Self { current: AtomicU32::new(start), state: Mutex::new(state) }
    }
}

impl<A: Algorithm> Limit for Windowed<A> {
    fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    fn on_sample(&self, sample: Sample, now: Time) {
        let mut state = self.state.lock().unwrap();
        let since = *state.since.get_or_insert(now);
        state.window.add(sample);
        let span = now.since(since);
        let samples = state.window.completed + state.window.dropped;
        if span < WINDOW || samples < SAMPLES && span < WINDOW_MAX {
            return;
        }
        let mut window = Window { span, ..mem::take(&mut state.window) };
        if window.completed == 0 {
            // Nobody was answered: all that is known is how long it took before.
            window.latency = state.latency;
        }
        state.latency = window.latency;
        let limit = state.limit;
        state.since = Some(now);
        state.limit = state.algorithm.next(&window, limit).clamp(1.0, LIMIT_MAX);
        self.current.store(state.limit.round() as u32, Relaxed);
    }
}

/// A window is long enough for so many samples, within bounds.
const SAMPLES: u32 = 50;
const WINDOW: Duration = Duration::from_millis(100);
const WINDOW_MAX: Duration = Duration::from_secs(1);

const LIMIT_MAX: f64 = 1_000.0;
