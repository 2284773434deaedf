//! The engine against the station, over real sockets: what is counted, not how fast it is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{net::TcpListener, task::AbortHandle};
use weir_load::{
    engine::{self, Run, arrivals::Spacing, recorder::Judged},
    report::Report,
    station::{self, Station},
};

const GENEROUS: Duration = Duration::from_secs(60);

async fn station(status: StatusCode) -> (SocketAddr, AbortHandle) {
    let time = "exponential:2ms".parse().unwrap();
    let station = Station { slots: 4, time, seed: 1, slows: None, status };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(station::serve(listener, station)).abort_handle())
}

fn of(to: SocketAddr) -> Run {
    let stream = |name: &str, value| {
        let header = (http::header::USER_AGENT, http::HeaderValue::from_static(value));
        engine::Stream { name: name.into(), headers: HeaderMap::from_iter([header]) }
    };
    Run {
        to,
        path: "/".parse().unwrap(),
        stages: vec!["first=200/s,250ms".parse().unwrap(), "then=400/s,250ms".parse().unwrap()],
        streams: vec![stream("one", "one"), stream("two", "two")],
        spacing: Spacing::Constant,
        seed: 1,
        judged: Judged { deadline: GENEROUS, step: Duration::from_millis(100) },
        timeout: GENEROUS,
        in_flight_max: 1_000,
    }
}

/// The report, and how many ended in the class.
async fn counted(run: &Run, class: &str) -> (Value, u64) {
    let report = Report::new(run, &engine::run(run).await.unwrap());
    let report: Value = serde_json::from_slice(&serde_json::to_vec(&report).unwrap()).unwrap();
    let streams = report["stages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|stage| stage["streams"].as_array().unwrap());
    let classes = streams.flat_map(|stream| stream["classes"].as_array().unwrap());
    let of_class = classes.filter(|found| found["name"] == class);
    let count = of_class.map(|found| found["count"].as_u64().unwrap()).sum();
    (report, count)
}

#[tokio::test]
async fn every_arrival_is_sent_and_its_answer_counted() {
    let (to, station) = station(StatusCode::OK).await;
    let (report, answered) = counted(&of(to), "200").await;
    assert_eq!(answered, 150, "{report}");
    for (stage, each) in [(0, 25), (1, 50)] {
        for stream in report["stages"][stage]["streams"].as_array().unwrap() {
            assert_eq!(
                (&stream["offered"], &stream["good"]),
                (&each.into(), &each.into()),
                "{report}"
            );
        }
    }
    assert_eq!(
        (&report["generator"]["due"], &report["generator"]["unsent"]),
        (&150.into(), &0.into())
    );
    station.abort();
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_no_goodput() {
    let (to, station) = station(StatusCode::SERVICE_UNAVAILABLE).await;
    let (report, refused) = counted(&of(to), "503").await;
    assert_eq!(refused, 150, "{report}");
    assert_eq!(report["stages"][1]["streams"][0]["good"], 0);
    station.abort();
}

#[tokio::test]
async fn callers_give_up_on_a_server_that_is_silent() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let run = Run { timeout: Duration::from_millis(100), ..of(silent.local_addr().unwrap()) };
    assert_eq!(counted(&run, "timed out").await.1, 150);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_so() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = gone.local_addr().unwrap();
    drop(gone);
    assert_eq!(counted(&of(to), "unconnected").await.1, 150);
}

#[tokio::test]
async fn what_is_too_much_at_once_is_not_sent_and_said() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let run = Run {
        in_flight_max: 10,
        timeout: Duration::from_secs(1),
        ..of(silent.local_addr().unwrap())
    };
    let (report, unsent) = counted(&run, "unsent").await;
    assert!(unsent > 0, "{report}");
    assert_eq!(report["generator"]["unsent"], unsent);
    assert!(report["generator"]["limited"].to_string().contains("were not sent"), "{report}");
}
