//! A study's configuration: read, changed and written back under one mutex.
//!
//! A write takes time, and two writers that read the same version would lose one update. So the
//! lock spans the whole read-modify-write, and every wait for it has the request's deadline. The
//! new version is put in place in one step, after the slow part: a client that leaves leaves the
//! old version whole.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
    routing::get,
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    body,
    deadline::Deadline,
    problem::{Problem, Reason},
    route::Route,
    site::Site,
};

#[derive(Clone)]
struct StudyConfig {
    site: Site,
    studies: Arc<Mutex<HashMap<String, Arc<Study>>>>,
}

/// One study's configuration and the right to change it.
#[derive(Default)]
struct Study {
    config: Mutex<Config>,
    writer: Arc<AsyncMutex<()>>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Config {
    /// How many updates have been written; fewer than were acknowledged means lost updates.
    version: u64,
    settings: BTreeMap<String, Value>,
}

pub(crate) fn routes(site: Site) -> Router {
    Router::new()
        .route("/studies/{id}/config", get(show).patch(update))
        .with_state(StudyConfig { site, studies: Arc::default() })
}

async fn show(
    State(configs): State<StudyConfig>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Config>, Problem> {
    configs.site.enter(Route::StudyConfig, &headers, PATIENCE).await?;
    let study = configs.studies().get(&id).cloned();
    Ok(Json(study.map(|study| study.read()).unwrap_or_default()))
}

async fn update(
    State(configs): State<StudyConfig>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Config>, Problem> {
    let deadline = configs.site.enter(Route::StudyConfig, &headers, PATIENCE).await?;
    let like = r#"settings like {"visits": 12, "arm": null}; null removes a setting"#;
    let changes = body::parse(&body, like)?;
    let study = configs.study(id)?;
    let fault = configs.site.faults.get(Route::StudyConfig);
    if fault.stall {
        configs.hold(&study);
    }
    let config = if fault.leak {
        configs.modify(&study, changes, deadline).await?
    } else {
        let _writer = deadline.within(study.writer.lock()).await?;
        configs.modify(&study, changes, deadline).await?
    };
    Ok(Json(config))
}

impl StudyConfig {
    /// Reads, changes, and writes back; right only for one at a time.
    async fn modify(
        &self,
        study: &Study,
        changes: BTreeMap<String, Value>,
        deadline: Deadline,
    ) -> Result<Config, Problem> {
        let mut config = study.read();
        for (name, value) in changes {
            if value.is_null() {
                config.settings.remove(&name);
            } else {
                config.settings.insert(name, value);
            }
        }
        if config.settings.len() > SETTINGS_MAX {
            let detail =
                format!("a study has at most {SETTINGS_MAX} settings; remove some with null");
            return Err(Problem::new(Reason::TooLarge, detail));
        }
        config.version += 1;
        self.site.work("study-config.write", Duration::from_millis(3), deadline).await?;
        study.write(config.clone());
        Ok(config)
    }

    /// The study with this number, made for its first update.
    fn study(&self, id: String) -> Result<Arc<Study>, Problem> {
        let mut studies = self.studies();
        if !studies.contains_key(&id) && studies.len() == STUDIES_MAX {
            let detail = format!("the clinic keeps {STUDIES_MAX} studies and has no room for {id}");
            return Err(Problem::new(Reason::Full, detail));
        }
        Ok(Arc::clone(studies.entry(id).or_default()))
    }

    fn studies(&self) -> MutexGuard<'_, HashMap<String, Arc<Study>>> {
        self.studies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault: a writer takes the lock, if it is free, and keeps it while the switch is on.
    fn hold(&self, study: &Study) {
        if let Ok(writer) = Arc::clone(&study.writer).try_lock_owned() {
            self.site.hold(writer, "study-config.writer", Route::StudyConfig);
        }
    }
}

impl Study {
    fn read(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, config: Config) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
const STUDIES_MAX: usize = 1_000;
const SETTINGS_MAX: usize = 1_000;
