//! Any configuration, written back, is read as itself and fits the schema.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::LazyLock,
    time::Duration,
};

use jsonschema::Validator;
use proptest::{collection::vec, option, prelude::*};
use weir_config::*;

prop_compose! {
    fn duration()(millis in 1..=86_400_000_u64) -> Duration {
        Duration::from_millis(millis)
    }
}

prop_compose! {
    fn nonzero(max: u32)(number in 1..=max) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }
}

prop_compose! {
    fn ratio()(share in 1e-6..=1.0_f64) -> Ratio {
        Ratio::new(share).unwrap()
    }
}

/// A name that needs quotes, escapes or neither.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z-]{1,12}",
        "[!-~]([ -~]{0,12}[!-~])?",
        Just("true".to_owned()),
        Just("${HOME}".to_owned())
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Enforce), Just(Mode::Shadow), Just(Mode::Disabled)]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), 1..=u16::MAX).prop_map(SocketAddr::from)
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Route),
        (1..=128_u8).prop_map(|v6_prefix| Key::Client { v6_prefix }),
        "[a-z0-9$-]{1,9}".prop_map(Key::Header),
        "[A-Za-z0-9$_]{1,9}".prop_map(Key::Cookie),
        "[A-Za-z0-9$_]{1,9}".prop_map(Key::Query),
    ]
}

prop_compose! {
    fn shared()(
        host in "[a-z][a-z0-9-]{0,9}",
        port in 1..=u16::MAX,
        database in 0..=9999_u16,
        user in option::of("[ -~]{1,9}"),
        millis in 1..=1_000_u64,
        on_store_loss in prop_oneof![Just(OnStoreLoss::Local), Just(OnStoreLoss::Open), Just(OnStoreLoss::Closed)],
    ) -> Shared {
        let endpoint = Endpoint::Name { host, port };
        let store = Store { endpoint, database, user, password: None };
        Shared { store, timeout: Duration::from_millis(millis), on_store_loss }
    }
}

prop_compose! {
    fn rate_limit()(
        qps in prop_oneof![0.00001..1e6_f64, (1..1_000_000_u32).prop_map(f64::from)],
        burst in nonzero(1_000_000),
        key in key(),
        keys in 1..=10_000_000_usize,
        charge_on_reject in any::<bool>(),
        shared in option::of(shared()),
        mode in mode(),
    ) -> RateLimit {
        let keys = NonZeroUsize::new(keys).unwrap();
        RateLimit { name: String::new(), qps, burst, per: vec![key], keys, charge_on_reject, shared, mode }
    }
}

fn adaptive() -> impl Strategy<Value = Trip> {
    (1.1..=100.0_f64, duration())
        .prop_map(|(k, window)| Trip::Adaptive(AdaptiveBreaker { k, window }))
}

prop_compose! {
    fn open()(
        consecutive in option::of(nonzero(1_000_000)),
        error_ratio in ratio(),
        slow in option::of((ratio(), duration())),
        (window, open_for, longer) in (duration(), duration(), 0..1_000_000_u64),
        (min_requests, probes) in (nonzero(1_000_000), nonzero(1_000)),
    ) -> Trip {
        Trip::Open(TripBreaker {
            consecutive,
            error_ratio: Some(error_ratio),
            slow_ratio: slow.map(|(ratio, _)| ratio),
            slow_after: slow.map_or(Duration::MAX, |(_, after)| after),
            window,
            min_requests,
            open_for,
            open_max: (open_for + Duration::from_millis(longer)).min(Duration::from_secs(86_400)),
            probes,
        })
    }
}

