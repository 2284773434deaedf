//! A client that leaves takes its request along: the service behind is told, the place is free for
//! the next, and nobody is blamed for it.

use std::io;

use tokio::{
    sync::oneshot,
    time::{Duration, Instant, sleep},
};
use weir_clinic::{Clinic, Settings};

use super::{
    RUNTIME, Speaks,
    backend::Backend,
    client::{Answer, Ask, Upload, h1, h2},
    deadlines::{before_both, slow},
    ended, settled,
    waits::full_house,
};
use crate::weir::{Weir, raw, until};

/// Ways to leave.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Fin,
    Rst,
    ResetsStream,
    ClosesConnection,
}

impl Leaves {
    const ALL: [Self; 4] = [Self::Fin, Self::Rst, Self::ResetsStream, Self::ClosesConnection];

    /// Asks, waits until `begun`, and leaves.
    async fn after(self, ask: &Ask, address: std::net::SocketAddr, begun: impl Fn() -> bool) {
        match self {
            Self::Fin | Self::Rst => {
                let mut client = h1::Client::connect(address).await.unwrap();
                client.send_head(ask).await.unwrap();
                until("the request is there", begun);
                if matches!(self, Self::Rst) {
                    client.reset();
                }
            }
            Self::ResetsStream | Self::ClosesConnection => {
                let mut client = h2::Client::connect(address).await.unwrap();
                let mut asked = client.send_head(ask).await.unwrap();
                until("the request is there", begun);
                if matches!(self, Self::ResetsStream) {
                    asked.upload.send_reset(::h2::Reason::CANCEL);
                    drop(asked);
                    // The connection lives on.
                    assert_eq!(client.ask(&Ask::get("/")).await.unwrap().status, 200);
                }
            }
        }
    }
}

#[test]
fn a_client_that_leaves_cancels_the_exchange_behind_and_nobody_is_blamed() {
    let (weir, backends) = before_both("breaker: { consecutive: 1, open_for: 60s }");
    let mut left = 0;
    for (address, backend) in weir.listeners.iter().zip(&backends) {
        let address = address.parse().unwrap();
        for leaves in Leaves::ALL {
            let asks = [Ask::get("/silence"), Ask::get("/drip"), Ask::post("/", Upload::Short(10))];
            for ask in asks {
                RUNTIME.block_on(leaves.after(&ask, address, || backend.in_flight() == 1));
                let at = Instant::now();
                settled(&weir, &[backend]);
                println!("{leaves:?} from {}: gone after {:?}", ask.path, at.elapsed());
                left += 1;
                assert_eq!(ended(&weir, "client_cancel"), left, "{leaves:?} from {}", ask.path);
            }
        }
        let next = RUNTIME.block_on(Ask::get("/").of(address, Speaks::H1));
        assert_eq!(next.status, 200, "the breaker heard of it: {next:?}");
    }
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_place() {
    let backend = Backend::start(Speaks::H1, slow);
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, \
         concurrency: {{ limit: 1, queue: {{ length: 1, timeout: 20s }} }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        backend.address
    ));
    let address = weir.address();
    let queued = || weir.metric("weir_concurrency_queued", &[]);
    RUNTIME.block_on(async {
        let mut first = h1::Client::connect(address).await.unwrap();
        first.send_head(&Ask::get("/silence")).await.unwrap();
        until("the first has the permit", || backend.in_flight() == 1);
        // What has come of a body that nobody reads yet hides no leaving.
        for ask in [Ask::get("/"), Ask::post("/", Upload::Short(10))] {
            for leaves in [Leaves::Fin, Leaves::Rst, Leaves::ClosesConnection] {
                leaves.after(&ask, address, || queued() == 1.0).await;
                until("the place is free", || queued() == 0.0);
            }
        }
        let mut client = h2::Client::connect(address).await.unwrap();
        let mut asked = client.send_head(&Ask::get("/")).await.unwrap();
        until("the third waits", || queued() == 1.0);
        asked.upload.send_reset(::h2::Reason::CANCEL);
        until("the place is free", || queued() == 0.0);
        let next = tokio::spawn(async move { Ask::get("/").of(address, Speaks::H2).await });
        drop(first);
        assert_eq!(next.await.unwrap().status, 200);
    });
}

