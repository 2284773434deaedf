//! The clinic as a whole: its routes, its controls, its end.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, Router, body::Bytes, middleware::from_fn_with_state, routing::get};
use http::Uri;
use serde_json::Value;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::DropGuard;

use crate::{
    dependency::Dependency,
    drug_info, drugs, echo,
    epro::Epro,
    etl::Etl,
    faults::Faults,
    health_report,
    in_flight::{self, InFlight},
    ocr::Ocr,
    partner,
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

/// A running clinic; dropping it cuts all its background work.
#[derive(Debug)]
pub struct Clinic {
    settings: Settings,
    site: Site,
    in_flight: InFlight,
    epro: Epro,
    etl: Etl,
    ocr: Ocr,
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
        Self {
            settings,
            in_flight: InFlight::default(),
            epro: Epro::new(site.clone()),
            etl: Etl::new(site.clone()),
            ocr: Ocr::new(site.clone()),
            _cut_on_drop: site.tasks.cut_on_drop(),
            site,
        }
    }

    /// Its fault switches.
    pub fn faults(&self) -> &Faults {
        &self.site.faults
    }

    /// A drug-info service that shares this clinic's seed and fault switches.
    pub fn dependency(&self) -> Dependency {
        Dependency::new(self.settings.seed, self.site.faults.clone())
    }

    /// Its routes, to be served by whoever likes.
    pub fn router(&self) -> Router {
        let site = || self.site.clone();
        Router::new()
            .merge(self.epro.clone().routes())
            .merge(self.etl.clone().routes())
            .merge(report::routes(site()))
            .merge(study_config::routes(site()))
            .merge(drugs::routes(site()))
            .merge(health_report::routes(site()))
            .merge(self.ocr.clone().routes())
            .merge(partner::routes(site(), self.settings.partners.clone()))
            .merge(drug_info::routes(site(), self.settings.drug_info_base.clone()))
            .merge(echo::routes(self.site.tasks.clone()))
            .fallback(not_found)
            .layer(from_fn_with_state(self.in_flight.clone(), in_flight::count))
            .merge(controls(&self.site, self.in_flight.clone()))
    }

    /// Serves HTTP/1.1 and HTTP/2 with prior knowledge until `shutdown`, then finishes what was
    /// begun and accepted, for at most `grace`.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        grace: Duration,
    ) -> Ended {
        let mut deadline = None;
        let told = async {
            shutdown.await;
            deadline = Some(Instant::now() + grace);
        };
        let connections_cut = server::serve(listener, self.router(), told, grace).await;
        let deadline = deadline.unwrap_or_else(Instant::now);
        Ended { connections_cut, work_lost: self.close(deadline).await }
    }

    /// Finishes what was accepted; returns how much the deadline cut.
    async fn close(&self, deadline: Instant) -> usize {
        let Self { epro, etl, ocr, .. } = self;
        let (epro, etl, ocr, tasks) = tokio::join!(
            epro.close(deadline),
            etl.close(deadline),
            ocr.close(deadline),
            self.site.tasks.close(deadline)
        );
        epro + etl + ocr + tasks
    }
}

/// The routes that look at a service and steer it; they are not counted as in flight.
pub(crate) fn controls(site: &Site, in_flight: InFlight) -> Router {
    let shown = site.faults.clone();
    let changed = site.faults.clone();
    let cleared = site.faults.clone();
    let show = async move || -> Json<Value> { Json(shown.shown()) };
    let change = async move |body: Bytes| -> Result<Json<Value>, Problem> {
        changed.apply(&body)?;
        Ok(Json(changed.shown()))
    };
    let clear = async move || -> Json<Value> {
        cleared.clear();
        Json(cleared.shown())
    };
    Router::new()
        .route("/faults", get(show).post(change).delete(clear))
        .route("/healthz", get(async || "ok\n"))
        .merge(in_flight::routes(in_flight, site.tasks.clone()))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(Reason::NotFound, format!("the clinic has no route {}", uri.path()))
}