prop_compose! {
    fn matches()(
        path in prop_oneof![
            "/[!\"$-)+->@-~]{0,12}".prop_map(PathMatch::Exact),
            "/[!\"$-)+->@-~]{0,12}".prop_map(PathMatch::Prefix),
            "[a-z0-9/$]{1,12}".prop_map(|text| PathMatch::Regex(regex::Regex::new(&format!("^(?:{text})$")).unwrap())),
        ],
        host in option::of("(\\*\\.)?[a-z0-9-]{1,9}(\\.[a-z]{1,5})?"),
        methods in vec("[A-Z]{1,8}", 0..3),
        headers in prop::collection::btree_map("[a-z0-9$-]{1,9}", option::of("[!-~]([ -~]{0,9}[!-~])?"), 0..3),
    ) -> Match {
        let headers = headers.into_iter().map(|(name, value)| HeaderMatch { name, value, written: None }).collect();
        Match { path, host, methods, headers }
    }
}

prop_compose! {
    fn timeout()(
        total in duration(),
        (connect, first_byte) in (0.0..=1.0_f64, 0.0..=1.0_f64),
        (request_body, idle) in (duration(), duration()),
    ) -> Timeout {
        let within = |share: f64| Duration::from_millis(total.mul_f64(share).as_millis().max(1) as u64);
        Timeout { connect: within(connect), request_body, first_byte: within(first_byte), idle, total }
    }
}

/// A delay that is shorter than `total`, where there is one.
fn shorter(total: Duration, share: f64, ratio: Ratio) -> Option<DelayFault> {
    let millis = total.mul_f64(share).as_millis() as u64;
    let delay = DelayFault { duration: Duration::from_millis(millis), ratio };
    (millis > 0 && delay.duration < total).then_some(delay)
}

fn faults() -> impl Strategy<Value = Faults> {
    let grpc = prop_oneof![Just(GrpcStatus::Internal), Just(GrpcStatus::Unavailable)];
    let end = prop_oneof![
        (400..600_u16, grpc).prop_map(|(status, grpc)| Abort::Answer { status, grpc }),
        Just(Abort::Reset),
    ];
    let rate = || (1..=1_u64 << 30).prop_map(ByteSize);
    let header = ("x-[a-z0-9$-]{0,9}", option::of(duration()), any::<bool>(), rate()).prop_map(
        |(name, delay_max, abort, rate)| FaultHeader {
            name,
            delay_max,
            abort,
            drip_min: Some(rate),
        },
    );
    let (abort, drip) = ((end, ratio()), (rate(), ratio()));
    (abort, option::of(drip), option::of(header)).prop_map(|((end, ratio), drip, header)| Faults {
        delay: None,
        abort: Some(AbortFault { end, ratio }),
        drip: drip.map(|(rate, ratio)| DripFault { rate, ratio }),
        header,
    })
}

prop_compose! {
    fn bounds()(
        (min, more, share) in (1..=500_000_u32, 0..=500_000_u32, 0.0..=1.0_f64),
    ) -> AdaptiveLimit {
        let count = |count| NonZeroU32::new(count).unwrap();
        let start = min + (f64::from(more) * share) as u32;
        AdaptiveLimit { start: count(start), min: count(min), max: count(min + more) }
    }
}

prop_compose! {
    fn concurrency()(
        limit in prop_oneof![
            nonzero(1_000_000).prop_map(ConcurrencyLimit::Fixed),
            bounds().prop_map(ConcurrencyLimit::Adaptive),
        ],
        (length, timeout) in (option::of(0..=1_000_000_u32), option::of(duration())),
        (fair_per, mode) in (key(), mode()),
    ) -> Concurrency {
        Concurrency { name: String::new(), limit, queue: Queue { length, timeout }, fair_per, mode }
    }
}

prop_compose! {
    fn priorities()(
        default in prop::sample::select(&Priority::ALL),
        header in option::of("x-[a-z]{1,9}"),
        classes in prop::sample::subsequence(vec![Priority::High, Priority::Normal, Priority::Low], 0..=3),
        nets in vec((any::<std::net::IpAddr>(), 0..=32_u8), 1..3),
    ) -> Priorities {
        let net = |&(ip, bits)| ipnet::IpNet::new(ip, bits).unwrap().trunc();
        let nets: Vec<_> = nets.iter().map(net).collect();
        Priorities { default, header, clients: classes.into_iter().map(|class| (class, nets.clone())).collect() }
    }
}