#[test]
fn a_client_that_leaves_is_heard_while_its_request_is_being_connected() {
    let full = RUNTIME.block_on(full_house());
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, timeout: {{ connect: 30s }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        full.address
    ));
    let connecting = || weir.metric("weir_upstream_in_flight", &[]) == 1.0;
    let mut left = 0;
    for ask in [Ask::get("/"), Ask::post("/", Upload::Short(10))] {
        for leaves in [Leaves::Fin, Leaves::Rst, Leaves::ClosesConnection] {
            RUNTIME.block_on(leaves.after(&ask, weir.address(), connecting));
            settled(&weir, &[]);
            left += 1;
            assert_eq!(ended(&weir, "client_cancel"), left, "{leaves:?} from {ask:?}");
        }
    }
}

/// Over h1 only a reset is heard: TCP keeps a FIN back until what was sent before it has been read.
#[test]
fn a_client_that_leaves_is_heard_while_its_upload_waits_for_the_upstream() {
    let (weir, backends) = before_both("limits: { body: 1GiB }, breaker: { consecutive: 1 }");
    let mut left = 0;
    for (address, backend) in weir.listeners.iter().zip(&backends) {
        let address = address.parse().unwrap();
        for speaks in Speaks::BOTH {
            let begun = backend.begun();
            let there = || backend.begun() == begun + 1;
            RUNTIME.block_on(async {
                let ask = Ask::post("/blocked-upload", Upload::Endless);
                match speaks {
                    Speaks::H1 => {
                        let mut client = h1::Client::connect(address).await.unwrap();
                        fill(client.ask(&ask), there).await;
                        client.reset();
                    }
                    Speaks::H2 => {
                        let mut client = h2::Client::connect(address).await.unwrap();
                        fill(client.ask(&ask), there).await;
                    }
                }
            });
            settled(&weir, &[]);
            left += 1;
            assert_eq!(ended(&weir, "client_cancel"), left, "{speaks:?} to {address}");
        }
    }
}

/// Uploads until the request is `there` and for a while more: until nobody takes anything, if that is
/// not too slow a machine; leaving earlier must be heard all the same.
async fn fill(uploading: impl Future<Output = io::Result<Answer>>, there: impl Fn() -> bool) {
    tokio::select! {
        answer = uploading => panic!("nobody takes it, so there is no answer: {answer:?}"),
        () = async {
            while !there() {
                sleep(Duration::from_millis(5)).await;
            }
            sleep(Duration::from_millis(300)).await;
        } => {}
    }
}

#[test]
fn the_clinic_behind_has_nothing_in_flight_when_its_clients_have_left() {
    let (close, closed) = oneshot::channel::<()>();
    let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let clinic = listener.local_addr().unwrap();
    let served = RUNTIME.spawn(async move {
        let service = Clinic::new(Settings::default());
        service.serve(listener, async { drop(closed.await) }, Duration::from_secs(1)).await
    });
    let body = r#"{"partner": {"stall": true}, "report": {"stall": true}}"#;
    let faults = format!(
        "POST /faults HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(raw(clinic, faults.as_bytes()).starts_with("HTTP/1.1 2"));
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: clinic }}]\nupstreams: {{ clinic: {{ endpoints: [\"{clinic}\"] }} }}\n"
    ));
    let in_flight = || {
        let answer =
            raw(clinic, b"GET /in-flight HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let seen: serde_json::Value = serde_json::from_str(body).expect("JSON");
        seen["requests"].as_u64().expect("a number of requests")
    };
    let mut left = 0;
    for leaves in Leaves::ALL.into_iter().take(2) {
        for path in ["/partner/trials", "/studies/S-1/report"] {
            let ask = Ask::get(path)
                .field("x-api-key", "alpha-key")
                .field("x-request-timeout-ms", "25000");
            RUNTIME.block_on(leaves.after(&ask, weir.address(), || in_flight() == 1));
            until("the clinic has let go", || in_flight() == 0);
            left += 1;
        }
    }
    settled(&weir, &[]);
    assert_eq!(ended(&weir, "client_cancel"), left);
    drop(close);
    RUNTIME.block_on(served).unwrap();
}
