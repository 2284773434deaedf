//! The clinic as a whole: its routes, its controls, its end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn_with_state};
use http::Uri;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::DropGuard;

use crate::{
    controls,
    dependency::Dependency,
    drug_info, drugs, echo, epro, etl,
    faults::Faults,
    health_report,
    in_flight::{self, InFlight},
    ocr, partner,
    problem::{Problem, Reason},
    report,
    server::{self, Ended},
    site::Site,
    study_config,
};

/// What a clinic is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of all service times and error coins: the same seed gives the same run.
    pub seed: u64,
    /// Where `GET /drug-info/{code}` calls: the dependency itself, or a sidecar before it.
    pub drug_info_base: Uri,
    /// Partners by their API key.
    pub partners: BTreeMap<String, String>,
}

impl Default for Settings {
    /// Seed 1, drug-info at `http://127.0.0.1:9001`, and the partners `alpha`, `beta` and `gamma`
    /// with the keys `alpha-key`, `beta-key` and `gamma-key`.
    fn default() -> Self {
        let partners = ["alpha", "beta", "gamma"];
        Self {
            seed: 1,
            drug_info_base: Uri::from_static("http://127.0.0.1:9001"),
            partners: partners.map(|name| (format!("{name}-key"), name.to_owned())).into(),
        }
    }
}

/// A running clinic; dropping it cuts its background tasks, and its worker pools end with the last
/// copy of its router.
#[derive(Debug)]
pub struct Clinic {
    settings: Settings,
    site: Site,
    router: Router,
    submissions: Arc<epro::Submissions>,
    runs: Arc<etl::Runs>,
    pages: Arc<ocr::Pages>,
    _cut_on_drop: DropGuard,
}

impl Clinic {
    /// Opens a clinic with all faults off.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime: its worker pools start here.
    pub fn new(settings: Settings) -> Self {
        let site = Site::new(Faults::default(), settings.seed);
        let submissions = epro::submissions(site.clone());
        let runs = etl::runs(site.clone());
        let pages = ocr::pages(site.clone());
        let in_flight = InFlight::default();
        let router = Router::new()
            .merge(epro::routes(Arc::clone(&submissions)))
            .merge(etl::routes(Arc::clone(&runs)))
            .merge(report::routes(site.clone()))
            .merge(study_config::routes(site.clone()))
            .merge(drugs::routes(site.clone()))
            .merge(health_report::routes(site.clone()))
            .merge(ocr::routes(Arc::clone(&pages)))
            .merge(partner::routes(site.clone(), settings.partners.clone()))
            .merge(drug_info::routes(site.clone(), settings.drug_info_base.clone()))
            .merge(echo::routes(site.tasks.clone()))
            .fallback(not_found)
            .layer(from_fn_with_state(in_flight.clone(), in_flight::count))
            .merge(controls::routes(&site, in_flight));
        let _cut_on_drop = site.tasks.cut_on_drop();
        Self { settings, site, router, submissions, runs, pages, _cut_on_drop }
    }

    /// Its fault switches.
    pub fn faults(&self) -> &Faults {
        &self.site.faults
    }

    /// A drug-info service that shares this clinic's seed and fault switches.
    pub fn dependency(&self) -> Dependency {
        Dependency::new(self.settings.seed, self.site.faults.clone())
    }

    /// Its routes, to be served by whoever likes; every copy is the same clinic.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Serves HTTP/1.1 and HTTP/2 with prior knowledge until `shutdown`, then finishes what was
    /// begun and accepted, for at most `grace`.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        grace: Duration,
    ) -> Ended {
        let shutdown = async {
            shutdown.await;
            self.site.tasks.closing().cancel();
        };
        let stopped = server::serve(listener, self.router(), shutdown, grace).await;
        let work_lost = self.close(stopped.deadline).await;
        Ended { connections_cut: stopped.connections_cut, work_lost }
    }

    /// Finishes what was accepted; returns how much the deadline cut.
    async fn close(&self, deadline: Instant) -> usize {
        let (submissions, runs, pages, tasks) = tokio::join!(
            self.submissions.close(deadline),
            self.runs.close(deadline),
            self.pages.close(deadline),
            self.site.tasks.close(deadline)
        );
        submissions + runs + pages + tasks
    }
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(Reason::NotFound, format!("the clinic has no route {}", uri.path()))
}
