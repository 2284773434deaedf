//! Asking for a reload, and what came of the last one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use weir_config::Changes;

/// How many may be waiting to be answered; more than the admin API serves at once.
const ASKS: usize = 256;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trigger {
    /// The process has started.
    Start,
    /// SIGHUP.
    Signal,
    /// `POST /reload`.
    Admin,
    /// The file, or one that it names, is another than before.
    File,
}

/// What came of a reload.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Another plan runs.
    Applied { changes: Box<Changes> },
    /// The file says what runs already.
    Unchanged,
    /// The file is wrong.
    Invalid {
        #[serde(serialize_with = "lines")]
        problems: String,
    },
    /// The file asks for what only a restart can do.
    NeedsRestart {
        #[serde(serialize_with = "lines")]
        problems: String,
    },
}

/// A reload that is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// When it ended, in seconds since 1970.
    pub(crate) at_seconds: f64,
    pub(crate) took_seconds: f64,
    /// Of those who asked for it the first.
    pub(crate) trigger: Trigger,
    /// The plan that runs after it.
    pub(crate) generation: u64,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// A wish for a reload.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) trigger: Trigger,
    to: Option<oneshot::Sender<Arc<Report>>>,
}

/// The reloads of this process.
#[derive(Debug)]
pub(crate) struct Reloads {
    asks: mpsc::Sender<Ask>,
    last: ArcSwap<Report>,
    /// When the running plan was last found to be what the file says.
    success: ArcSwap<f64>,
    /// By the place of the outcome's word.
    counts: [AtomicU64; Outcome::WORDS.len()],
}

impl Reloads {
    /// None yet; who receives is to serve those who ask.
    pub(crate) fn new(now_seconds: f64) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(ASKS);
        let start = Report {
            at_seconds: now_seconds,
            took_seconds: 0.0,
            trigger: Trigger::Start,
            generation: 1,
            outcome: Outcome::Applied { changes: Box::default() },
        };
        let reloads = Self {
            asks,
            last: ArcSwap::from_pointee(start),
            success: ArcSwap::from_pointee(now_seconds),
            counts: Default::default(),
        };
        (reloads, asked)
    }

    /// Asks for a reload and does not wait for it.
    pub(crate) fn ask(&self, trigger: Trigger) {
        // Where there is no room, enough are waiting for the same.
        self.asks.try_send(Ask { trigger, to: None }).unwrap_or_default();
    }

    /// A reload that begins after this; `None` where there is no file to read again.
    pub(crate) async fn reload(&self, trigger: Trigger) -> Option<Arc<Report>> {
        let (to, report) = oneshot::channel();
        self.asks.send(Ask { trigger, to: Some(to) }).await.ok()?;
        report.await.ok()
    }

    /// The last one.
    pub(crate) fn last(&self) -> Arc<Report> {
        self.last.load_full()
    }

    /// When the running plan was last found to be what the file says, in seconds since 1970.
    pub(crate) fn success_seconds(&self) -> f64 {
        **self.success.load()
    }

    /// How many ended so, by the words of [`Outcome::WORDS`].
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::WORDS.into_iter().zip(self.counts.iter().map(|count| count.load(Relaxed)))
    }

    /// Counts a reload and tells of it.
    pub(super) fn done(&self, report: Report) -> Arc<Report> {
        self.counts[report.outcome.place()].fetch_add(1, Relaxed);
        if report.outcome.is_success() {
            self.success.store(Arc::new(report.at_seconds));
        }
        report.log();
        let report = Arc::new(report);
        self.last.store(Arc::clone(&report));
        report
    }
}

impl Ask {
    /// Who asked may have left.
    pub(super) fn answer(self, report: &Arc<Report>) {
        if let Some(to) = self.to {
            to.send(Arc::clone(report)).unwrap_or_default();
        }
    }
}

impl Outcome {
    /// Every word, in the order of the outcomes.
    pub(crate) const WORDS: [&'static str; 4] =
        ["applied", "unchanged", "invalid", "needs_restart"];

    /// Whether what runs is what the file says.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Applied { .. } | Self::Unchanged)
    }

    fn place(&self) -> usize {
        match self {
            Self::Applied { .. } => 0,
            Self::Unchanged => 1,
            Self::Invalid { .. } => 2,
            Self::NeedsRestart { .. } => 3,
        }
    }
}

impl Report {
    fn log(&self) {
        let Self { trigger, generation, .. } = self;
        match &self.outcome {
            Outcome::Applied { changes } => {
                tracing::info!(?trigger, generation, %changes, "the configuration is another");
            }
            // Whoever looks at the file sees also what others have asked for.
            Outcome::Unchanged if *trigger == Trigger::File => {}
            Outcome::Unchanged => {
                tracing::info!(?trigger, generation, "the configuration has not changed");
            }
            Outcome::Invalid { problems } => tracing::error!(
                ?trigger,
                generation,
                "the configuration is wrong; what was there before goes on\n{problems}"
            ),
            Outcome::NeedsRestart { problems } => tracing::error!(
                ?trigger,
                generation,
                "the configuration takes a restart; what was there before goes on\n{problems}"
            ),
        }
    }
}

/// One for each line, so that a caret stands under what it points at in JSON too.
fn lines<S: serde::Serializer>(problems: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(problems.lines())
}
