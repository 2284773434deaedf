//! How close to the deadline the end comes, measured by hand:
//! `cargo test -p weir --test it -- --ignored --nocapture measure_deadlines`

use std::{collections::BTreeMap, time::Duration};

use super::{
    RUNTIME,
    deadlines::{TOTAL, ask_all, before_both},
};

/// How often each cell of the table is measured.
const ROUNDS: usize = 40;

#[test]
#[ignore = "measures; run by hand"]
fn measure_deadlines() {
    let (weir, backends) = before_both("timeout: { total: 500ms }, breaker: { mode: disabled }");
    let mut offsets: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (what, _, answer) in RUNTIME.block_on(ask_all(&weir)) {
            offsets.entry(what).or_default().push(answer.took.saturating_sub(TOTAL));
        }
    }
    println!("{:<40} {:>8} {:>8} {:>8}  (ms after {TOTAL:?})", "", "median", "p95", "max");
    for (what, mut offsets) in offsets {
        offsets.sort();
        let ms = |offset: Duration| offset.as_secs_f64() * 1e3;
        let at = |share: f64| ms(offsets[(share * (ROUNDS - 1) as f64).round() as usize]);
        println!("{what:<40} {:>8.2} {:>8.2} {:>8.2}", at(0.5), at(0.95), at(1.0));
    }
    drop(backends);
}
