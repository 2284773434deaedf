//! The only wiring: a configuration becomes threads, sockets and the state between them.

use std::{io, num::NonZeroUsize, path::PathBuf, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};
use weir_config::{Address, Config, Document};

use crate::{
    admin, clock,
    lifecycle::{self, Asked, Readiness, Signals},
    observe::{breakers, endpoints, explain::Explain, ledger::Ledger},
    plan::Plan,
    proxy::{self, BindError, Bound, Worker},
    reload::{Ask, Reloader, Reloads},
    shared::Shared,
    store,
    upstream::{self, Unusable},
};

/// A sidecar that serves.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) shared: Arc<Shared>,
    /// Where it listens, in the order of the plan.
    pub(crate) addresses: Vec<Address>,
    pub(crate) admin: admin::Addresses,
    workers: Vec<Arc<Worker>>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Admin(#[from] admin::BindError),
    #[error(transparent)]
    Upstream(#[from] Unusable),
    #[error("cannot start the admin API")]
    AdminThread(#[source] io::Error),
    #[error("cannot start worker {index} of {threads}")]
    Worker { index: usize, threads: NonZeroUsize, source: io::Error },
    #[error("worker {index} of {threads} panicked as it started")]
    Panicked { index: usize, threads: NonZeroUsize },
}

/// Binds every socket, starts every thread and hears from each worker that it serves; names are looked
/// up, and the configuration is read again, on the current runtime. Where it was read from no `file`, it
/// is not.
///
/// # Errors
/// When something is missing that must be there before the first request. The process is to end then:
/// threads that have started are not called back.
pub(crate) async fn start(config: Config) -> Result<Sidecar, StartError> {
    let (sidecar, _nobody) = serve(config).await?;
    Ok(sidecar)
}

/// The same for a configuration that is read from `file` again when asked.
///
/// # Errors
/// As [`start`].
pub(crate) async fn start_from(file: PathBuf, read: Document) -> Result<Sidecar, StartError> {
    let (sidecar, asks) = serve(read.config.clone()).await?;
    let (shared, workers) = (Arc::clone(&sidecar.shared), sidecar.workers.clone());
    tokio::spawn(Reloader::new(file, read, shared, workers).run(asks));
    Ok(sidecar)
}

async fn serve(config: Config) -> Result<(Sidecar, mpsc::Receiver<Ask>), StartError> {
    let threads = config.threads;
    let admin_settings = config.admin.clone();
    let ledger = Ledger::new(threads.get(), config.listeners.len());
    let plan = Plan::compile(config, None, &ledger)?;
    let sockets: Vec<Bound> =
        plan.listeners.iter().map(|listener| proxy::bind(listener)).collect::<Result<_, _>>()?;
    let admin_sockets = admin::bind(&admin_settings)?;
    let addresses = plan
        .listeners
        .iter()
        .zip(&sockets)
        .map(|(listener, socket)| socket.address(&listener.address));
    let addresses: Vec<_> = addresses.collect();
    let explain = Explain::new(threads.get(), fastrand::u64(..));
    let (reloads, asks) = Reloads::new(clock::unix_seconds());
    let shared = Arc::new(Shared::new(plan, ledger, explain, reloads));
    let readiness = Arc::new(Readiness::default());
    let admin = admin_sockets.addresses();
    admin::start(admin_sockets, Arc::clone(&shared), Arc::clone(&readiness))
        .map_err(StartError::AdminThread)?;
    store::start(&shared.plan().stores()).await;
    let (workers, threads) = start_workers(threads, &sockets, &shared).await?;
    upstream::look_after(&shared.plan().upstreams);
    tokio::spawn(breakers::watch(Arc::clone(&shared)));
    tokio::spawn(endpoints::watch(Arc::clone(&shared)));
    readiness.started();
    Ok((Sidecar { shared, addresses, admin, workers, threads }, asks))
}

/// A thread for each worker; all of them have their runtime and accept when this returns.
async fn start_workers(
    threads: NonZeroUsize,
    sockets: &[Bound],
    shared: &Arc<Shared>,
) -> Result<(Vec<Arc<Worker>>, Vec<thread::JoinHandle<()>>), StartError> {
    let mut starting = Vec::new();
    for index in 0..threads.get() {
        let failed = |source| StartError::Worker { index, threads, source };
        let handles = sockets.iter().map(Bound::try_clone).collect::<io::Result<Vec<_>>>();
        let handles = handles.map_err(failed)?;
        let shared = Arc::clone(shared);
        let (started, heard) = oneshot::channel();
        let worker = thread::Builder::new()
            .name(format!("weir-worker-{index}"))
            .spawn(move || proxy::run(index, shared, handles, started));
        starting.push((worker.map_err(failed)?, heard));
    }
    let (mut workers, mut handles) = (Vec::new(), Vec::new());
    for (index, (handle, heard)) in starting.into_iter().enumerate() {
        let worker = heard
            .await
            .map_err(|_| StartError::Panicked { index, threads })?
            .map_err(|source| StartError::Worker { index, threads, source })?;
        workers.push(worker);
        handles.push(handle);
    }
    Ok((workers, handles))
}

impl Sidecar {
    /// Tells the service manager that requests are served.
    pub(crate) fn serving(&self) {
        lifecycle::notify(&[sd_notify::NotifyState::Ready]);
    }

    /// Ends in order. `false` when a second signal cut it short.
    pub(crate) async fn end(self, asked: Asked, signals: &mut Signals) -> bool {
        let settings = self.shared.plan().config.shutdown.clone();
        tracing::info!(?asked, "ending");
        lifecycle::notify(&[sd_notify::NotifyState::Stopping]);
        let Some(cut) = lifecycle::end(&self.shared, &settings, asked, signals).await else {
            return false;
        };
        for thread in self.threads {
            // A worker that panicked has said so; the others end the same.
            thread.join().unwrap_or_default();
        }
        tracing::info!(cut, "ended");
        true
    }
}
