//! The drug dictionary: read by all, seldom written, behind a read-write lock.
//!
//! Readers take a copy and let the lock go before anything slow; only a writer keeps it over its
//! work, because readers must not see half an entry. Every wait has the request's deadline.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;

use crate::{
    body,
    problem::{Problem, Reason},
    route::Route,
    site::Site,
};

#[derive(Clone)]
struct Drugs {
    site: Site,
    entries: Arc<RwLock<BTreeMap<String, Drug>>>,
}

#[derive(Clone, Debug, Serialize)]
struct Drug {
    code: String,
    name: String,
    /// How often the entry has been written.
    revision: u64,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

pub(crate) fn routes(site: Site) -> Router {
    let entries = FIRST_ENTRIES.map(|(code, name)| {
        let drug = Drug { code: code.to_owned(), name: name.to_owned(), revision: 1 };
        (code.to_owned(), drug)
    });
    Router::new()
        .route("/drugs/{code}", get(look_up).put(write))
        .with_state(Drugs { site, entries: Arc::new(RwLock::new(entries.into())) })
}

async fn look_up(
    State(drugs): State<Drugs>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Drug>, Problem> {
    let deadline = drugs.site.enter(Route::Drugs, &headers, PATIENCE).await?;
    drugs.hold_if_stalled();
    let drug = deadline.within(drugs.entries.read()).await?.get(&code).cloned();
    drugs.site.work("drugs.read", Duration::from_millis(2), deadline).await?;
    drug.map(Json).ok_or_else(|| {
        let detail =
            format!("there is no drug {code}; N02BE01 is one, PUT /drugs/{code} adds yours");
        Problem::new(Reason::NotFound, detail)
    })
}

async fn write(
    State(drugs): State<Drugs>,
    Path(code): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Drug>, Problem> {
    let deadline = drugs.site.enter(Route::Drugs, &headers, PATIENCE).await?;
    let Entry { name } = body::parse(&body, r#"an entry like {"name": "paracetamol"}"#)?;
    drugs.hold_if_stalled();
    let mut entries = deadline.within(drugs.entries.write()).await?;
    if !entries.contains_key(&code) && entries.len() == ENTRIES_MAX {
        let detail = format!("the dictionary keeps {ENTRIES_MAX} drugs and has no room for {code}");
        return Err(Problem::new(Reason::Full, detail));
    }
    drugs.site.work("drugs.write", Duration::from_millis(5), deadline).await?;
    let revision = entries.get(&code).map_or(1, |drug| drug.revision + 1);
    let drug = Drug { code: code.clone(), name, revision };
    entries.insert(code, drug.clone());
    Ok(Json(drug))
}

impl Drugs {
    /// The fault: a writer takes the lock, if it is free, and keeps it while the switch is on.
    fn hold_if_stalled(&self) {
        if self.site.faults.get(Route::Drugs).stall
            && let Ok(writer) = Arc::clone(&self.entries).try_write_owned()
        {
            self.site.hold(writer, "drugs.writer", Route::Drugs);
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
const ENTRIES_MAX: usize = 10_000;

/// Codes of the WHO's anatomical therapeutic chemical classification.
const FIRST_ENTRIES: [(&str, &str); 8] = [
    ("A10BA02", "metformin"),
    ("B01AC06", "acetylsalicylic acid"),
    ("C07AB02", "metoprolol"),
    ("C09AA05", "ramipril"),
    ("C10AA05", "atorvastatin"),
    ("J01CA04", "amoxicillin"),
    ("M01AE01", "ibuprofen"),
    ("N02BE01", "paracetamol"),
];
