//! Every timeout but the total: what it waits for, and what comes when it does not.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

use super::{
    RUNTIME, Speaks,
    backend::{Backend, Step, answer},
    client::{Ask, Upload, h1, h2},
    ended, settled,
};
use crate::weir::{Weir, until};

fn script(path: &str) -> Vec<Step> {
    match path {
        "/silence" => vec![Step::Read, Step::Silence],
        "/stall" => vec![Step::Read, Step::Head(200, 100), Step::Body(10), Step::Silence],
        "/big" => vec![Step::Read, Step::Head(200, BIG), Step::Body(BIG)],
        _ => answer(200, 2),
    }
}

/// More than the sockets on the way can hold.
const BIG: usize = 64 * 1024 * 1024;

/// One route before a service; `listener` and `route` are more settings of each.
fn before(speaks: Speaks, listener: &str, route: &str) -> (Weir, Backend) {
    let backend = Backend::start(speaks, script);
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, {listener} routes: [{{ upstream: app, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {} }} }}\n",
        backend.address,
        speaks.word()
    ));
    (weir, backend)
}

#[test]
fn no_header_within_first_byte_is_504_and_silence_in_the_answer_a_cut() {
    for upstream in Speaks::BOTH {
        let route = "timeout: { first_byte: 300ms, idle: 300ms }, breaker: { mode: disabled }";
        let (weir, backend) = before(upstream, "", route);
        RUNTIME.block_on(async {
            for client in Speaks::BOTH {
                let answer = Ask::get("/silence").of(weir.address(), client).await;
                assert_eq!(answer.status, 504, "{answer:?}");
                assert_eq!(answer.reason, "upstream_first_byte_timeout");
                let answer = Ask::get("/stall").of(weir.address(), client).await;
                assert_eq!((answer.status, answer.whole), (200, false), "{answer:?}");
            }
        });
        settled(&weir, &[&backend]);
        assert_eq!(ended(&weir, "upstream_first_byte_timeout"), 2);
        assert_eq!(ended(&weir, "upstream_idle_timeout"), 2);
    }
}

/// An address on which no connection comes about, and none is refused.
pub(super) struct FullHouse {
    pub(super) address: SocketAddr,
    _listens: TcpListener,
    _waiting: JoinSet<std::io::Result<TcpStream>>,
    _held: Vec<TcpStream>,
}

/// A queue of one holds two; from then on the system drops every SYN.
pub(super) async fn full_house() -> FullHouse {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listens = socket.listen(1).unwrap();
    let address = listens.local_addr().unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..4 {
        waiting.spawn(TcpSocket::new_v4().unwrap().connect(address));
    }
    let mut held = Vec::new();
    while held.len() < 2 {
        held.push(waiting.join_next().await.unwrap().unwrap().unwrap());
    }
    FullHouse { address, _listens: listens, _waiting: waiting, _held: held }
}

#[test]
fn no_connection_within_connect_is_504() {
    let route = "timeout: { connect: 300ms }, breaker: { mode: disabled }";
    let full = RUNTIME.block_on(full_house());
    let address = full.address;
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n"
    ));
    RUNTIME.block_on(async {
        for client in Speaks::BOTH {
            let answer = Ask::get("/").of(weir.address(), client).await;
            assert_eq!(answer.status, 504, "{answer:?}");
            assert_eq!(answer.reason, "upstream_connect_timeout");
        }
    });
}

#[test]
fn a_header_or_a_body_that_does_not_come_is_408() {
    let (weir, backend) = before(
        Speaks::H1,
        "timeout: { request_header: 300ms },",
        "timeout: { request_body: 300ms }",
    );
    RUNTIME.block_on(async {
        let mut client = h1::Client::connect(weir.address()).await.unwrap();
        let answer = client.raw(b"GET / HTTP/1.1\r\nho").await.unwrap();
        assert_eq!((answer.status, answer.reason.as_str()), (408, "request_timeout"));
        assert!(client.is_closed().await);
        for speaks in Speaks::BOTH {
            let answer = Ask::post("/", Upload::Short(10)).of(weir.address(), speaks).await;
            assert_eq!(
                (answer.status, answer.reason.as_str()),
                (408, "request_timeout"),
                "{speaks:?}"
            );
        }
    });
    settled(&weir, &[&backend]);
    assert_eq!(ended(&weir, "request_timeout"), 3);
    assert_eq!(backend.whole(), 0);
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let (weir, _backend) =
        before(Speaks::H1, "timeout: { request_header: 300ms, keepalive: 300ms },", "");
    RUNTIME.block_on(async {
        let mut silent = h1::Client::connect(weir.address()).await.unwrap();
        assert!(silent.is_closed().await, "nothing was asked");
        let mut idle = h1::Client::connect(weir.address()).await.unwrap();
        assert_eq!(idle.ask(&Ask::get("/")).await.unwrap().status, 200);
        assert!(idle.is_closed().await, "nothing more was asked");
        let mut idle = h2::Client::connect(weir.address()).await.unwrap();
        assert_eq!(idle.ask(&Ask::get("/")).await.unwrap().status, 200);
        idle.closed().await;
    });
    assert_eq!(weir.metric("weir_requests_received_total", &[]), 2.0);
}

#[test]
fn a_client_that_does_not_read_is_let_go_and_the_upstream_freed() {
    for upstream in Speaks::BOTH {
        let (weir, backend) =
            before(upstream, "timeout: { write: 300ms },", "breaker: { consecutive: 1 }");
        RUNTIME.block_on(async {
            let mut client = h1::Client::connect(weir.address()).await.unwrap();
            client.send_head(&Ask::get("/big")).await.unwrap();
            let mut other = h2::Client::connect(weir.address()).await.unwrap();
            let _unread = other.send_head(&Ask::get("/big")).await.unwrap();
            until("both are there", || backend.begun() == 2);
            settled(&weir, &[&backend]);
            assert_eq!(ended(&weir, "client_slow"), 2, "before {upstream:?}");
            assert_eq!(Ask::get("/").of(weir.address(), Speaks::H1).await.status, 200);
            // What the sockets hold is still there, and then the end.
            let mut rest = Vec::new();
            let _ = client.socket.read_to_end(&mut rest).await;
            assert!(rest.len() < BIG);
            assert!(client.socket.write_all(b"x").await.is_err() || client.is_closed().await);
        });
    }
}
