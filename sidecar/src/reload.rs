//! Reading the configuration again while requests are served.
//!
//! Asked for by SIGHUP, by `POST /reload`, or by a change of the file ([`watch`]). All or nothing: a
//! file that is wrong, or that asks for what only a restart can do, changes nothing and is told of with
//! its places. What is right is compiled on a thread of its own, connectors and all, and then takes the
//! place of the plan before in one step for each worker.
//!
//! One reload runs at a time. Whoever asks meanwhile is answered by the next one, all of them by the
//! same: it reads what was written before they asked.

mod report;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{sync::mpsc, task::spawn_blocking, time};
use weir_config::{Changes, Document, without_restart};

pub(crate) use self::report::{Ask, Outcome, Reloads, Report, Trigger};
use self::watch::Seen;
use crate::{
    clock,
    lifecycle::notify,
    plan::Plan,
    proxy::{View, Worker},
    shared::Shared,
    store,
    upstream::{self, Upstream},
};

/// How long the first look-up of a new name is waited for; without it, its requests would be refused.
const FIRST_LOOKUP: Duration = Duration::from_secs(5);

/// Reads the file again when asked.
pub(crate) struct Reloader {
    file: PathBuf,
    shared: Arc<Shared>,
    workers: Vec<Arc<Worker>>,
    /// What runs, as it was read.
    document: Document,
    seen: Arc<Seen>,
}

/// A plan that only has to be put in its place.
struct Next {
    document: Document,
    plan: Arc<Plan>,
    views: Vec<View>,
    changes: Changes,
}

/// Why there is none.
enum Rejected {
    Invalid(String),
    NeedsRestart(String),
    Unchanged,
}

impl Reloader {
    /// For a process that runs by `document`, which was read from `file`.
    pub(crate) fn new(
        file: PathBuf,
        document: Document,
        shared: Arc<Shared>,
        workers: Vec<Arc<Worker>>,
    ) -> Self {
        let seen = Arc::new(Seen::new(&file, &document.config));
        Self { file, shared, workers, document, seen }
    }

    /// Serves those who ask until the process ends.
    pub(crate) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let (seen, shared) = (Arc::clone(&self.seen), Arc::clone(&self.shared));
        tokio::spawn(watch::watch(seen, shared));
        while let Some(first) = asks.recv().await {
            let mut asked = vec![first];
            while let Ok(another) = asks.try_recv() {
                asked.push(another);
            }
            let began = clock::now();
            self.tell_begin();
            let read = self.next().await;
            let outcome = self.take(read).await;
            let report = Report {
                at_seconds: clock::unix_seconds(),
                took_seconds: clock::now().since(began).as_secs_f64(),
                trigger: asked[0].trigger,
                generation: self.shared.plan().generation,
                outcome,
            };
            let report = self.shared.reloads.done(report);
            self.tell_end();
            for ask in asked {
                ask.answer(&report);
            }
        }
    }

    /// The service manager waits for the end of a reload that it asked for.
    fn tell_begin(&self) {
        if let (false, Ok(now)) = (self.is_ending(), NotifyState::monotonic_usec_now()) {
            notify(&[NotifyState::Reloading, now]);
        }
    }

    fn tell_end(&self) {
        if !self.is_ending() {
            notify(&[NotifyState::Ready]);
        }
    }

    fn is_ending(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    /// Reads and compiles, off every thread that serves.
    async fn next(&self) -> Result<Next, Rejected> {
        let (file, document) = (self.file.clone(), self.document.clone());
        let (shared, workers) = (Arc::clone(&self.shared), self.workers.clone());
        let seen = Arc::clone(&self.seen);
        let compiling = spawn_blocking(move || {
            let next = compile(&file, &document, &shared, &workers, &seen)?;
            seen.only(&file, &next.document.config);
            Ok(next)
        });
        // What Pingora cannot read it panics on; that is told too, and costs nothing else.
        let panicked = |_| Err(Rejected::Invalid("weir panicked; the log has more\n".to_owned()));
        compiling.await.unwrap_or_else(panicked)
    }

    async fn take(&mut self, read: Result<Next, Rejected>) -> Outcome {
        match read {
            Ok(next) => Outcome::Applied { changes: Box::new(self.swap(next).await) },
            Err(Rejected::Unchanged) => Outcome::Unchanged,
            Err(Rejected::Invalid(problems)) => Outcome::Invalid { problems },
            Err(Rejected::NeedsRestart(problems)) => Outcome::NeedsRestart { problems },
        }
    }

    /// Puts a plan in the place of the one before. Nothing of it can fail.
    async fn swap(&mut self, next: Next) -> Changes {
        let Next { document, plan, views, changes } = next;
        let is_in = |plan: &Plan, upstream: &Arc<Upstream>| {
            plan.upstreams.iter().any(|other| Arc::ptr_eq(other, upstream))
        };
        let running = self.shared.plan();
        let new: Vec<_> =
            plan.upstreams.iter().filter(|upstream| !is_in(&running, upstream)).cloned().collect();
        drop(running);
        upstream::look_after(&new);
        // A name that does not resolve is no reason to wait any longer, nor to keep the plan before.
        time::timeout(FIRST_LOOKUP, upstream::first_looked_up(&new)).await.unwrap_or_default();
        store::start(&plan.stores()).await;
        plan.set(clock::now());
        for (worker, view) in self.workers.iter().zip(views) {
            worker.follow(view);
        }
        let before = self.shared.swap(Arc::clone(&plan));
        before.upstreams.iter().filter(|one| !is_in(&plan, one)).for_each(|gone| gone.retire());
        drop(before);
        // Of what nobody has any more.
        self.shared.ledger.let_go();
        self.document = document;
        changes
    }
}

fn compile(
    file: &Path,
    before: &Document,
    shared: &Shared,
    workers: &[Arc<Worker>],
    seen: &Seen,
) -> Result<Next, Rejected> {
    seen.look();
    let read = weir_config::read(file, &|name| std::env::var(name).ok());
    let document = read.map_err(|problems| Rejected::Invalid(problems.to_string()))?;
    let document = without_restart(before, document)
        .map_err(|problems| Rejected::NeedsRestart(problems.to_string()))?;
    seen.also(&document.config);
    let running = shared.plan();
    let plan = Plan::compile(document.config.clone(), Some(&running), &shared.ledger).map_err(
        |unusable| Rejected::Invalid(document.objected(&[unusable.objection()]).to_string()),
    )?;
    let mut changes = Changes::between(&before.config, &document.config);
    for upstream in &plan.upstreams {
        let is_other =
            |known: &&Arc<Upstream>| known.name == upstream.name && !Arc::ptr_eq(known, upstream);
        let changed = &mut changes.upstreams.changed;
        // What it refers to may have changed although the file has not.
        if running.upstreams.iter().any(|known| is_other(&known))
            && !changed.contains(&upstream.name)
        {
            changed.push(upstream.name.clone());
        }
    }
    if document.config == before.config && changes.is_empty() {
        return Err(Rejected::Unchanged);
    }
    let plan = Arc::new(plan);
    let views = workers.iter().map(|worker| worker.prepare(&plan)).collect();
    Ok(Next { document, plan, views, changes })
}