fn retry_on() -> impl Strategy<Value = RetryOn> {
    prop_oneof![
        Just(RetryOn::Connect),
        Just(RetryOn::Reset),
        Just(RetryOn::FirstByte),
        Just(RetryOn::Unavailable),
        (400..=599_u16).prop_map(RetryOn::Status),
    ]
}

prop_compose! {
    fn retry()(
        attempts in 0..=10_u32,
        (on, methods) in (vec(retry_on(), 1..4), vec("[A-Z]{1,9}", 1..3)),
        backoff in duration(),
        (ratio, per_second) in (ratio(), 0..10_000_u32),
    ) -> Retry {
        Retry { attempts, on, methods, backoff, budget: RetryBudget { ratio, per_second: f64::from(per_second) / 8.0 } }
    }
}

prop_compose! {
    fn route()(
        (name, matches, stream) in (name(), matches(), any::<bool>()),
        rate_limits in vec(rate_limit(), 0..3),
        (trip, endpoint, breaker_mode) in (prop_oneof![adaptive(), open()], any::<bool>(), mode()),
        (timeout, deadline) in (timeout(), mode()),
        (faults, delay) in (option::of(faults()), option::of((0.0..1.0_f64, ratio()))),
        (concurrency, priority, retry) in (option::of(concurrency()), priorities(), retry()),
        (body, streams) in (0..=1_u64 << 40, nonzero(1_000_000)),
    ) -> Route {
        let per = if endpoint { BreakerScope::Endpoint } else { BreakerScope::Route };
        // On a route of streams it is not asked, and so not shown.
        let body = if stream { 10 << 20 } else { body };
        Route {
            name,
            matches,
            upstream: "app".to_owned(),
            stream,
            rate_limits,
            breaker: Breaker { name: String::new(), trip, per, mode: breaker_mode },
            deadline: Deadline { mode: deadline },
            concurrency,
            priority,
            faults: faults.map(|faults| Faults { delay: delay.and_then(|(share, ratio)| shorter(timeout.total, share, ratio)), ..faults }),
            retry,
            timeout,
            limits: RouteLimits { body: ByteSize(body), streams },
        }
    }
}

prop_compose! {
    fn listener()(
        (name, routes) in (name(), vec(route(), 1..3)),
        (connections, requests_per_connection, streams_per_connection) in (nonzero(1_000_000), nonzero(1_000_000_000), nonzero(100_000)),
        (header_bytes, headers, uri_bytes) in (1024..=1_u64 << 20, nonzero(256), 64..=1_u64 << 20),
        (request_header, keepalive, write) in (duration(), duration(), duration()),
    ) -> Listener {
        let (header_bytes, uri_bytes) = (ByteSize(header_bytes), ByteSize(uri_bytes));
        let limits = ListenerLimits { connections, requests_per_connection, streams_per_connection, header_bytes, headers, uri_bytes };
        let timeout = ListenerTimeout { request_header, keepalive, write };
        Listener { name, address: Address::Unix("/run/$socket".into()), limits, timeout, routes }
    }
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        address().prop_map(Endpoint::Address),
        ("[a-z][a-z0-9-]{0,9}(\\.[a-z]{1,5})?", 1..=u16::MAX)
            .prop_map(|(host, port)| Endpoint::Name { host, port }),
        "/[a-z$ ]{1,9}".prop_map(|path| Endpoint::Unix(path.into())),
    ]
}

fn balance() -> impl Strategy<Value = Balance> {
    prop_oneof![Just(Balance::RoundRobin), Just(Balance::LeastRequests), Just(Balance::PeakEwma)]
}

fn probe() -> impl Strategy<Value = Probe> {
    let host = || option::of("[a-z]{1,9}\\.[a-z]{1,5}");
    let statuses = (100..=599_u16, 0..100_u16)
        .prop_map(|(first, more)| Statuses { first, last: (first + more).min(599) });
    prop_oneof![
        ("/[a-z0-9/%.~-]{0,9}(\\?[a-z=&$]{0,9})?", host(), vec(statuses, 1..3))
            .prop_map(|(path, host, statuses)| Probe::Http { path, host, statuses }),
        ("[a-z.]{0,12}", host()).prop_map(|(service, host)| Probe::Grpc { service, host }),
        Just(Probe::Tcp),
    ]
}

