//! Text recognition: heavy work for few workers.
//!
//! The pool's size is the machine's, not the callers': four pages at a time, sixteen in the queue,
//! and 503 for the next. Turning work away is what keeps the accepted work quick.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use serde::Serialize;
use tokio::time::Instant;
use weir_pool::Size;

use crate::{
    accepted::Accepted,
    deadline::Deadline,
    jobs::{Collection, Job, Jobs},
    problem::Problem,
    route::Route,
    site::Site,
};

pub(crate) type Pages = Jobs<Bytes, Page>;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "progress")]
pub(crate) enum Page {
    Queued,
    Running,
    Done { words: usize, characters: usize },
    Failed { detail: String },
}

pub(crate) fn pages(site: Site) -> Arc<Pages> {
    Jobs::new(site, PAGES, |site, page| site.tasks.named("ocr.page", recognise(site.clone(), page)))
}

pub(crate) fn routes(pages: Arc<Pages>) -> Router {
    pages.routes(post(submit))
}

async fn submit(
    State(pages): State<Arc<Pages>>,
    headers: HeaderMap,
    scan: Bytes,
) -> Result<Accepted, Problem> {
    let site = &pages.site;
    site.enter(Route::Ocr, &headers, PATIENCE).await?;
    let (accepted, page) = pages.open(scan, Page::Queued);
    if site.faults.get(Route::Ocr).leak {
        drop(site.tasks.background("ocr.unbounded", recognise(site.clone(), page)));
    } else {
        pages.submit(page)?;
    }
    Ok(accepted)
}

async fn recognise(site: Site, job: Job<Bytes, Page>) {
    job.update(|page| *page = Page::Running);
    site.faults.stall(Route::Ocr).await;
    let deadline = Deadline::after(WORK_PATIENCE, Instant::now());
    let ended = match site.work("ocr.recognise", Duration::from_millis(40), deadline).await {
        Ok(()) => read(&String::from_utf8_lossy(&job.input)),
        Err(problem) => Page::Failed { detail: problem.detail },
    };
    job.finish(|page| *page = ended);
}

fn read(text: &str) -> Page {
    Page::Done { words: text.split_whitespace().count(), characters: text.chars().count() }
}

const PAGES: Collection = Collection {
    path: "/ocr/jobs",
    noun: "page",
    size: Size { workers: NonZeroUsize::new(4).expect("not zero"), queue: 16 },
    kept: 10_000,
};
/// For the acceptance.
const PATIENCE: Duration = Duration::from_secs(1);
/// For the work on one page, once a worker has it.
const WORK_PATIENCE: Duration = Duration::from_secs(10);
