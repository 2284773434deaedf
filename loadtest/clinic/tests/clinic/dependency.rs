//! The call to drug-info, with the dependency well and unwell.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, response::IntoResponse};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use weir_clinic::{Dependency, Fault, Faults, Route, Settings};

use crate::served::{Served, fetch, http1};

/// A dependency that counts the connections it accepts.
struct Counted {
    router: Router,
    faults: Faults,
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _served: AbortOnDropHandle<()>,
}

struct Counting(TcpListener, Arc<AtomicUsize>);

impl axum::serve::Listener for Counting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        self.1.fetch_add(1, Ordering::SeqCst);
        axum::serve::Listener::accept(&mut self.0).await
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

async fn counted() -> Counted {
    let faults = Faults::default();
    let router = Dependency::new(1, faults.clone()).router();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let accepted = Arc::new(AtomicUsize::new(0));
    let serve = axum::serve(Counting(listener, accepted.clone()), router.clone());
    let served = tokio::spawn(async move { serve.await.expect("it does not fail") });
    Counted { router, faults, address, accepted, _served: AbortOnDropHandle::new(served) }
}

async fn clinic_calling(address: SocketAddr) -> Served {
    let drug_info_base = format!("http://{address}").parse().expect("a URI");
    let settings = Settings { drug_info_base, ..Settings::default() };
    Served::with(settings, Duration::from_secs(30)).await
}

async fn ask(served: &Served, code: &str, timeout_ms: &str) -> (StatusCode, Bytes) {
    let request = Request::get(format!("http://{}/drug-info/{code}", served.address))
        .header("x-request-timeout-ms", timeout_ms)
        .body(Full::default());
    fetch(&http1(), request.expect("a request")).await
}

#[tokio::test]
async fn calls_use_one_connection_again_and_again() {
    let dependency = counted().await;
    let served = clinic_calling(dependency.address).await;
    for _ in 0..20 {
        let (status, body) = ask(&served, "N02BE01", "60000").await;
        assert_eq!(status, StatusCode::OK);
        assert!(String::from_utf8_lossy(&body).contains("N02BE01"));
    }
    // The listener counts when it begins to wait: one was accepted, one is awaited.
    assert_eq!(dependency.accepted.load(Ordering::SeqCst), 2);
    assert_eq!(ask(&served, "a%2Fb", "60000").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_failing_dependency_is_a_bad_gateway() {
    let dependency = counted().await;
    let served = clinic_calling(dependency.address).await;
    dependency.faults.set(Route::DrugInfo, Fault { error_ratio: 1.0, ..Fault::default() });
    let (status, body) = ask(&served, "N02BE01", "60000").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(String::from_utf8_lossy(&body).contains("drug-info answered 500"), "{body:?}");
    dependency.faults.clear();
    assert_eq!(ask(&served, "N02BE01", "60000").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_stalling_dependency_costs_the_deadline_and_is_left_in_peace_then() {
    let dependency = counted().await;
    let served = clinic_calling(dependency.address).await;
    dependency.faults.set(Route::DrugInfo, Fault { stall: true, ..Fault::default() });
    assert_eq!(ask(&served, "N02BE01", "50").await.0, StatusCode::GATEWAY_TIMEOUT);
    served.until_in_flight(0, "drug-info.call").await;
    let dependency = Served { router: dependency.router.clone(), ..served };
    dependency.until_in_flight(0, "").await;
}

#[tokio::test]
async fn the_dependency_is_told_how_long_it_has() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let served = clinic_calling(listener.local_addr().expect("an address")).await;
    let listening = Router::new().fallback(async move |headers: HeaderMap| {
        told.send(headers).expect("the test listens");
        StatusCode::NOT_FOUND
    });
    let _listening = AbortOnDropHandle::new(tokio::spawn(async move {
        axum::serve(listener, listening).await.expect("it does not fail");
    }));
    assert_eq!(ask(&served, "N02BE01", "60000").await.0, StatusCode::NOT_FOUND);
    let headers = hears.recv().await.expect("a call");
    for name in ["x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"] {
        let left: u64 = headers[name].to_str().expect("text").parse().expect("milliseconds");
        assert!(left <= 60_000, "{name}: {left}");
    }
}

#[tokio::test]
async fn a_slow_dependency_costs_no_more_than_the_deadline() {
    let dependency = counted().await;
    let served = clinic_calling(dependency.address).await;
    let slow = Duration::from_secs(3_600);
    dependency.faults.set(Route::DrugInfo, Fault { slow, ..Fault::default() });
    assert_eq!(ask(&served, "N02BE01", "50").await.0, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn pushback_is_passed_on_and_absence_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let served = clinic_calling(address).await;
    let shedding = Router::new().fallback(async || StatusCode::SERVICE_UNAVAILABLE.into_response());
    let shed = tokio::spawn(async move { axum::serve(listener, shedding).await });
    assert_eq!(ask(&served, "N02BE01", "60000").await.0, StatusCode::SERVICE_UNAVAILABLE);
    shed.abort();
    drop(shed.await);
    let nobody = clinic_calling(SocketAddr::from(([127, 0, 0, 1], 1))).await;
    let (status, body) = ask(&nobody, "N02BE01", "60000").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(String::from_utf8_lossy(&body).contains("refused"), "the cause is named: {body:?}");
}
