//! The only wiring: a configuration becomes threads, sockets and the state between them.

use std::{io, num::NonZeroUsize, path::PathBuf, sync::Arc, thread};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use weir_config::{Address, Config, Shutdown};

use crate::{
    admin,
    lifecycle::{self, Asked, Readiness, Signals},
    observe::{breakers, complaints::Complaints, explain::Explain, ledger::Ledger},
    plan::Plan,
    proxy::{self, BindError, Bound},
    shared::Shared,
    upstream::{BadPath, resolve},
};

/// A sidecar that serves.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) shared: Arc<Shared>,
    /// Where it listens, in the order of the plan.
    pub(crate) addresses: Vec<Address>,
    pub(crate) admin: admin::Addresses,
    workers: Vec<thread::JoinHandle<()>>,
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Admin(#[from] admin::BindError),
    #[error(transparent)]
    Path(#[from] BadPath),
    #[error("upstream {upstream}: cannot use the authorities in {path}: {why}")]
    Authorities { upstream: String, path: PathBuf, why: String },
    #[error("cannot start the admin API")]
    AdminThread(#[source] io::Error),
    #[error("cannot start worker {index} of {threads}")]
    Worker { index: usize, threads: NonZeroUsize, source: io::Error },
    #[error("worker {index} of {threads} panicked as it started")]
    Panicked { index: usize, threads: NonZeroUsize },
}

/// Binds every socket, starts every thread and hears from each worker that it serves; names are looked
/// up on the current runtime.
///
/// # Errors
/// When something is missing that must be there before the first request. The process is to end then:
/// threads that have started are not called back.
pub(crate) async fn start(config: &Config) -> Result<Sidecar, StartError> {
    let plan = Plan::compile(config)?;
    check_authorities(&plan)?;
    let sockets: Vec<Bound> =
        plan.listeners.iter().map(|listener| proxy::bind(listener)).collect::<Result<_, _>>()?;
    let admin_sockets = admin::bind(&config.admin)?;
    let addresses = plan
        .listeners
        .iter()
        .zip(&sockets)
        .map(|(listener, socket)| socket.address(&listener.address));
    let addresses: Vec<_> = addresses.collect();
    let shared = Arc::new(shared(plan, config.threads));
    let readiness = Arc::new(Readiness::default());
    let admin = admin_sockets.addresses();
    admin::start(admin_sockets, config, Arc::clone(&shared), Arc::clone(&readiness))
        .map_err(StartError::AdminThread)?;
    let workers = start_workers(config.threads, &sockets, &shared).await?;
    for upstream in shared.plan.upstreams.iter().filter(|upstream| resolve::has_names(upstream)) {
        tokio::spawn(resolve::keep_fresh(Arc::clone(upstream)));
    }
    tokio::spawn(breakers::watch(Arc::clone(&shared)));
    readiness.started();
    Ok(Sidecar { shared, addresses, admin, workers })
}

/// A thread for each worker; all of them have their runtime and accept when this returns.
async fn start_workers(
    threads: NonZeroUsize,
    sockets: &[Bound],
    shared: &Arc<Shared>,
) -> Result<Vec<thread::JoinHandle<()>>, StartError> {
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
    let mut workers = Vec::new();
    for (index, (worker, heard)) in starting.into_iter().enumerate() {
        heard
            .await
            .map_err(|_| StartError::Panicked { index, threads })?
            .map_err(|source| StartError::Worker { index, threads, source })?;
        workers.push(worker);
    }
    Ok(workers)
}

fn shared(plan: Plan, threads: NonZeroUsize) -> Shared {
    let rows = plan.routes.len() + plan.listeners.len();
    Shared {
        ledger: Ledger::new(threads.get(), plan.listeners.len(), rows),
        explain: Explain::new(threads.get(), fastrand::u64(..)),
        complaints: Complaints::new(rows),
        plan,
        keys: std::hash::RandomState::new(),
        draining: CancellationToken::new(),
        closing: CancellationToken::new(),
        ended: CancellationToken::new(),
    }
}

/// Pingora panics on a file of authorities that it cannot read, so it is read here first.
fn check_authorities(plan: &Plan) -> Result<(), StartError> {
    for upstream in &plan.upstreams {
        let Some(path) = upstream.tls.as_ref().and_then(|tls| tls.ca.as_ref()) else { continue };
        let mut store = pingora::tls::RootCertStore::empty();
        pingora::tls::load_ca_file_into_store(path.display().to_string(), &mut store).map_err(
            |error| StartError::Authorities {
                upstream: upstream.name.clone(),
                path: path.clone(),
                why: error.to_string(),
            },
        )?;
        if store.is_empty() {
            let why = "there is no certificate in it".to_owned();
            return Err(StartError::Authorities {
                upstream: upstream.name.clone(),
                path: path.clone(),
                why,
            });
        }
    }
    Ok(())
}

impl Sidecar {
    /// Tells the service manager that requests are served.
    pub(crate) fn serving(&self) {
        notify(&[sd_notify::NotifyState::Ready]);
    }

    /// Ends in order. `false` when a second signal cut it short.
    pub(crate) async fn end(
        self,
        settings: &Shutdown,
        asked: Asked,
        signals: &mut Signals,
    ) -> bool {
        tracing::info!(?asked, "ending");
        notify(&[sd_notify::NotifyState::Stopping]);
        let Some(cut) = lifecycle::end(&self.shared, settings, asked, signals).await else {
            return false;
        };
        for worker in self.workers {
            // A worker that panicked has said so; the others end the same.
            worker.join().unwrap_or_default();
        }
        tracing::info!(cut, "ended");
        true
    }
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
