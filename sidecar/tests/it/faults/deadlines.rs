//! `timeout.total`, against every way of being slow: no header was sent, so 504; or one was, so cut.
//!
//! A test cannot depend on speed, so what is asserted is the outcome, never before the deadline and
//! within patience; how close the end comes is measured by hand (`measure`).

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::task::JoinSet;

use super::{
    RUNTIME, Speaks,
    backend::{Backend, Step, answer},
    client::{Answer, Ask, Upload, h2},
    ended, settled,
};
use crate::weir::Weir;

/// The deadline of every route here.
pub(super) const TOTAL: Duration = Duration::from_millis(500);
/// Far more than the end may take, and far less than any other timeout.
const LATE: Duration = Duration::from_secs(5);

/// Ways to be slow that both protocols have.
pub(super) fn slow(path: &str) -> Vec<Step> {
    let pause = Duration::from_millis(20);
    match path {
        "/silence" => vec![Step::Read, Step::Silence],
        "/header-drip" => vec![Step::Read, Step::DripHeader(pause)],
        "/stall" => vec![Step::Read, Step::Head(200, 100), Step::Body(10), Step::Silence],
        "/drip" => vec![Step::Read, Step::Head(200, 1_000_000), Step::Drip(pause)],
        "/blocked-upload" => vec![Step::Freeze],
        _ => answer(200, 2),
    }
}

/// A way to be slow, and whether its answer has begun by then.
pub(super) struct Row {
    path: &'static str,
    upload: Upload,
    begun: bool,
}

const ROWS: [Row; 5] = [
    row("/silence", false),
    row("/header-drip", false),
    row("/stall", true),
    row("/drip", true),
    Row { upload: Upload::Endless, ..row("/blocked-upload", false) },
];

const fn row(path: &'static str, begun: bool) -> Row {
    Row { path, upload: Upload::None, begun }
}

impl Row {
    fn ask(&self) -> Ask {
        let method = if self.upload == Upload::None { "GET" } else { "POST" };
        Ask { method, ..Ask::post(self.path, self.upload) }
    }
}

/// What the sidecar says itself is whole. Where the machine is slow, it may be the client's upload that
/// is not through yet, and an answer may not have begun.
fn is_said(answer: &Answer) -> bool {
    answer.status == 504
        && answer.whole
        && ["upstream_total_timeout", "deadline"].contains(&&*answer.reason)
}

fn is_cut(answer: &Answer) -> bool {
    answer.status == 200 && !answer.whole && answer.reason.is_empty()
}

/// A sidecar with a listener before a service of each protocol, in this order.
pub(super) fn before_both(route: &str) -> (Weir, [Backend; 2]) {
    let backends = Speaks::BOTH.map(|speaks| Backend::start(speaks, slow));
    let listener = |speaks: Speaks| {
        let name = speaks.word();
        format!(
            "  - {{ name: to-{name}, address: 127.0.0.1:0, routes: [{{ upstream: {name}, {route} }}] }}\n"
        )
    };
    let upstream = |speaks: Speaks, backend: &Backend| {
        let (name, address) = (speaks.word(), backend.address);
        format!("  {name}: {{ endpoints: [\"{address}\"], protocol: {name} }}\n")
    };
    let [h1, h2] = &backends;
    let weir = Weir::start(&format!(
        "trusted: [127.0.0.1]\nlisteners:\n{}{}upstreams:\n{}{}",
        listener(Speaks::H1),
        listener(Speaks::H2),
        upstream(Speaks::H1, h1),
        upstream(Speaks::H2, h2),
    ));
    (weir, backends)
}

/// Asks for every row over both protocols, before services of both, all at once.
pub(super) async fn ask_all(weir: &Weir) -> Vec<(String, &'static Row, Answer)> {
    let mut asked = JoinSet::new();
    for (upstream, listener) in Speaks::BOTH.into_iter().zip(&weir.listeners) {
        let address: SocketAddr = listener.parse().unwrap();
        for row in &ROWS {
            // A header of h2 is one block: it cannot drip.
            if upstream == Speaks::H2 && row.path == "/header-drip" {
                continue;
            }
            for client in Speaks::BOTH {
                let what = format!("{} from {client:?} to {upstream:?}", row.path);
                asked.spawn(async move { (what, row, row.ask().of(address, client).await) });
            }
        }
    }
    asked.join_all().await
}

