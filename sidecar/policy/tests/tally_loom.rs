//! The interleavings of threads that count answers and one that takes them, up to a number of
//! preemptions.
//!
//! The source is compiled a second time with loom's primitives, as in `in_flight_loom`.

#![allow(dead_code, unreachable_pub, reason = "a second compilation of a part of the library")]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}

/// As few places as show what there is to see.
mod grid {
    pub(crate) const PLACES: usize = 2;
}

#[path = "../src/concurrency/adaptive/tally.rs"]
mod tally;

use loom::{sync::Arc, thread};

use self::tally::{Batch, Tally};

fn add(tally: &Arc<Tally>, answers: &'static [(usize, f64)]) -> thread::JoinHandle<()> {
    let tally = tally.clone();
    thread::spawn(move || answers.iter().for_each(|(place, log)| tally.add(*place, *log)))
}

/// Runs both groups of answers while they are taken twice, and once more in the end: how many were
/// found at each place, and the sums of their logarithms.
fn taken(tally: &Arc<Tally>, groups: [&'static [(usize, f64)]; 2]) -> [(u32, f64); 2] {
    let threads = groups.map(|group| add(tally, group));
    let mut all = [(0, 0.0); 2];
    let mut take = || {
        for (place, Batch { count, mean, .. }) in tally.take() {
            // Each is 1 or 2, so a mean of a sum and a count that belong together lies between.
            assert!((1.0..=2.0).contains(&mean), "{mean}");
            all[place] = (all[place].0 + count, all[place].1 + mean * f64::from(count));
        }
    };
    take();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
    take();
    all
}

#[test]
fn no_answer_is_lost_or_counted_twice() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(|| {
        let tally = Arc::new(Tally::new());
        let all = taken(&tally, [&[(0, 1.0), (1, 2.0)], &[(0, 2.0)]]);
        assert_eq!(all, [(2, 3.0), (1, 2.0)]);
        assert_eq!(tally.count(), 0);
    });
}
