//! What a decision costs: `cargo bench -p weir-policy`.
//!
//! Each aims at 50 ns on one thread. On one key, two threads together should get through at least half
//! of what one does alone: the rest is the price of a cache line that moves between processors.

use std::{
    hint::black_box,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use weir_config::{
    AdaptiveBreaker, AdaptiveLimit, BreakerScope, Concurrency, ConcurrencyLimit, Key, Mode, Queue,
    RateLimit, Ratio, Trip, TripBreaker,
};
use weir_policy::{
    Adaptive, Breaker, Endpoints, InFlight, Limit, Outcome, RateLimiter, Sample, Standing, Time,
};

/// A clock that moves on by as much as requests at a million a second do.
struct Clock(u64);

impl Clock {
    fn tick(&mut self) -> Time {
        self.0 += 1000;
        Time::from_nanos(self.0)
    }
}

fn limiter(per: &[Key], burst: u32) -> RateLimiter {
    RateLimiter::new(&RateLimit {
        name: "bench".into(),
        qps: 1e6,
        burst: NonZeroU32::new(burst).expect("not zero"),
        per: per.to_vec(),
        keys: NonZeroUsize::new(100_000).expect("not zero"),
        charge_on_reject: false,
        shared: None,
        mode: Mode::Enforce,
    })
}

fn breaker(trip: Trip) -> Breaker {
    Breaker::new(&weir_config::Breaker {
        name: "bench".into(),
        trip,
        per: BreakerScope::Route,
        mode: Mode::Enforce,
    })
}

fn tripping() -> Breaker {
    breaker(Trip::Open(TripBreaker {
        consecutive: NonZeroU32::new(5),
        error_ratio: Ratio::new(0.5),
        slow_ratio: Ratio::new(0.8),
        slow_after: Duration::from_millis(500),
        window: Duration::from_secs(10),
        min_requests: NonZeroU32::new(20).expect("not zero"),
        open_for: Duration::from_secs(5),
        open_max: Duration::from_secs(60),
        probes: NonZeroU32::new(3).expect("not zero"),
    }))
}

fn adaptive() -> Breaker {
    breaker(Trip::Adaptive(AdaptiveBreaker { k: 1.5, window: Duration::from_secs(10) }))
}

fn in_flight() -> InFlight<()> {
    InFlight::new(&Concurrency {
        name: "bench".into(),
        limit: ConcurrencyLimit::Fixed(NonZeroU32::new(64).expect("not zero")),
        queue: Queue::default(),
        fair_per: Key::Route,
        mode: Mode::Enforce,
    })
}

fn adaptive_limit() -> Adaptive {
    let number = |number| NonZeroU32::new(number).expect("not zero");
    Adaptive::new(AdaptiveLimit { start: number(20), min: number(1), max: number(1_000) })
}

/// An answer under a full limit, as each is under overload.
fn learn(limit: &Adaptive, now: Time) {
    let in_flight = black_box(limit.current());
    limit.on_sample(Sample { latency: Duration::from_millis(3), in_flight, dropped: false }, now);
}

fn pass(breaker: &Breaker, now: Time) {
    const OK: Outcome = Outcome::Success { latency: Some(Duration::from_millis(3)) };
    if let Ok(ticket) = breaker.admit(now, u64::MAX) {
        breaker.on_outcome(ticket, OK, now, 0);
    }
}

/// The window holds a failure, far too few to refuse anything.
fn pass_in_trouble(breaker: &Breaker, now: Time) {
    if now.as_nanos() % 5_000_000_000 < 1000 {
        fail(breaker, now);
    }
    pass(breaker, now);
}

/// The dice always let it pass, although a third is to be refused.
fn pass_half(breaker: &Breaker, now: Time) {
    if now.as_nanos() % 2000 < 1000 {
        fail(breaker, now);
    } else {
        pass(breaker, now);
    }
}

fn fail(breaker: &Breaker, now: Time) {
    if let Ok(ticket) = breaker.admit(now, u64::MAX) {
        breaker.on_outcome(ticket, Outcome::Failure, now, 0);
    }
}

fn rate_limits(criterion: &mut Criterion) {
    let mut clock = Clock(0);
    let route = limiter(&[Key::Route], 100);
    criterion.bench_function("rate limit, per route", |bencher| {
        bencher.iter(|| route.check(&[0], clock.tick()).is_ok());
    });
    let header = limiter(&[Key::Header("x-api-key".into())], 100);
    criterion.bench_function("rate limit, per key, one key", |bencher| {
        bencher.iter(|| header.check(&[0x1234_5678_9ABC_DEF0], clock.tick()).is_ok());
    });
    let mut key = 0_u64;
    criterion.bench_function("rate limit, per key, 10,000 keys", |bencher| {
        bencher.iter(|| {
            key = (key + 1) % 10_000;
            let hash = (key + 1).wrapping_mul(0xD1B5_4A32_D192_ED03);
            header.check(&[hash], clock.tick()).is_ok()
        });
    });
    let both = limiter(&[Key::Route, Key::Header("x-api-key".into())], 100);
    criterion.bench_function("rate limit, route and key", |bencher| {
        bencher.iter(|| both.check(&[0, 0x1234_5678_9ABC_DEF0], clock.tick()).is_ok());
    });
    criterion.bench_function("rate limit, debit and refund", |bencher| {
        bencher.iter(|| {
            let now = clock.tick();
            if let Ok(debit) = header.check(&[0x1234_5678_9ABC_DEF0], now) {
                header.refund(&debit, now);
            }
        });
    });
}

fn breakers(criterion: &mut Criterion) {
    let mut clock = Clock(0);
    let closed = tripping();
    criterion.bench_function("breaker, closed, admit and outcome", |bencher| {
        bencher.iter(|| pass(&closed, clock.tick()));
    });
    let open = tripping();
    for _ in 0..5 {
        if let Ok(ticket) = open.admit(Time::default(), 0) {
            open.on_outcome(ticket, Outcome::Failure, Time::default(), 0);
        }
    }
    criterion.bench_function("breaker, open, refuse", |bencher| {
        bencher.iter(|| black_box(open.admit(Time::default(), 0)).is_err());
    });
    let healthy = adaptive();
    criterion.bench_function("adaptive breaker, healthy, admit and outcome", |bencher| {
        bencher.iter(|| pass(&healthy, clock.tick()));
    });
    let troubled = adaptive();
    criterion
        .bench_function("adaptive breaker, a failure each 5 s, admit and outcome", |bencher| {
            bencher.iter(|| pass_in_trouble(&troubled, clock.tick()))
        });
    let throttling = adaptive();
    criterion
        .bench_function("adaptive breaker, throttling, admit and outcome, half fail", |bencher| {
            bencher.iter(|| pass_half(&throttling, clock.tick()))
        });
    criterion.bench_function("adaptive breaker, throttling, refuse", |bencher| {
        bencher.iter(|| black_box(throttling.admit(clock.tick(), 0)).is_err());
    });
}

fn concurrency(criterion: &mut Criterion) {
    let in_flight = in_flight();
    criterion.bench_function("concurrency, acquire and release", |bencher| {
        bencher.iter(|| in_flight.try_acquire() && in_flight.release(Time::default()).is_none());
    });
    let (mut clock, limit) = (Clock(0), adaptive_limit());
    criterion.bench_function("adaptive limit, sample", |bencher| {
        bencher.iter(|| learn(&limit, clock.tick()));
    });
}

fn endpoints(criterion: &mut Criterion) {
    for (balance, count) in [
        ("round_robin", 1),
        ("round_robin", 3),
        ("least_requests", 3),
        ("peak_ewma", 3),
        ("peak_ewma", 16),
    ] {
        let yaml = format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:1, upstream: app }}]\n\
             upstreams: {{ app: {{ endpoints: [\"app.test:80\"], balance: {balance} }} }}\n"
        );
        let config = weir_config::load(&yaml, "weir.yaml", &|_| None).expect("a whole file");
        let rules = Endpoints::new(&config.upstreams[0]);
        let all: Vec<_> = (0..count).map(|_| Standing::first(Time::default())).collect();
        let mut clock = Clock(1_000_000);
        let well = Outcome::Success { latency: Some(Duration::from_millis(1)) };
        criterion.bench_function(
            &format!("endpoints, {balance} of {count}, pick and outcome"),
            |bencher| {
                bencher.iter(|| {
                    let now = clock.tick();
                    // Knuth's multiplier: even enough to choose by.
                    let random = now.as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let picked =
                        rules.pick(all.iter(), |_| false, now, random).expect("one of all");
                    rules.on_outcome(&all[picked.place], well, now, now, all.iter())
                });
            },
        );
    }
}

/// The same number of decisions by one thread and by two together; two may take twice as long.
fn contended(criterion: &mut Criterion) {
    let epoch = AtomicU64::new(0);
    let mut compare = |name: &str, work: &(dyn Fn(Time) + Sync)| {
        for threads in [1, 2] {
            criterion.bench_function(&format!("{name}, threads: {threads}"), |bencher| {
                bencher.iter_custom(|pieces| {
                    let start = epoch.fetch_add((pieces + 1) * 1000, Relaxed);
                    timed(threads, pieces, |piece| work(Time::from_nanos(start + piece * 1000)))
                });
            });
        }
    };
    let header = limiter(&[Key::Header("x-api-key".into())], u32::MAX);
    compare("one key", &|now| {
        assert!(header.check(&[0x1234_5678_9ABC_DEF0], now).is_ok(), "a burst this large lasts");
    });
    let closed = tripping();
    compare("one breaker", &|now| pass(&closed, now));
    let healthy = adaptive();
    compare("one adaptive breaker", &|now| pass(&healthy, now));
    let troubled = adaptive();
    compare("one adaptive breaker, in trouble", &|now| pass_in_trouble(&troubled, now));
    let throttling = adaptive();
    compare("one adaptive breaker, throttling", &|now| pass_half(&throttling, now));
    let in_flight = in_flight();
    compare("one concurrency limit", &|now| {
        assert!(in_flight.try_acquire(), "two threads stay within 64 permits");
        assert!(in_flight.release(now).is_none(), "and nobody waits");
    });
    let limit = adaptive_limit();
    compare("one adaptive limit", &|now| learn(&limit, now));
}

/// How long `threads` take to do `pieces` of work between them, taking turns in its numbering.
fn timed(threads: u64, pieces: u64, work: impl Fn(u64) + Sync) -> Duration {
    let start = Barrier::new(threads as usize + 1);
    thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let run = |thread| {
            move || {
                start.wait();
                (thread..pieces).step_by(threads as usize).for_each(work);
            }
        };
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        start.wait();
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
        let began = std::time::Instant::now();
        for worker in workers {
            worker.join().expect("no worker fails");
        }
        began.elapsed()
    })
}

criterion_group! {
    name = decisions;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = rate_limits, breakers, concurrency, endpoints, contended
}
criterion_main!(decisions);