#[test]
fn the_total_holds_whatever_is_slow_on_either_protocol() {
    let (weir, backends) = before_both("timeout: { total: 500ms }, breaker: { mode: disabled }");
    let answers = RUNTIME.block_on(ask_all(&weir));
    assert_eq!(answers.len(), 18);
    for (what, row, answer) in &answers {
        println!("{what}: {answer:?}");
        assert!(is_said(answer) || row.begun && is_cut(answer), "{what}: {answer:?}");
        assert!(answer.took >= TOTAL, "{what}: {answer:?}");
        assert!(answer.took < LATE, "{what}: {answer:?}");
    }
    assert_eq!(ended(&weir, "upstream_total_timeout") + ended(&weir, "deadline"), 18);
    drop(backends);
}

#[test]
fn a_callers_deadline_ends_the_request_and_is_no_fault_of_the_upstream() {
    let route = "timeout: { total: 20s }, breaker: { consecutive: 1, open_for: 60s }";
    let (weir, backends) = before_both(route);
    let patience = [("grpc-timeout", "300m"), ("x-envoy-expected-rq-timeout-ms", "300")];
    RUNTIME.block_on(async {
        for address in weir.listeners.iter().map(|address| address.parse().unwrap()) {
            for speaks in Speaks::BOTH {
                for (name, value) in patience {
                    let ask = Ask::get("/silence").field(name, value);
                    let answer = ask.of(address, speaks).await;
                    assert_eq!((answer.status, answer.reason.as_str()), (504, "deadline"));
                    assert!(answer.took >= Duration::from_millis(300), "{answer:?}");
                    assert!(answer.took < LATE, "{answer:?}");
                }
                let upload =
                    Ask::post("/blocked-upload", Upload::Endless).field("grpc-timeout", "300m");
                let answer = upload.of(address, speaks).await;
                assert_eq!(
                    (answer.status, answer.reason.as_str()),
                    (504, "deadline"),
                    "{speaks:?}"
                );
                let next = Ask::get("/").of(address, speaks).await;
                assert_eq!(next.status, 200, "the breaker heard of it: {next:?}");
            }
        }
    });
    assert_eq!(ended(&weir, "deadline"), 12);
    drop(backends);
}

#[test]
fn a_deadline_from_a_stranger_is_not_believed() {
    let backend =
        Backend::start(Speaks::H1, |_| [vec![Step::Wait(TOTAL)], answer(200, 2)].concat());
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: app }}]\nupstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        backend.address
    ));
    let ask = Ask::get("/").field("grpc-timeout", "1m");
    assert_eq!(RUNTIME.block_on(ask.of(weir.address(), Speaks::H1)).status, 200);
}

#[test]
fn a_thousand_streams_cut_short_leave_one_connection() {
    let backend = Backend::start(Speaks::H2, slow);
    let weir = Weir::start(&format!(
        "threads: 1\nlisteners:\n  - address: 127.0.0.1:0\n    limits: {{ requests_per_connection: 2000 }}\n    \
         routes: [{{ upstream: app, timeout: {{ total: 200ms }}, breaker: {{ mode: disabled }}, concurrency: {{ mode: disabled }} }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: h2 }} }}\n",
        backend.address
    ));
    RUNTIME.block_on(async {
        // Requests that come together before there is a connection open one each.
        assert_eq!(Ask::get("/").of(weir.address(), Speaks::H2).await.status, 200);
        for path in ["/silence", "/stall"] {
            for _ in 0..5 {
                let client = h2::Client::connect(weir.address()).await.unwrap();
                let mut asked = JoinSet::new();
                for _ in 0..100 {
                    let mut client = client.clone();
                    asked.spawn(async move { client.ask(&Ask::get(path)).await.unwrap() });
                }
                for answer in asked.join_all().await {
                    let cut = path == "/stall" && is_cut(&answer);
                    assert!(is_said(&answer) || cut, "{path}: {answer:?}");
                }
            }
        }
    });
    settled(&weir, &[&backend]);
    assert_eq!(backend.seen.begun.load(Relaxed), 1001);
    assert_eq!(backend.connections(), 1);
    assert_eq!(weir.metric("weir_upstream_connections_opened_total", &[]), 1.0);
}
