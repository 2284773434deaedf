//! Many reloads under load. How many a second there were is printed, and nothing depends on it.
//!
//! `WEIR_STORM_RELOADS` sets how many.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use tokio::task::JoinSet;

use super::{script, yaml};
use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::Backend,
        client::{Ask, h1, h2},
        settled,
    },
    ledger::{check_balance, sums},
    weir::{Weir, until},
};

const RELOADS: u32 = 100;
const CLIENTS: usize = 8;

/// The `turn`th configuration: every route of it is set otherwise than before, some come and go, their
/// order turns, and each has a name that no other has.
fn turned(turn: u32, backend: &Backend) -> String {
    let often = format!(
        "{{ name: often, match: {{ path_prefix: /often }}, upstream: app, rate_limit: {{ qps: {}, burst: 1000000 }}, \
         breaker: {{ consecutive: {}, window: {}s }}, concurrency: {{ limit: {} }} }}",
        100_000 + turn,
        1000 + turn,
        1 + turn % 50,
        500 + turn,
    );
    let once = format!("{{ name: once-{turn}, match: {{ path: /once }}, upstream: app }}");
    let rest =
        format!("{{ name: rest-{}, upstream: app, limits: {{ body: {}B }} }}", turn % 3, 1 + turn);
    let mut routes = [often, once];
    routes.rotate_left(turn as usize % 2);
    let upstream = format!("keepalive: {}s", 100 + turn % 7);
    let limits = "limits: { requests_per_connection: 1000000000 }, routes";
    let yaml = yaml(&format!("{}, {rest}", routes.join(", ")), backend);
    yaml.replace("keepalive: 100s", &upstream).replace("routes", limits)
}

/// Asks over and over until told to stop; how often. Every answer is whole and good.
async fn load(address: SocketAddr, speaks: Speaks, stop: Arc<AtomicBool>) -> u64 {
    const PATHS: [&str; 3] = ["/often", "/once", "/rest"];
    let mut asked = 0;
    let (mut one, mut two) = match speaks {
        Speaks::H1 => (Some(h1::Client::connect(address).await.unwrap()), None),
        Speaks::H2 => (None, Some(h2::Client::connect(address).await.unwrap())),
    };
    while !stop.load(Relaxed) {
        let ask = Ask::get(PATHS[asked as usize % PATHS.len()]);
        let answer = match (&mut one, &mut two) {
            (Some(client), _) => client.ask(&ask).await,
            (_, Some(client)) => client.ask(&ask).await,
            (None, None) => unreachable!("it speaks one of them"),
        };
        let answer = answer.expect("an answer");
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        asked += 1;
    }
    asked
}

/// Rows of routes that have gone are kept up to this number.
const KEPT: usize = 256;

/// No counter falls between two scrapes, and none goes unless too many have gone before it.
fn check_no_fall(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) {
    for (route, count) in before.iter().filter(|(_, count)| **count > 0) {
        let still = now.get(route).copied();
        assert!(
            still.map_or(now.len() > KEPT, |now| now >= *count),
            "{route}: {count}, then {still:?}"
        );
    }
}

#[test]
fn a_storm_of_reloads_loses_nothing() {
    let reloads =
        std::env::var("WEIR_STORM_RELOADS").map_or(RELOADS, |number| number.parse().unwrap());
    let backend = Backend::start(Speaks::H1, script);
    let weir = Weir::start(&turned(0, &backend));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let load = load(weir.address(), Speaks::BOTH[client % 2], Arc::clone(&stop));
        clients.spawn_on(load, RUNTIME.handle());
    }
    let descriptors = || weir.metric("process_open_fds", &[]);
    until("the load runs", || weir.metric("weir_requests_total", &[]) > 100.0);
    let (open, memory, began) = (descriptors(), weir.memory("VmRSS"), Instant::now());
    let scrapes = thread::scope(|scope| {
        // Signals on top: they are answered together with what is asked for otherwise.
        let signals = scope.spawn(|| {
            while !stop.load(Relaxed) {
                weir.signal("HUP");
            }
        });
        let balance = scope.spawn(|| {
            let (mut scrapes, mut before) = (0, BTreeMap::new());
            while !stop.load(Relaxed) {
                let scraped = check_balance(&weir);
                let now = sums(&scraped, "weir_requests_total", "route");
                let now = now.into_iter().map(|(route, count)| (route.to_owned(), count)).collect();
                check_no_fall(&before, &now);
                (before, scrapes) = (now, scrapes + 1);
            }
            scrapes
        });
        for turn in 1..=reloads {
            weir.rewrite(&turned(turn, &backend));
            // A signal may have been faster.
            let (status, report) = weir.reload();
            assert_eq!(status, 200, "{report:#}");
        }
        let took = began.elapsed();
        stop.store(true, Relaxed);
        signals.join().unwrap();
        let rate = f64::from(reloads) / took.as_secs_f64();
        println!("{reloads} configurations applied in {took:?}, {rate:.0} a second");
        balance.join().unwrap()
    });
    let asked: u64 = RUNTIME.block_on(clients.join_all()).into_iter().sum();
    let memory = [memory, weir.memory("VmRSS")].map(|bytes| bytes >> 20);
    println!("{asked} requests, {scrapes} scrapes, {memory:?} MiB before and after");
    settled(&weir, &[&backend]);
    assert_eq!(weir.generation(), u64::from(reloads) + 1, "each was applied once");
    assert_eq!(weir.metric("weir_requests_total", &["reason=\"ok\""]) as u64, asked);
    assert_eq!(weir.metric("weir_requests_received_total", &[]) as u64, asked);
    assert_eq!(backend.begun() as u64, asked);
    until("what the old plans had is closed", || descriptors() <= open + 16.0);
}
