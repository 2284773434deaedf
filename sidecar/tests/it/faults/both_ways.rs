//! A request and its answer flow at the same time, and neither waits for the other.

use std::{fs, mem, thread, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::sleep,
};

use super::{
    RUNTIME, Speaks,
    backend::{Backend, Step},
    client::{Ask, Upload, h1, h2},
    deadlines::TOTAL,
    ended, settled,
};
use crate::weir::{Weir, until};

/// More than the sockets and windows on the way can hold.
const BIG: usize = 32 << 20;

fn script(path: &str) -> Vec<Step> {
    match path {
        "/both" => vec![Step::Head(200, BIG), Step::Both(BIG)],
        "/none" => vec![Step::Head(200, 0)],
        "/read" => vec![Step::Read, Step::Head(200, 0)],
        _ => vec![Step::Read],
    }
}

fn before(speaks: Speaks, route: &str) -> (Weir, Backend) {
    let backend = Backend::start(speaks, script);
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, limits: {{ body: 1GiB }}, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {} }} }}\n",
        backend.address,
        speaks.word()
    ));
    (weir, backend)
}

/// A client that reads nothing before it has sent all would wait for ever, and the service with it,
/// were its upload held up by the answer that it does not take.
#[test]
fn an_upload_goes_on_while_its_answer_waits() {
    for upstream in Speaks::BOTH {
        let (weir, backend) = before(upstream, "timeout: { total: 10m }");
        for client in Speaks::BOTH {
            let ask = Ask::post("/both", Upload::Bytes(BIG));
            let answer = RUNTIME.block_on(ask.all_of(weir.address(), client));
            assert_eq!((answer.status, answer.body), (200, BIG), "{client:?} before {upstream:?}");
            assert!(answer.whole, "{client:?} before {upstream:?}");
        }
        settled(&weir, &[&backend]);
        // A client that has its answer may leave before the service has the last of its upload.
        assert_eq!(ended(&weir, "ok") + ended(&weir, "client_cancel"), 2);
    }
}

/// Neither side ever lets us wait, so no timer is ever asked for.
#[test]
fn an_upload_without_end_and_without_a_pause_ends_at_the_total() {
    for upstream in Speaks::BOTH {
        let (weir, backend) =
            before(upstream, "timeout: { total: 500ms }, breaker: { mode: disabled }");
        for client in Speaks::BOTH {
            let answer =
                RUNTIME.block_on(Ask::post("/", Upload::Endless).of(weir.address(), client));
            assert!([0, 504].contains(&answer.status), "{answer:?}");
            assert!(answer.took >= TOTAL, "{client:?} before {upstream:?}: {answer:?}");
            assert!(answer.took < Duration::from_secs(10), "{client:?} before {upstream:?}");
        }
        settled(&weir, &[&backend]);
        // Whether the upstream was behind in that moment is chance.
        assert_eq!(ended(&weir, "deadline") + ended(&weir, "upstream_total_timeout"), 2);
    }
}

/// What the service has not taken of an upload is not the client's to send any more.
#[test]
fn an_answer_before_the_service_has_the_upload_keeps_the_connection_it_promises() {
    // More than the service's window, of which the sidecar has read all, or not.
    const WINDOW: usize = 0xffff;
    let (weir, backend) = before(Speaks::H2, "");
    let mut kept = 0;
    for more in (0..40).map(|step| 100 * step) {
        RUNTIME.block_on(async {
            let mut client = h1::Client::connect(weir.address()).await.unwrap();
            let ask = Ask::post("/none", Upload::Bytes(WINDOW + more));
            let answer = client.ask_first(&ask).await.unwrap();
            assert_eq!(answer.status, 200);
            if answer.keeps {
                kept += 1;
                assert_eq!(client.ask(&Ask::get("/none")).await.unwrap().status, 200, "{more}");
            }
        });
    }
    assert!(kept > 0);
    settled(&weir, &[&backend]);
}

