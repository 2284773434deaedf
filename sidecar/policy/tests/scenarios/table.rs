//! What each limit made of each scenario.

#![allow(clippy::print_stdout, reason = "it is there to be read")]

use super::{Make, Outcome, missed, outcomes, scenario, scenario::Half};

/// Prints goodput, p99 and limit of each phase, and a table for the documentation.
pub(crate) fn print(limits: &[(&str, Make)], seeds: u64) {
    let word = |name: &str| std::env::var(name).unwrap_or_default();
    let half = if word("HALF") == "choose" { Half::Choose } else { Half::Report };
    let scenarios: Vec<_> = scenario::all()
        .into_iter()
        .filter(|it| {
            (it.half == half || word("HALF") == "all") && it.name.contains(&word("SCENARIO"))
        })
        .collect();
    let names: Vec<_> = scenarios.iter().map(|it| it.name.as_str()).collect();
    let mut rows = vec![
        format!("| | expectations met | goodput | {} |", names.join(" | ")),
        format!("|---|---|---|{}", "---|".repeat(names.len())),
    ];
    for (name, make) in limits.iter().filter(|(name, _)| name.contains(&word("LIMIT"))) {
        println!("{name}");
        let mut cells = Vec::new();
        let mut goodputs = Vec::new();
        let mut met = 0;
        for scenario in &scenarios {
            let outcomes = outcomes(scenario, *make, seeds);
            println!("{:>20} {}", scenario.name, line(&outcomes));
            met += u32::from(missed(scenario, &outcomes).is_empty());
            // The phase that the limit is the worst in.
            let goodput = outcomes.iter().map(|it| it.goodput).fold(1.0, f64::min);
            let p99 = outcomes.iter().map(|it| it.p99).fold(0.0, f64::max);
            cells.push(format!("{:.0} %, {p99:.0} ms", 100.0 * goodput));
            goodputs.push(goodput);
        }
        let mean = 100.0 * goodputs.iter().sum::<f64>() / goodputs.len() as f64;
        println!("{:>20} {mean:.2}, met {met}", "mean of the worst");
        let met = format!("{met} of {}", scenarios.len());
        rows.push(format!("| {name} | {met} | {mean:.0} % | {} |", cells.join(" | ")));
    }
    println!("\n{}", rows.join("\n"));
}

fn line(outcomes: &[Outcome]) -> String {
    let cell = |it: &Outcome| {
        format!("| {:5.1} % {:5.0} ms at {:5.1} ", 100.0 * it.goodput, it.p99, it.limit)
    };
    outcomes.iter().map(cell).collect()
}
