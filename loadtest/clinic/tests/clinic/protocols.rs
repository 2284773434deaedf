//! Over sockets: both protocols, the routes for testers, and clients that leave.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};
use weir_clinic::{Fault, Route};

use crate::served::{Served, TestClient, fetch, http1, http2, in_flight};

const GRACE: Duration = Duration::from_secs(30);

fn protocols() -> [(&'static str, TestClient); 2] {
    [("HTTP/1.1", http1()), ("HTTP/2.0", http2())]
}

#[tokio::test]
async fn both_protocols_share_the_port() {
    let served = Served::new(GRACE).await;
    for (version, client) in protocols() {
        let request = Request::post(format!("http://{}/echo?a=1", served.address))
            .header("x-second", "2")
            .header("x-first", "1")
            .body(Full::from("hello"));
        let (status, body) = fetch(&client, request.expect("a request")).await;
        let echo: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, &echo["version"]), (StatusCode::OK, &json!(version)));
        assert_eq!((&echo["method"], &echo["body"]), (&json!("POST"), &json!("hello")));
        assert!(echo["target"].as_str().expect("a target").ends_with("/echo?a=1"), "{echo}");
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!((&echo["body_bytes"], &echo["body_sha256"]), (&json!(5), &json!(sha256)));
        let own = |header: &&Value| header[0].as_str().is_some_and(|name| name.starts_with("x-"));
        let own: Vec<_> = echo["headers"].as_array().expect("a list").iter().filter(own).collect();
        assert_eq!(own, [&json!(["x-second", "2"]), &json!(["x-first", "1"])]);
    }
}

