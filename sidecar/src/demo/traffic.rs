//! The demo's patients, partners and faults.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client, client::legacy::connect::HttpConnector, rt::TokioExecutor,
};
use tokio::{task::JoinSet, time};

/// Requests that may be on their way at once.
const AT_ONCE: usize = 64;
/// A round of requests is sent this often.
const BEAT: Duration = Duration::from_millis(100);

/// A chapter of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Calm,
    Flood,
    DependencyFails,
    ReportStuck,
    Recovered,
}

impl Phase {
    pub(super) const ALL: &[Self] =
        &[Self::Calm, Self::Flood, Self::DependencyFails, Self::ReportStuck, Self::Recovered];

    /// In a few words.
    pub(super) const fn story(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Flood => "a partner floods",
            Self::DependencyFails => "the dependency fails",
            Self::ReportStuck => "reports are stuck",
            Self::Recovered => "all faults are off again",
        }
    }

    /// How many lines of the table it lasts.
    pub(super) const fn reports(self) -> usize {
        match self {
            Self::Calm | Self::Flood | Self::ReportStuck => 2,
            Self::DependencyFails | Self::Recovered => 4,
        }
    }

    /// The clinic's switches for it.
    const fn faults(self) -> &'static str {
        match self {
            Self::DependencyFails => {
                r#"{"drug-info":{"error_ratio":1.0},"report":{"stall":false}}"#
            }
            Self::ReportStuck => r#"{"drug-info":{"error_ratio":0.0},"report":{"stall":true}}"#,
            _ => r#"{"drug-info":{"error_ratio":0.0},"report":{"stall":false}}"#,
        }
    }

    /// Partner requests in a beat.
    const fn partner_requests(self) -> usize {
        if matches!(self, Self::Flood) { 4 } else { 0 }
    }
}

/// Sends requests through the sidecar.
pub(super) struct Traffic {
    client: Client<HttpConnector, Full<Bytes>>,
    ingress: String,
    clinic: SocketAddr,
    phase: std::sync::Mutex<Phase>,
}

impl Traffic {
    pub(super) fn new(ingress: String, clinic: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, ingress, clinic, phase: std::sync::Mutex::new(Phase::Calm) }
    }

    /// Turns the switches of a phase; past the sidecar, so that no policy is in the way.
    pub(super) async fn begin(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = phase;
        let to = format!("http://{}/faults", self.clinic);
        self.send(Method::POST, to, phase.faults()).await;
    }

    /// Sends a round of requests each beat until `end`.
    pub(super) async fn run_until<T>(&self, end: impl Future<Output = T>) {
        let beats = async {
            let mut beats = time::interval(BEAT);
            let mut sent = JoinSet::new();
            for beat in 0_usize.. {
                beats.tick().await;
                while sent.try_join_next().is_some() {}
                for (path, key) in self.round(beat) {
                    if sent.len() < AT_ONCE {
                        sent.spawn(get(
                            self.client.clone(),
                            format!("http://{}{path}", self.ingress),
                            key,
                        ));
                    }
                }
            }
        };
        tokio::select! {
            () = beats => {}
            _ = end => {}
        }
    }

    /// What is asked in a beat, with the partner's key where there is one.
    fn round(&self, beat: usize) -> Vec<(String, &'static str)> {
        let phase = *self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let patient = beat % 10;
        let mut round = vec![
            (format!("/patients/{patient}/health-report"), ""),
            ("/drug-info/aspirin".to_owned(), ""),
            ("/drug-info/ibuprofen".to_owned(), ""),
        ];
        if beat.is_multiple_of(3) {
            round.push((format!("/studies/{patient}/report"), ""));
        }
        if beat.is_multiple_of(5) {
            round.push(("/partner/trials".to_owned(), "alpha-key"));
        }
        for _ in 0..phase.partner_requests() {
            round.push(("/partner/trials".to_owned(), "beta-key"));
        }
        round
    }

    async fn send(&self, method: Method, to: String, body: &'static str) {
        let request = Request::builder()
            .method(method)
            .uri(to)
            .body(Full::new(Bytes::from_static(body.as_bytes())));
        if let Ok(request) = request
            && let Err(error) = self.client.request(request).await
        {
            tracing::error!(%error, "the clinic does not hear its switches");
        }
    }
}

/// Asks, and forgets the answer: the sidecar has counted it.
async fn get(client: Client<HttpConnector, Full<Bytes>>, to: String, key: &'static str) {
    let mut request = Request::builder().uri(to);
    if !key.is_empty() {
        request = request.header("x-api-key", key);
    }
    if let Ok(request) = request.body(Full::default()) {
        drop(client.request(request).await);
    }
}
