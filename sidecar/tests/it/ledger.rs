//! The ledger, against clients that count for themselves.
//!
//! Thousands of requests of every kind, over both protocols and before services of both, end in
//! every way there is. Each scrape taken meanwhile must balance, and in the end every reason must
//! have been counted exactly as often as a client met it. `WEIR_LEDGER_REQUESTS` sets how many.

mod kinds;

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use tokio::{io::AsyncReadExt, task::JoinSet, time::timeout};

use self::kinds::{How, Kind, kinds, script, yaml};
use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::Backend,
        client::{Answer, Ask, Upload, h1, h2},
        settled,
    },
    weir::{PATIENCE, Weir, until},
};

const REQUESTS: usize = 20_000;
const CLIENTS: usize = 64;
/// After so many requests a client comes back on a new connection.
const PER_CONNECTION: usize = 50;

/// How often each reason was met.
type Tally = BTreeMap<&'static str, u64>;

/// A client's connection.
enum Connection {
    H1(h1::Client),
    H2(h2::Client),
}

#[test]
fn every_request_is_counted_once_and_for_what_it_was() {
    let requests =
        std::env::var("WEIR_LEDGER_REQUESTS").map_or(REQUESTS, |number| number.parse().unwrap());
    let backends = Speaks::BOTH.map(|speaks| Backend::start(speaks, script));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let weir = Weir::start(&yaml(&backends[0], &backends[1], gone));
    let address = weir.address();
    let mut tally = Tally::from([("ok", 1), ("upstream_reset", 1), ("client_cancel", 1)]);
    let fill = |path, status| {
        let answer = RUNTIME.block_on(Ask::post(path, Upload::Bytes(1)).of(address, Speaks::H1));
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    };
    fill("/limited/", 200);
    fill("/open/reset", 502);
    let mut holder = RUNTIME.block_on(h1::Client::connect(address)).unwrap();
    RUNTIME.block_on(holder.send_head(&Ask::get("/full/stuck"))).unwrap();
    until("the one place is taken", || backends[0].in_flight() == 1);

    let loading = RUNTIME.spawn(load(address, requests));
    let mut scrapes = 0;
    while !loading.is_finished() {
        check_balance(&weir);
        scrapes += 1;
    }
    let met = RUNTIME.block_on(loading).expect("every client met what it expected");
    drop(holder);
    settled(&weir, &[&backends[0], &backends[1]]);
    for (reason, times) in met {
        *tally.entry(reason).or_default() += times;
    }
    println!("{requests} requests, {scrapes} scrapes: {tally:?}");
    let (_, scraped) = weir.admin_get("/metrics");
    let counted = sums(&scraped, "weir_requests_total", "reason");
    let counted: BTreeMap<&str, u64> =
        counted.into_iter().filter(|(_, times)| *times > 0).collect();
    assert_eq!(counted, tally);
    let classes = sums(&scraped, "weir_requests_total", "class");
    let cancelled = tally["client_cancel"];
    let forwarded =
        tally.iter().filter(|(reason, _)| **reason == "ok" || reason.starts_with("upstream_"));
    let forwarded = forwarded.map(|(_, times)| times).sum::<u64>();
    assert_eq!((classes["cancelled"], classes["forwarded"]), (cancelled, forwarded));
    assert_eq!(classes["rejected"], tally.values().sum::<u64>() - cancelled - forwarded);
    let received: u64 = sums(&scraped, "weir_requests_received_total", "listener").values().sum();
    assert_eq!(received, requests as u64 + 3);
}

/// Received is what has ended and what is in flight, in one and the same scrape.
pub(crate) fn check_balance(weir: &Weir) -> String {
    let (_, scraped) = weir.admin_get("/metrics");
    let sum = |metric, label| sums(&scraped, metric, label).into_values().sum::<u64>();
    let received = sum("weir_requests_received_total", "listener");
    let in_flight = sum("weir_requests_in_flight", "listener");
    assert_eq!(received, sum("weir_requests_total", "class") + in_flight, "{scraped}");
    scraped
}