#[tokio::test]
async fn the_routes_for_testers_do_as_told() {
    let served = Served::new(GRACE).await;
    for (version, client) in protocols() {
        let (_, stream) = served.get(&client, "/stream?chunks=30&interval_ms=1&bytes=2").await;
        assert_eq!((stream.len(), &stream[..6]), (60, &b"aabbcc"[..]), "{version}");
        let (_, events) = served.get(&client, "/sse?chunks=2").await;
        assert_eq!(
            events.as_ref(),
            b"id: 0\nevent: tick\ndata: event 0\n\nid: 1\nevent: tick\ndata: event 1\n\n"
        );
        assert_eq!(served.get(&client, "/status/418").await.0, StatusCode::IM_A_TEAPOT);
        assert_eq!(served.get(&client, "/status/100").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(served.get(&client, "/slow?ms=1").await.1.as_ref(), b"1 ms\n");
        let large = Bytes::from(vec![7; 5 * 1024 * 1024]);
        let upload = Request::put(format!("http://{}/upload", served.address));
        let (_, body) = fetch(&client, upload.body(Full::from(large)).expect("a request")).await;
        let upload: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(upload["body_bytes"], 5 * 1024 * 1024, "{version}");
    }
    served.until_in_flight(0, "").await;
}

#[tokio::test]
async fn a_stream_ends_with_trailers_when_asked() {
    let served = Served::new(GRACE).await;
    let uri = format!("http://{}/stream?chunks=3&trailers=true", served.address);
    let answer = http2().get(uri.parse().expect("a URI")).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a whole body");
    assert_eq!(body.trailers().expect("trailers")["x-chunks"], "3");
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_body_has_been_sent() {
    let served = Served::new(GRACE).await;
    let uri = format!("http://{}/stream?chunks=2&interval_ms=600000", served.address);
    let mut answer = http1().get(uri.parse().expect("a URI")).await.expect("a head");
    answer.body_mut().frame().await.expect("a first chunk").expect("no error");
    served.until_in_flight(1, "").await;
    drop(answer);
    served.until_in_flight(0, "").await;
}

async fn open_socket(served: &Served) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(served.address).await.expect("a connection");
    let url = format!("ws://{}/ws", served.address);
    tokio_tungstenite::client_async(url, stream).await.expect("an upgrade").0
}

#[tokio::test]
async fn a_web_socket_echoes_and_its_task_ends_with_it() {
    let served = Served::new(GRACE).await;
    let mut socket = open_socket(&served).await;
    for message in [Message::text("hello"), Message::binary(vec![0, 1, 2])] {
        socket.send(message.clone()).await.expect("sent");
        assert_eq!(socket.next().await.expect("a message").expect("no error"), message);
    }
    assert_eq!(in_flight(&served.router).await["tasks"]["ws"], 1);
    drop(socket);
    served.until_in_flight(0, "ws").await;
}

#[tokio::test]
async fn a_web_socket_is_told_goodbye_at_once_when_the_clinic_closes() {
    let served = Served::new(Duration::from_secs(3_600)).await;
    served.faults.set(Route::Epro, Fault { leak: true, ..Fault::default() });
    let submission = Request::post(format!("http://{}/epro/submissions", served.address));
    let submission = submission.body(Full::from(r#"{"patient": "P-17"}"#)).expect("a request");
    assert_eq!(fetch(&http1(), submission).await.0, StatusCode::ACCEPTED);
    let mut socket = open_socket(&served).await;
    served.stop.cancel();
    let message = timeout(GRACE, socket.next()).await.expect("before the leaked task is cut");
    let message = message.expect("a message").expect("no error");
    let Message::Close(Some(goodbye)) = message else { panic!("{message:?}") };
    assert_eq!(goodbye.code, CloseCode::Away);
    served.until_in_flight(0, "ws").await;
}

/// A report whose data service is stuck, by a caller of great patience.
const STUCK: &str =
    "GET /studies/S-1/report HTTP/1.1\r\nhost: clinic\r\nx-request-timeout-ms: 3600000\r\n\r\n";

#[tokio::test]
async fn work_stops_when_an_http1_client_leaves() {
    let served = Served::new(GRACE).await;
    served.faults.set(Route::Report, Fault { stall: true, ..Fault::default() });
    let mut client = TcpStream::connect(served.address).await.expect("a connection");
    client.write_all(STUCK.as_bytes()).await.expect("sent");
    served.until_in_flight(1, "").await;
    drop(client);
    served.until_in_flight(0, "report.query").await;
}

#[tokio::test]
async fn work_stops_when_an_http2_client_resets_its_stream_or_leaves() {
    let served = Served::new(GRACE).await;
    served.faults.set(Route::Report, Fault { stall: true, ..Fault::default() });
    let stream = std::net::TcpStream::connect(served.address).expect("a connection");
    stream.set_nonblocking(true).expect("a socket option");
    let cable = stream.try_clone().expect("a second handle");
    let stream = TokioIo::new(TcpStream::from_std(stream).expect("a registered socket"));
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut client, connection) = handshake.await.expect("a connection");
    let connection = tokio::spawn(connection);
    let mut ask = || {
        let request = Request::get(format!("http://{}/studies/S-1/report", served.address))
            .header("x-request-timeout-ms", "3600000")
            .body(Empty::<Bytes>::new());
        tokio::spawn(client.send_request(request.expect("a request")))
    };
    let (first, second) = (ask(), ask());
    served.until_in_flight(2, "").await;
    first.abort();
    served.until_in_flight(1, "").await;
    cable.shutdown(std::net::Shutdown::Both).expect("a connected socket");
    served.until_in_flight(0, "report.query").await;
    assert!(second.await.expect("no panic").is_err(), "its connection is gone");
    // Whether the client calls that an error is its own affair.
    drop(connection.await.expect("no panic"));
}

#[tokio::test]
async fn a_shutdown_finishes_what_was_begun_and_closes_the_rest() {
    let served = Served::new(GRACE).await;
    let mut idle = TcpStream::connect(served.address).await.expect("a connection");
    let mut busy = TcpStream::connect(served.address).await.expect("a connection");
    let slow = b"GET /slow?ms=200 HTTP/1.1\r\nhost: clinic\r\n\r\n";
    busy.write_all(slow).await.expect("sent");
    served.until_in_flight(1, "").await;
    served.stop.cancel();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.expect("an answer and the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("200 ms\n"), "{answer}");
    assert_eq!(idle.read(&mut [0; 16]).await.expect("closed"), 0);
    let ended = served.ended.await.expect("no panic");
    assert_eq!((ended.connections_cut, ended.work_lost), (0, 0));
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_shutdown_cuts_what_outlasts_the_grace() {
    let served = Served::new(Duration::from_millis(50)).await;
    served.faults.set(Route::Report, Fault { stall: true, ..Fault::default() });
    let mut stuck = TcpStream::connect(served.address).await.expect("a connection");
    stuck.write_all(STUCK.as_bytes()).await.expect("sent");
    let over_http2 = tokio::spawn({
        let request = Request::get(format!("http://{}/studies/S-1/report", served.address))
            .header("x-request-timeout-ms", "3600000")
            .body(Full::default())
            .expect("a request");
        http2().request(request)
    });
    served.until_in_flight(2, "").await;
    served.stop.cancel();
    served.until_in_flight(0, "report.query").await;
    assert!(over_http2.await.expect("no panic").is_err(), "its connection is gone");
    assert_eq!(served.ended.await.expect("no panic").connections_cut, 2);
}
