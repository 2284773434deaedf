//! Text recognition: heavy work for few workers.
//!
//! The pool's size is the machine's, not the callers': four pages at a time, sixteen in the queue,
//! and 503 for the next. Turning work away is what keeps the accepted work quick.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, post},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use weir_pool::{Pool, Size};

use crate::{
    accepted::Accepted,
    problem::{Problem, Reason},
    route::Route,
    site::Site,
    store::Store,
};

/// The route, and the pool it must be closed with.
#[derive(Clone, Debug)]
pub(crate) struct Ocr {
    desk: Desk,
    pool: Arc<Pool<Job, ()>>,
}

/// Where pages are worked on.
#[derive(Clone, Debug)]
struct Desk {
    site: Site,
    pages: Arc<Store<Page>>,
}

struct Job {
    id: u64,
    scan: Bytes,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "progress")]
enum Page {
    Queued,
    Running,
    Done { words: usize, characters: usize },
}

impl Ocr {
    pub(crate) fn new(site: Site) -> Self {
        let desk = Desk { site, pages: Arc::new(Store::new(PAGES_KEPT)) };
        let worker = desk.clone();
        let pool = Pool::new(SIZE, move |job| {
            let desk = worker.clone();
            let tasks = desk.site.tasks.clone();
            tasks.named("ocr.page", async move { desk.recognise(job).await })
        });
        Self { desk, pool: Arc::new(pool) }
    }

    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/ocr/jobs", post(submit))
            .route("/ocr/jobs/{id}", get(status))
            .with_state(self)
    }

    /// Finishes the pages that were accepted; returns how many the deadline cut.
    pub(crate) async fn close(&self, deadline: Instant) -> usize {
        let unfinished = self.pool.drain(deadline).await;
        unfinished.queued.len() + unfinished.running
    }
}

async fn submit(
    State(ocr): State<Ocr>,
    headers: HeaderMap,
    scan: Bytes,
) -> Result<Accepted, Problem> {
    let Desk { site, pages } = &ocr.desk;
    site.enter(Route::Ocr, &headers, PATIENCE).await?;
    let id = pages.open(Page::Queued);
    let job = Job { id, scan };
    if site.faults.get(Route::Ocr).leak {
        let desk = ocr.desk.clone();
        drop(site.tasks.background("ocr.unbounded", async move { desk.recognise(job).await }));
    } else if let Err(refused) = ocr.pool.try_submit(job) {
        pages.withdraw(id);
        return Err(Problem::new(Reason::Full, format!("pages: {refused}")));
    }
    Ok(Accepted { collection: "/ocr/jobs", id })
}

async fn status(State(ocr): State<Ocr>, Path(id): Path<u64>) -> Result<Json<Page>, Problem> {
    ocr.desk.pages.get(id).map(Json).ok_or_else(|| {
        Problem::new(Reason::NotFound, format!("there is no page {id}, or no longer"))
    })
}

impl Desk {
    async fn recognise(&self, Job { id, scan }: Job) {
        self.pages.update(id, |page| *page = Page::Running);
        self.site.faults.stall(Route::Ocr).await;
        sleep(self.site.times.next("ocr.recognise", Duration::from_millis(40))).await;
        let text = String::from_utf8_lossy(&scan);
        let done =
            Page::Done { words: text.split_whitespace().count(), characters: text.chars().count() };
        self.pages.finish(id, |page| *page = done);
    }
}

const SIZE: Size = Size { workers: NonZeroUsize::new(4).expect("not zero"), queue: 16 };
const PAGES_KEPT: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(1);
