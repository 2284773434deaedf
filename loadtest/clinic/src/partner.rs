//! The open API: what partners may read, with one key each.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::get};
use serde_json::{Value, json};

use crate::{
    problem::{Problem, Reason},
    route::Route,
    site::Site,
};

#[derive(Clone)]
struct Partners {
    site: Site,
    names_by_key: Arc<BTreeMap<String, String>>,
}

/// The route, for the partners with these keys.
pub(crate) fn routes(site: Site, names_by_key: BTreeMap<String, String>) -> Router {
    let partners = Partners { site, names_by_key: Arc::new(names_by_key) };
    Router::new().route("/partner/trials", get(trials)).with_state(partners)
}

async fn trials(
    State(partners): State<Partners>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let site = &partners.site;
    let deadline = site.enter(Route::Partner, &headers, PATIENCE).await?;
    let key = headers.get(KEY_HEADER).and_then(|key| key.to_str().ok());
    let Some(partner) = key.and_then(|key| partners.names_by_key.get(key)) else {
        let detail = format!("send your key in {KEY_HEADER}; each partner has one of its own");
        return Err(Problem::new(Reason::Unauthorized, detail));
    };
    deadline.within(site.faults.stall(Route::Partner)).await?;
    site.work("partner.trials", Duration::from_millis(4), deadline).await?;
    let trials = TRIALS.map(|(id, title)| json!({ "id": id, "title": title }));
    Ok(Json(json!({ "partner": partner, "trials": trials })))
}

const KEY_HEADER: &str = "x-api-key";
const PATIENCE: Duration = Duration::from_secs(1);

const TRIALS: [(&str, &str); 3] = [
    ("T-001", "Ramipril after a first stroke"),
    ("T-002", "Metformin in early diabetes"),
    ("T-003", "Amoxicillin, five days or ten"),
];