prop_compose! {
    fn health_check()(
        probe in probe(),
        (timeout, longer) in (duration(), 0..1_000_000_u64),
        (healthy_after, unhealthy_after) in (nonzero(1_000), nonzero(1_000)),
    ) -> HealthCheck {
        let interval = (timeout + Duration::from_millis(longer)).min(Duration::from_secs(86_400));
        HealthCheck { probe, interval, timeout, healthy_after, unhealthy_after }
    }
}

prop_compose! {
    fn outlier()(
        (consecutive, error_ratio, window, min_requests) in (nonzero(1_000_000), ratio(), duration(), nonzero(1_000_000)),
        (ejection_time, longer) in (duration(), 0..1_000_000_u64),
        (max_ejected, mode) in (ratio(), mode()),
    ) -> Outlier {
        let ejection_time_max = (ejection_time + Duration::from_millis(longer)).min(Duration::from_secs(86_400));
        Outlier { consecutive, error_ratio, window, min_requests, ejection_time, ejection_time_max, max_ejected, mode }
    }
}

prop_compose! {
    fn upstream()(
        concurrency in concurrency(),
        (endpoint, others) in (endpoint(), any::<bool>()),
        (balance, h2) in (balance(), any::<bool>()),
        (health_check, outlier, slow_start) in (option::of(health_check()), outlier(), 0..86_400_000_u64),
        tls in option::of(("[a-z]{1,9}\\.[a-z]{1,5}", option::of("/[a-z$ ]{0,8}[a-z]"))),
        (keepalive, dns_refresh) in (duration(), duration()),
        go_pprof in option::of("https?://[a-z0-9]{1,9}(:[0-9]{1,4})?/[a-z/$]{0,9}"),
    ) -> Upstream {
        let mut endpoints = vec![endpoint];
        endpoints.extend(others.then(|| Endpoint::Unix("/run/other.sock".into())));
        // Of the only one there ever is, it is neither asked nor shown.
        let single = matches!(endpoints[..], [Endpoint::Address(_) | Endpoint::Unix(_)]);
        let grpc = health_check.as_ref().is_some_and(|check| matches!(check.probe, Probe::Grpc { .. }));
        Upstream {
            name: "app".to_owned(),
            concurrency: Concurrency { name: "app".to_owned(), ..concurrency },
            endpoints,
            balance,
            health_check,
            outlier: (!single).then_some(outlier),
            slow_start: Duration::from_millis(slow_start),
            protocol: if h2 || grpc { Protocol::H2 } else { Protocol::H1 },
            tls: tls.map(|(sni, ca)| Tls { sni, ca: ca.map(Into::into) }),
            keepalive,
            dns_refresh,
            go_pprof,
        }
    }
}

prop_compose! {
    fn config()(
        (port, health) in (1..u16::MAX, any::<bool>()),
        threads in 1..=1024_usize,
        trusted in vec((any::<std::net::IpAddr>(), 0..=32_u8), 0..3),
        (drain_delay, longer) in (0..3_600_000_u64, duration()),
        (watch, interval) in (any::<bool>(), duration()),
        listeners in vec(listener(), 1..3),
        upstream in upstream(),
    ) -> Config {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let net = |(ip, bits)| ipnet::IpNet::new(ip, bits).unwrap().trunc();
        let drain_delay = Duration::from_millis(drain_delay);
        let mut config = Config {
            admin: Admin { address: loopback(port), health_address: health.then(|| loopback(port + 1)), token: None },
            threads: NonZeroUsize::new(threads).unwrap(),
            trusted: trusted.into_iter().map(net).collect(),
            shutdown: Shutdown { drain_delay, deadline: (drain_delay + longer).min(Duration::from_secs(86_400)) },
            // Of one that is not watched it is not asked, and so not shown.
            reload: Reload { watch, interval: if watch { interval } else { Duration::from_secs(1) } },
            listeners,
            upstreams: vec![upstream],
        };
        name_apart(&mut config);
        config
    }
}

