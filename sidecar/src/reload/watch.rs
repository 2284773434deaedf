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
    collections::BTreeMap,
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

/// The files, and what each looked like when it was last read.
#[derive(Debug)]
pub(super) struct Seen(Mutex<Looks>);

/// Of each file, what changes with it; `None` where there is none.
type Looks = BTreeMap<PathBuf, Option<[i64; 7]>>;

impl Seen {
    /// Of a configuration that was read from `file`.
    pub(super) fn new(file: &Path, config: &Config) -> Self {
        let seen = Self(Mutex::new(Looks::from([(file.to_owned(), look(file))])));
        seen.also(config);
        seen
    }

    /// Looks at all of them, before they are read.
    pub(super) fn look(&self) {
        for (file, seen) in self.looks().iter_mut() {
            *seen = look(file);
        }
    }

    /// Looks at the files that this configuration names besides, before they are read.
    pub(super) fn also(&self, config: &Config) {
        for file in named(config) {
            self.looks().entry(file.to_owned()).or_insert_with(|| look(file));
        }
    }

    /// Looks at no other files from here on but the configuration and those that it names.
    pub(super) fn only(&self, file: &Path, config: &Config) {
        self.looks().retain(|seen, _| seen == file || named(config).any(|named| named == seen));
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a reload whenever the files have changed, until the process ends.
pub(super) async fn watch(seen: Arc<Seen>, shared: Arc<Shared>) {
    loop {
        let settings = shared.plan().config.reload.clone();
        time::sleep(settings.interval).await;
        if settings.watch && !is_as_read(&seen).await {
            until_still(&seen).await;
            // It may have been read meanwhile, because someone else asked.
            if !is_as_read(&seen).await {
                shared.reloads.reload(Trigger::File).await;
            }
        }
    }
}

async fn is_as_read(seen: &Arc<Seen>) -> bool {
    let now = now(seen).await;
    now == *seen.looks()
}

async fn until_still(seen: &Arc<Seen>) {
    let mut before = now(seen).await;
    for _ in 0..PATIENCE {
        time::sleep(STILL).await;
        let now = now(seen).await;
        // One that is missing is about to be put back.
        if now == before && now.values().all(Option::is_some) {
            return;
        }
        before = now;
    }
}

/// Not on the thread that hears the signals: the files may be on a system that does not answer.
async fn now(seen: &Arc<Seen>) -> Looks {
    let mut looks = seen.looks().clone();
    let looked = spawn_blocking(move || {
        looks.iter_mut().for_each(|(file, seen)| *seen = look(file));
        looks
    });
    looked.await.unwrap_or_default()
}

/// Through every link.
fn look(file: &Path) -> Option<[i64; 7]> {
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
}

/// The files that a configuration refers to.
fn named(config: &Config) -> impl Iterator<Item = &Path> {
    config.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()?.ca.as_deref())
}
