//! The stages of one run, joined by bounded channels and closed in order.
//!
//! A stage ends when the channel before it is closed and empty, and its own end closes the channel
//! behind it: sources, then cleaners, then the store. Nothing tells a stage to stop, so nothing
//! can tell it too early. The stages belong to the run and die with it.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::sleep,
};

use crate::{redact::redact, route::Route, site::Site};

/// One run, before it starts.
pub(super) struct Pipeline {
    pub(super) site: Site,
    pub(super) records: usize,
    /// The fault: each cleaner returns after one record, and nobody closes the channels for it.
    pub(super) cleaners_leave: bool,
}

/// What has reached the store so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Loaded {
    stored: usize,
    batches: usize,
    /// Words taken out because they could identify a patient.
    redacted: usize,
    /// The last record stored, as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<String>,
}

struct Cleaned {
    note: String,
    redacted: usize,
}

impl Pipeline {
    /// Runs to the end, telling after each batch what has been loaded.
    pub(super) async fn run(self, mut tell: impl FnMut(Loaded)) {
        let (raw, uncleaned) = mpsc::channel(CHANNEL);
        let (cleaned, unstored) = mpsc::channel(CHANNEL);
        let (progress, mut told) = mpsc::channel(1);
        let uncleaned = Arc::new(Mutex::new(uncleaned));
        let forgotten = self.cleaners_leave.then(|| (cleaned.clone(), Arc::clone(&uncleaned)));

        let Site { tasks, .. } = &self.site;
        let mut stages = JoinSet::new();
        for source in 0..SOURCES {
            let share = (self.records + SOURCES - 1 - source) / SOURCES;
            let stage = read(self.site.clone(), source, share, raw.clone());
            stages.spawn(tasks.named("etl.source", stage));
        }
        for _ in 0..CLEANERS {
            let stage = clean(
                self.site.clone(),
                Arc::clone(&uncleaned),
                cleaned.clone(),
                self.cleaners_leave,
            );
            stages.spawn(tasks.named("etl.cleaner", stage));
        }
        stages.spawn(tasks.named("etl.store", store(self.site.clone(), unstored, progress)));
        // What is left here are ends of channels; while they live, no channel closes.
        drop((raw, cleaned, uncleaned));

        while let Some(loaded) = told.recv().await {
            tell(loaded);
        }
        stages.join_all().await;
        drop(forgotten);
    }
}

async fn read(site: Site, source: usize, records: usize, raw: mpsc::Sender<String>) {
    for record in 0..records {
        if record % PAGE == 0 {
            sleep(site.times.next("etl.read", Duration::from_millis(3))).await;
        }
        let note = format!(
            "visit {record} of source {source}: well, call 0301234{record:04}, 20 mg daily"
        );
        if raw.send(note).await.is_err() {
            return;
        }
    }
}

async fn clean(
    site: Site,
    uncleaned: Arc<Mutex<mpsc::Receiver<String>>>,
    cleaned: mpsc::Sender<Cleaned>,
    leave: bool,
) {
    loop {
        let Some(note) = uncleaned.lock().await.recv().await else { return };
        sleep(site.times.next("etl.clean", Duration::from_millis(1))).await;
        let (note, redacted) = redact(&note);
        if cleaned.send(Cleaned { note, redacted }).await.is_err() || leave {
            return;
        }
    }
}

async fn store(site: Site, mut unstored: mpsc::Receiver<Cleaned>, progress: mpsc::Sender<Loaded>) {
    let mut loaded = Loaded::default();
    let mut batch = Vec::with_capacity(BATCH);
    while unstored.recv_many(&mut batch, BATCH).await > 0 {
        site.faults.stall(Route::Etl).await;
        sleep(site.times.next("etl.store", Duration::from_millis(5))).await;
        loaded.batches += 1;
        loaded.stored += batch.len();
        loaded.redacted += batch.iter().map(|record| record.redacted).sum::<usize>();
        loaded.latest = batch.drain(..).next_back().map(|record| record.note);
        if progress.send(loaded.clone()).await.is_err() {
            return;
        }
    }
}

const SOURCES: usize = 2;
const CLEANERS: usize = 5;
/// Records between two stages; a stage that is ahead waits.
const CHANNEL: usize = 32;
/// Records a source reads at once.
const PAGE: usize = 20;
/// Records stored at once, at most.
const BATCH: usize = 50;
