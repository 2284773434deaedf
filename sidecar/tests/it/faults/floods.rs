//! Floods, each bounded: what they cost the sidecar and the clients that mean well.

use std::{fs, time::Duration};

use tokio::{io::AsyncWriteExt, task::JoinSet};

use super::{
    RUNTIME, Speaks,
    backend::{Backend, answer},
    client::{Ask, h1},
    ended, settled,
};
use crate::weir::{Weir, until};

const SLOW: usize = 200;

#[test]
fn slow_headers_hurt_nobody_else_and_are_closed_in_time() {
    let backend = Backend::start(Speaks::H1, |_| answer(200, 2));
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, timeout: {{ request_header: 1s }}, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        backend.address
    ));
    let address = weir.address();
    RUNTIME.block_on(async {
        let mut slow = JoinSet::new();
        for _ in 0..SLOW {
            slow.spawn(async move {
                let mut client = h1::Client::connect(address).await.unwrap();
                client.socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
                let (mut read, mut write) = client.socket.split();
                let drip = async {
                    // Ends with the connection.
                    while write.write_all(b"x-a: b\r\n").await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    std::future::pending().await
                };
                tokio::select! {
                    answer = h1::read(&mut read) => answer.unwrap().status,
                    () = drip => 0,
                }
            });
        }
        until("the slow ones are there", || weir.metric("weir_requests_in_flight", &[]) > 0.0);
        let mut answered = 0;
        while !slow.is_empty() {
            assert_eq!(Ask::get("/").of(address, Speaks::H1).await.status, 200);
            answered += 1;
            while let Some(status) = slow.try_join_next() {
                assert_eq!(status.unwrap(), 408);
            }
        }
        println!("{answered} others were answered while {SLOW} connections were slow");
    });
    settled(&weir, &[&backend]);
    assert_eq!(ended(&weir, "request_timeout"), SLOW as u64);
}

const KEYS: usize = 200_000;
const BURST: usize = 5;

#[test]
fn a_flood_of_keys_takes_bounded_memory_and_gives_nobody_more_than_its_rate() {
    let backend = Backend::start(Speaks::H1, |_| answer(200, 2));
    // A request takes more than a day to come back: what passes is the burst and nothing else.
    let weir = Weir::start(&format!(
        "listeners:\n  - address: 127.0.0.1:0\n    limits: {{ requests_per_connection: 1000000 }}\n    routes:\n      \
         - {{ match: {{ path: /one }}, upstream: app, rate_limit: {{ qps: 0.00001, burst: {BURST}, per: {{ header: x-key }}, keys: 10000 }} }}\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        backend.address
    ));
    let passed = |key: &str| {
        RUNTIME.block_on(async {
            let mut passed = 0;
            for _ in 0..2 * BURST {
                let answer =
                    Ask::get("/one").field("x-key", key).of(weir.address(), Speaks::H1).await;
                assert!(matches!(answer.status, 200 | 429), "{answer:?}");
                passed += usize::from(answer.status == 200);
            }
            passed
        })
    };
    assert_eq!(passed("before"), BURST);
    let at_first = resident(&weir);
    RUNTIME.block_on(flood(weir.address()));
    let after = resident(&weir);
    println!("{at_first} KiB before, {after} KiB after {KEYS} keys");
    assert!(after < at_first + 64 * 1024, "{at_first} KiB before, {after} KiB after");
    assert_eq!(passed("before"), 0, "a flood of others does not give a key its burst back");
    assert!(passed("after") <= BURST);
}

/// One request for each of many keys, over a few connections.
async fn flood(address: std::net::SocketAddr) {
    let mut clients = JoinSet::new();
    for client in 0..16 {
        clients.spawn(async move {
            let mut connection = h1::Client::connect(address).await.unwrap();
            for key in (client..KEYS).step_by(16) {
                let ask = Ask::get("/one").field("x-key", key.to_string());
                let answer = connection.ask(&ask).await.unwrap();
                assert!(matches!(answer.status, 200 | 429), "{answer:?}");
            }
        });
    }
    clients.join_all().await;
}

/// The memory of the process, in KiB.
fn resident(weir: &Weir) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", weir.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