/// Gives everything that must be unique a number of its own.
fn name_apart(config: &mut Config) {
    for (l, listener) in config.listeners.iter_mut().enumerate() {
        listener.name += &format!(" {l}");
        listener.address = Address::Unix(format!("/run/$socket-{l}").into());
        for (r, route) in listener.routes.iter_mut().enumerate() {
            route.name += &format!(" {l}.{r}");
            route.breaker.name = format!("{} breaker", route.name);
            if let Some(concurrency) = &mut route.concurrency {
                concurrency.name = format!("{} limit", route.name);
            }
            for (index, limit) in route.rate_limits.iter_mut().enumerate() {
                limit.name = format!("{} {index}", route.name);
            }
        }
    }
}

#[test]
fn the_password_of_a_store_stays_a_variable() {
    let file = |store: &str| {
        format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:80, routes: [{{ upstream: app, \
             rate_limit: [{{ qps: 1 }}, {{ qps: 2, shared: \"{store}\" }}] }}] }}]\n\
             upstreams: {{ app: {{ endpoints: [\"127.0.0.1:1\"] }} }}\n"
        )
    };
    let variables = |name: &str| match name {
        "PASSWORD" => Some("hunter2".to_owned()),
        "URL" => Some("redis://weir:hunter2@limits:1/2".to_owned()),
        _ => None,
    };
    for written in ["redis://weir:${PASSWORD}@limits:1/2", "${URL}"] {
        let config = load(&file(written), "weir.yaml", &variables).unwrap();
        let shared = config.listeners[0].routes[0].rate_limits[1].shared.as_ref().unwrap();
        assert_eq!(shared.store.password.as_ref().map(Secret::expose), Some("hunter2"));
        let shown = show(&config);
        assert!(shown.contains(&format!("store: {written}")), "{shown}");
        assert!(!format!("{shown}{config:?}").contains("hunter2"), "{shown}");
        assert_eq!(load(&shown, "shown", &variables), Ok(config));
    }
}

/// Compiled once: that takes longer than all the rest.
static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(&schema()).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

#[test]
fn a_header_that_may_be_a_secret_stays_a_variable() {
    let yaml = "version: 1\nlisteners: [{ address: 127.0.0.1:80, routes: [{ upstream: app, \
                match: { headers: { x-secret: \"${SECRET}\", x-plain: $$1 } } }] }]\n\
                upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\n";
    let variables = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
    let config = load(yaml, "weir.yaml", &variables).unwrap();
    assert_eq!(config.listeners[0].routes[0].matches.headers[1].value.as_deref(), Some("hunter2"));
    let shown = show(&config);
    assert!(shown.contains("x-secret: ${SECRET}"), "{shown}");
    assert!(!format!("{shown}{config:?}").contains("hunter2"), "{shown}");
    assert_eq!(load(&shown, "shown", &variables), Ok(config));

    // The name that is derived is cut to its longest between characters, whatever the default is.
    let odd = format!("${{SECRET:-{}}}", "é".repeat(200));
    let config = load(&yaml.replace("${SECRET}", &odd), "weir.yaml", &variables).unwrap();
    assert!(config.listeners[0].routes[0].name.is_ascii());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_shown_is_what_was_read_and_fits_the_schema(config in config()) {
        let shown = show(&config);
        let read = load(&shown, "shown", &|_| None);
        prop_assert_eq!(read.as_ref(), Ok(&config), "{}", shown);

        let value = serde_yaml::from_str(&shown).unwrap();
        let errors: Vec<_> = SCHEMA.iter_errors(&value).map(|error| error.to_string()).collect();
        prop_assert!(errors.is_empty(), "{:#?}\n{}", errors, shown);
    }
}
