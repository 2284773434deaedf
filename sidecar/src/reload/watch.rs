//! Whether the file is another than when it was last read.
//!
//! Asked from time to time by its metadata, through every symbolic link: that notices a file that is
//! written in place, one that is renamed over it, and the links of a Kubernetes ConfigMap, on every
//! kind of file system and without a limit on watches. The files that the configuration names are asked
//! about as well.
//!
//! A file that is being written is left alone until it has been still for a moment. Should half of it be
//! read nevertheless, the other half is another change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{task::spawn_blocking, time};
use weir_config::Config;

use super::Trigger;
use crate::shared::Shared;

/// How long a file must have been still before it is read.
const STILL: Duration = Duration::from_millis(100);
/// So often it is waited for; one that is written all the time is read nevertheless.
const PATIENCE: u32 = 50;

/// The files, and what they looked like when they were last read.
#[derive(Debug)]
pub(super) struct Seen(Mutex<Files>);

#[derive(Clone, Debug)]
struct Files {
    /// Besides the configuration itself.
    named: Vec<PathBuf>,
    looks: Looks,
}

/// Of each file, what changes with it; `None` where there is none.
type Looks = Vec<Option<[i64; 7]>>;

impl Seen {
    pub(super) fn new(file: &Path, config: &Config) -> Self {
        let named = named(config);
        let looks = looks(file, &named);
        Self(Mutex::new(Files { named, looks }))
    }

    /// Remembers what the files look like, before they are read.
    pub(super) fn look(&self, file: &Path) {
        let named = self.files().named.clone();
        let looks = looks(file, &named);
        self.files().looks = looks;
    }

    /// Looks at the files that this configuration names from here on.
    pub(super) fn watch(&self, file: &Path, config: &Config) {
        let named = named(config);
        if named != self.files().named {
            // Those that are new have been read just now; the configuration itself may have changed since.
            let mut now = looks(file, &named);
            let mut files = self.files();
            now[0] = files.looks[0];
            *files = Files { named, looks: now };
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a reload whenever the files have changed, until the process ends.
pub(super) async fn watch(file: PathBuf, seen: Arc<Seen>, shared: Arc<Shared>) {
    loop {
        let settings = shared.plan().config.reload.clone();
        time::sleep(settings.interval).await;
        if settings.watch && !is_as_read(&file, &seen).await {
            until_still(&file, &seen).await;
            // It may have been read meanwhile, because someone else asked.
            if !is_as_read(&file, &seen).await {
                shared.reloads.reload(Trigger::File).await;
            }
        }
    }
}

async fn is_as_read(file: &Path, seen: &Arc<Seen>) -> bool {
    let now = look(file, seen).await;
    now == seen.files().looks
}

async fn until_still(file: &Path, seen: &Arc<Seen>) {
    let mut before = look(file, seen).await;
    for _ in 0..PATIENCE {
        time::sleep(STILL).await;
        let now = look(file, seen).await;
        // One that is missing is about to be put back.
        if now == before && now[0].is_some() {
            return;
        }
        before = now;
    }
}

/// Not on the thread that hears the signals: the file may be on a system that does not answer.
async fn look(file: &Path, seen: &Arc<Seen>) -> Looks {
    let (file, named) = (file.to_owned(), seen.files().named.clone());
    spawn_blocking(move || looks(&file, &named)).await.unwrap_or_default()
}

fn looks(file: &Path, named: &[PathBuf]) -> Looks {
    let all = std::iter::once(file).chain(named.iter().map(PathBuf::as_path));
    all.map(|file| {
        let metadata = fs::metadata(file).ok()?;
        Some([
            metadata.dev().cast_signed(),
            metadata.ino().cast_signed(),
            metadata.size().cast_signed(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ])
    })
    .collect()
}

/// The files that a configuration refers to.
fn named(config: &Config) -> Vec<PathBuf> {
    let authorities = |upstream: &weir_config::Upstream| upstream.tls.as_ref()?.ca.clone();
    config.upstreams.iter().filter_map(authorities).collect()
}