/// Sums of a metric by the value of one label.
pub(crate) fn sums<'a>(scraped: &'a str, metric: &str, label: &str) -> BTreeMap<&'a str, u64> {
    let mut sums = BTreeMap::new();
    for line in scraped.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Some((name, labels)) = series.split_once('{') else { continue };
        if name != metric {
            continue;
        }
        let mut labels =
            labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
        let by = labels
            .find(|(name, _)| *name == label)
            .map_or("", |(_, value)| value.trim_matches('"'));
        *sums.entry(by).or_default() += value.parse::<u64>().expect("a whole number");
    }
    sums
}

/// All clients at once; what they met.
async fn load(address: SocketAddr, requests: usize) -> Tally {
    let kinds: Arc<Vec<Kind>> = Arc::new(kinds());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let share = requests / CLIENTS + usize::from(client < requests % CLIENTS);
        let kinds = Arc::clone(&kinds);
        clients.spawn_on(one_client(address, client, share, kinds), RUNTIME.handle());
    }
    let mut all = Tally::new();
    for tally in clients.join_all().await {
        for (reason, times) in tally {
            *all.entry(reason).or_default() += times;
        }
    }
    all
}

async fn one_client(
    address: SocketAddr,
    client: usize,
    share: usize,
    kinds: Arc<Vec<Kind>>,
) -> Tally {
    let mut random = fastrand::Rng::with_seed(client as u64);
    let speaks = Speaks::BOTH[client % 2];
    let possible: Vec<&Kind> = kinds
        .iter()
        .filter(|kind| speaks == Speaks::H1 || !matches!(kind.how, How::Raw(_)))
        .collect();
    let weights: usize = possible.iter().map(|kind| kind.weight).sum();
    let mut tally = Tally::new();
    let mut connection = None;
    for request in 0..share {
        let mut at = random.usize(..weights);
        let kind = possible.iter().find(|kind| match at.checked_sub(kind.weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let kind = kind.expect("the weights add up");
        if request % PER_CONNECTION == 0 {
            connection = None;
        }
        let mut now = match connection.take() {
            Some(connection) => connection,
            None => Connection::new(address, speaks).await,
        };
        let answer =
            timeout(PATIENCE, now.exchange(kind)).await.expect("an end").unwrap_or_default();
        let as_expected = kind.status == 0 || answer.status == kind.status;
        assert!(as_expected, "{} over {speaks:?} came back as {answer:?}", kind.reason);
        // A busy machine may spend a short total before the service has the request.
        let met = if answer.reason == "deadline" { "deadline" } else { kind.reason };
        assert!(
            ["", met].contains(&&*answer.reason),
            "{met} over {speaks:?} came back as {answer:?}"
        );
        *tally.entry(met).or_default() += 1;
        connection = answer.keeps.then_some(now);
    }
    tally
}

impl Connection {
    async fn new(address: SocketAddr, speaks: Speaks) -> Self {
        match speaks {
            Speaks::H1 => Self::H1(h1::Client::connect(address).await.expect("a connection")),
            Speaks::H2 => Self::H2(h2::Client::connect(address).await.expect("a connection")),
        }
    }

    async fn exchange(&mut self, kind: &Kind) -> io::Result<Answer> {
        match (self, &kind.how) {
            (Self::H1(client), How::Ask(ask)) => client.ask(ask).await,
            (Self::H2(client), How::Ask(ask)) => client.ask(ask).await,
            (Self::H1(client), How::Raw(bytes)) => client.raw(bytes.as_bytes()).await,
            (Self::H1(client), How::Leave(ask)) => {
                client.send_head(ask).await?;
                let mut head = [0; 12];
                client.socket.read_exact(&mut head).await?;
                let status = String::from_utf8_lossy(&head[9..]).parse().unwrap_or(0);
                Ok(Answer { status, ..Answer::default() })
            }
            (Self::H2(client), How::Leave(ask)) => {
                let mut asked = client.send_head(ask).await?;
                let response = asked.response.await.map_err(io::Error::other)?;
                asked.upload.send_reset(::h2::Reason::CANCEL);
                let status = response.status().as_u16();
                Ok(Answer { status, keeps: true, ..Answer::default() })
            }
            (Self::H2(_), How::Raw(_)) => unreachable!("raw bytes are h1"),
        }
    }
}
