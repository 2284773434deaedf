//! What sharing costs, measured by hand:
//! `cargo test -p weir --test it -- --ignored --nocapture measure_shared`

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Client, decided, redis::Redis, yaml};
use crate::{traffic::clinic::Serving, weir::Weir};

const SIDECARS: u64 = 3;
const PER_SECOND: u64 = 1_000;
const SECONDS: u64 = 10;

#[test]
#[ignore = "measures; run by hand"]
fn measure_shared() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let quota = "qps: 1200, burst: 1200, per: { header: x-api-key }";
    let shared = format!("{{ {quota}, shared: \"{}\" }}", redis.url());
    println!("{PER_SECOND}/s over {SIDECARS} sidecars for {SECONDS} s");
    println!("{:<22} {:>9} {:>9} {:>9}  (ms)", "", "p50", "p99", "max");
    for (what, limit, keys) in [
        ("own, one caller", &format!("{{ {quota} }}"), 1),
        ("shared, one caller", &shared, 1),
        ("own, 100 callers", &format!("{{ {quota} }}"), 100),
        ("shared, 100 callers", &shared, 100),
    ] {
        let fleet: Vec<_> = (0..SIDECARS).map(|_| Weir::start(&yaml(&clinic, limit))).collect();
        let mut took: Vec<Duration> = thread::scope(|scope| {
            let clients = fleet.iter().map(|weir| scope.spawn(move || paced(weir, keys)));
            let clients: Vec<_> = clients.collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        took.sort();
        let at = |share: f64| took[(share * (took.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
        println!("{what:<22} {:>9.3} {:>9.3} {:>9.3}", at(0.5), at(0.99), at(1.0));
        let sum = |of: &dyn Fn(&Weir) -> f64| fleet.iter().map(of).sum::<f64>();
        let trips = sum(&|weir| weir.metric("weir_store_ask_duration_seconds_count", &[]));
        if trips > 0.0 {
            let seconds = sum(&|weir| weir.metric("weir_store_ask_duration_seconds_sum", &[]));
            let all = took.len() as f64;
            let [lease, store, local] =
                ["lease", "store", "local"].map(|by| sum(&|weir| decided(weir, by)) / all * 100.0);
            println!(
                "    {:.1} decisions a round trip, {:.3} ms each; by lease {lease:.1} %, store {store:.1} %, local {local:.2} %",
                all / trips,
                seconds / trips * 1e3
            );
        }
    }
}

/// An even share of the load on one sidecar; how long each request took.
fn paced(weir: &Weir, keys: u64) -> Vec<Duration> {
    let gap = Duration::from_secs(1) * SIDECARS as u32 / PER_SECOND as u32;
    let requests = PER_SECOND * SECONDS / SIDECARS;
    let (mut client, mut took) = (Client::of(weir), Vec::new());
    let began = Instant::now();
    for number in 0..requests {
        if number % 500 == 499 {
            client = Client::of(weir);
        }
        let due = began + gap * number as u32;
        thread::park_timeout(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        assert_eq!(client.ask_as(&format!("caller-{}", number % keys)).status(), 200);
        took.push(sent.elapsed());
    }
    took
}