/// An answer that its client does not take is held in windows and sockets, not in the sidecar.
#[test]
fn clients_that_do_not_read_cost_a_window_each() {
    const CLIENTS: usize = 40;
    for upstream in Speaks::BOTH {
        let (weir, _backend) = before(upstream, "concurrency: { limit: 100 }");
        assert_eq!(RUNTIME.block_on(Ask::get("/none").of(weir.address(), Speaks::H2)).status, 200);
        let before = weir.memory("VmRSS");
        let (_clients, _answers): (Vec<_>, Vec<_>) = RUNTIME.block_on(async {
            let mut asked = Vec::new();
            for _ in 0..CLIENTS {
                let mut client = h2::Client::connect(weir.address()).await.unwrap();
                let answer = client.send_head(&Ask::post("/both", Upload::Bytes(1))).await.unwrap();
                asked.push((client, answer));
            }
            asked.into_iter().unzip()
        });
        until("all are answered", || weir.metric("weir_requests_in_flight", &[]) == CLIENTS as f64);
        let mut peak = 0;
        until("nothing moves", || {
            thread::sleep(Duration::from_millis(200));
            let now = weir.memory("VmHWM");
            mem::replace(&mut peak, now) == now
        });
        let each = (peak - before) / CLIENTS as u64;
        assert!(each < 1 << 20, "{each} bytes for each client before {upstream:?}");
    }
}

/// What a socket holds unsent is taken in steps that tell a slow client from one that takes nothing.
#[test]
fn a_client_that_does_not_read_is_owed_little_by_its_socket() {
    let (weir, _backend) = before(Speaks::H1, "");
    RUNTIME.block_on(async {
        let mut client = h1::Client::connect(weir.address()).await.unwrap();
        client.send_head(&Ask::post("/both", Upload::Bytes(1))).await.unwrap();
        let mut owed = 0;
        until("nothing moves", || {
            thread::sleep(Duration::from_millis(200));
            let now = unsent(weir.address().port());
            mem::replace(&mut owed, now) == now && now > 0
        });
        assert!(owed < 256 << 10, "{owed} bytes");
    });
}

/// What the connections accepted on a port have not sent, or know not to be received, in bytes.
fn unsent(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1].ends_with(&format!(":{port:04X}")))
        .map(|row| u64::from_str_radix(row[4].split_once(':').unwrap().0, 16).unwrap())
        .sum()
}

/// One window for all of a connection would be used up by the bodies that wait.
#[test]
fn uploads_that_wait_in_a_queue_hold_up_no_other_of_their_connection() {
    const WAITING: usize = 40;
    const WINDOW: usize = 64 << 10;
    let backend = Backend::start(Speaks::H1, script);
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [\
         {{ name: full, upstream: app, match: {{ path: /wait }}, \
            concurrency: {{ limit: 1, queue: {{ length: 100, timeout: 1m }} }} }}, \
         {{ name: free, upstream: app }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        backend.address
    ));
    RUNTIME.block_on(async {
        let mut client = h2::Client::connect(weir.address()).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            let upload = Upload::Bytes(2 * WINDOW);
            let mut asked = client.send_head(&Ask::post("/wait", upload)).await.unwrap();
            asked.upload.send_data(vec![b'x'; WINDOW].into(), false).unwrap();
            waiting.push(asked);
        }
        let free = Ask::post("/read", Upload::Bytes(WINDOW));
        assert_eq!(client.ask(&free).await.unwrap().status, 200);
        assert_eq!(weir.metric("weir_requests_in_flight", &[]), WAITING as f64);
    });
    settled(&weir, &[&backend]);
}

/// For us a request has ended when its last byte has been given to the connection.
#[test]
fn an_h2_answer_is_owed_until_it_is_taken_or_write_is_over() {
    const LENGTH: usize = 400_000;
    let backend = Backend::start(Speaks::H1, |_| vec![Step::Head(200, LENGTH), Step::Body(LENGTH)]);
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: app, timeout: {{ keepalive: 100ms, write: 1h }} }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        backend.address
    ));
    RUNTIME.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let mut socket = socket.connect(weir.address()).await.unwrap();
        // SETTINGS and WINDOW_UPDATE with windows of 1 MiB, and a GET of `/`.
        let asked = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\x10\0\0\
                      \0\0\x04\x08\0\0\0\0\0\0\x10\0\0\
                      \0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";
        socket.write_all(asked).await.unwrap();
        let mut taken = 0;
        while ended(&weir, "ok") == 0 {
            taken += socket.read(&mut [0; 4096]).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let mut rest = vec![0; LENGTH - taken];
        socket.read_exact(&mut rest).await.expect("as much as the answer has, and frames");
    });
}
