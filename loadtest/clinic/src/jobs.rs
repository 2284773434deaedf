//! Work that is accepted now and done later: a pool that does it, and a record of each job.
//!
//! A record is opened before its job is handed over, so that no worker has a job that cannot be
//! asked for; the record of a job that was turned away is withdrawn.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{MethodRouter, get},
};
use serde::Serialize;
use tokio::time::Instant;
use weir_pool::{Pool, Size};

use crate::{
    accepted::Accepted,
    problem::{Problem, Reason},
    site::Site,
    store::Store,
};

/// The jobs of a collection, to be closed with the clinic.
#[derive(Debug)]
pub(crate) struct Jobs<Input: Send + 'static, Record: Send + 'static> {
    pub(crate) site: Site,
    collection: Collection,
    records: Arc<Store<Record>>,
    pool: Pool<Job<Input, Record>, ()>,
}

/// What jobs are called, and how many there may be.
#[derive(Debug)]
pub(crate) struct Collection {
    /// Where jobs are posted and asked for, without a trailing slash.
    pub(crate) path: &'static str,
    /// What messages call one of them.
    pub(crate) noun: &'static str,
    pub(crate) size: Size,
    /// Records kept, at most.
    pub(crate) kept: usize,
}

/// One piece of work, with its record.
pub(crate) struct Job<Input, Record> {
    pub(crate) input: Input,
    id: u64,
    records: Arc<Store<Record>>,
}

impl<Input: Send + 'static, Record: Clone + Serialize + Send + 'static> Jobs<Input, Record> {
    /// No jobs yet, and workers that will run `work` over each.
    pub(crate) fn new<Work, Worked>(site: Site, collection: Collection, work: Work) -> Arc<Self>
    where
        Work: Fn(&Site, Job<Input, Record>) -> Worked + Send + Sync + 'static,
        Worked: Future<Output = ()> + Send + 'static,
    {
        let records = Arc::new(Store::new(collection.kept));
        let workers_site = site.clone();
        let pool = Pool::new(collection.size, move |job| work(&workers_site, job));
        Arc::new(Self { site, collection, records, pool })
    }

    /// The collection's routes: `submit` takes its POST, and a GET of one job shows the record.
    pub(crate) fn routes(self: Arc<Self>, submit: MethodRouter<Arc<Self>>) -> Router {
        let path = self.collection.path;
        let one = format!("{path}/{{id}}");
        Router::new().route(path, submit).route(&one, get(Self::status)).with_state(self)
    }

    async fn status(
        State(jobs): State<Arc<Self>>,
        Path(id): Path<u64>,
    ) -> Result<Json<Record>, Problem> {
        jobs.records.get(id).map(Json).ok_or_else(|| {
            let detail = format!("there is no {} {id}, or no longer", jobs.collection.noun);
            Problem::new(Reason::NotFound, detail)
        })
    }

    /// A job with its record, for [`submit`](Self::submit) or for a fault.
    pub(crate) fn open(&self, input: Input, record: Record) -> (Accepted, Job<Input, Record>) {
        let id = self.records.open(record);
        let job = Job { input, id, records: Arc::clone(&self.records) };
        (Accepted { collection: self.collection.path, id }, job)
    }

    /// Hands a job to the workers, or turns it away when their queue is full.
    pub(crate) fn submit(&self, job: Job<Input, Record>) -> Result<(), Problem> {
        let id = job.id;
        self.pool.try_submit(job).map(drop).map_err(|refused| {
            self.records.withdraw(id);
            Problem::new(Reason::Full, format!("{}s: {refused}", self.collection.noun))
        })
    }

    /// Finishes what was submitted; returns how many jobs the deadline cut.
    pub(crate) async fn close(&self, deadline: Instant) -> usize {
        let unfinished = self.pool.drain(deadline).await;
        unfinished.queued.len() + unfinished.running
    }
}

impl<Input, Record: Clone> Job<Input, Record> {
    /// Changes the record of work that goes on.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Record)) {
        self.records.update(self.id, change);
    }

    /// Changes the record for the last time.
    pub(crate) fn finish(self, change: impl FnOnce(&mut Record)) {
        self.records.finish(self.id, change);
    }
}
