//! The fault switches, changed at run time; the crate's head tells what each does.
//!
//! The board is one value behind a watch channel: a change is seen whole or not at all, and what
//! stands still wakes up when its switch is turned off.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::{
    body,
    problem::{Problem, Reason},
    route::Route,
};

/// The switches of one route; all off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fault {
    /// Leaves something behind, or loses it: see the crate's head.
    pub leak: bool,
    /// Stands still while it is on: see the crate's head.
    pub stall: bool,
    /// Added to every request; zero adds nothing.
    pub slow: Duration,
    /// The share of requests that fail with 500, from 0 to 1.
    pub error_ratio: f64,
}

/// The switchboard; clones are the same board.
#[derive(Clone, Debug)]
pub struct Faults(Arc<watch::Sender<Board>>);

type Board = [Fault; Route::ALL.len()];

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Board::default())))
    }
}

impl Faults {
    /// The switches of `route` as they are now.
    pub fn get(&self, route: Route) -> Fault {
        self.0.borrow()[route as usize]
    }

    /// Sets all switches of `route`.
    pub fn set(&self, route: Route, fault: Fault) {
        self.0.send_modify(|board| board[route as usize] = fault);
    }

    /// Turns every switch off.
    pub fn clear(&self) {
        self.0.send_replace(Board::default());
    }

    /// Stands still while the route's `stall` switch is on.
    pub(crate) async fn stall(&self, route: Route) {
        let mut board = self.0.subscribe();
        // The only error is a board that is gone, and we hold it.
        drop(board.wait_for(|board| !board[route as usize].stall).await);
    }

    /// Changes the switches that `body` names and leaves the others; all of it or nothing.
    pub(crate) fn apply(&self, body: &[u8]) -> Result<(), Problem> {
        let like = r#"an object of routes, like {"epro": {"leak": true}}"#;
        let routes: Map<String, Value> = body::parse(body, like)?;
        let mut wrong = Vec::new();
        // In one step: of two changes at once, neither may undo the other.
        self.0.send_if_modified(|board| {
            let mut turned = *board;
            for (name, switches) in &routes {
                wrong.extend(turn(&mut turned, name, switches));
            }
            if wrong.is_empty() {
                *board = turned;
            }
            wrong.is_empty()
        });
        if wrong.is_empty() { Ok(()) } else { Err(Problem::new(Reason::Invalid, wrong.join("; "))) }
    }

    /// Every route's switches, as `POST /faults` takes them.
    pub(crate) fn shown(&self) -> Value {
        let board = *self.0.borrow();
        Route::ALL
            .into_iter()
            .map(|route| (route.name().to_owned(), board[route as usize].shown(route)))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// Turns the switches of the route `name`; returns all that is wrong with them.
fn turn(board: &mut Board, name: &str, switches: &Value) -> Vec<String> {
    match (Route::named(name), switches.as_object()) {
        (Some(route), Some(switches)) => {
            let fault = &mut board[route as usize];
            let turned = switches.iter().map(|(switch, value)| fault.turn(route, switch, value));
            turned.filter_map(Result::err).collect()
        }
        (Some(_), None) => vec![format!(
            r#"`{name}`: {switches} is not an object of switches, like {{"stall": true}}"#
        )],
        (None, _) => vec![format!(
            "there is no route `{name}`; the routes are {}",
            Route::ALL.map(Route::name).join(", ")
        )],
    }
}

impl Fault {
    fn turn(&mut self, route: Route, switch: &str, value: &Value) -> Result<(), String> {
        let name = route.name();
        let (turned, expected) = match switch {
            "leak" if route.can_leak() => {
                (value.as_bool().map(|on| self.leak = on), "true or false")
            }
            "stall" => (value.as_bool().map(|on| self.stall = on), "true or false"),
            "slow" => {
                let ms = value.as_u64().filter(|ms| *ms <= SLOW_MS_MAX);
                let turned = ms.map(|ms| self.slow = Duration::from_millis(ms));
                (turned, "whole milliseconds from 0 to 3600000")
            }
            "error_ratio" => {
                let ratio = value.as_f64().filter(|ratio| (0.0..=1.0).contains(ratio));
                (ratio.map(|ratio| self.error_ratio = ratio), "a number from 0 to 1")
            }
            _ => {
                let leak = if route.can_leak() { "leak, " } else { "" };
                return Err(format!(
                    "`{name}` has no switch `{switch}`; it has {leak}stall, slow, error_ratio"
                ));
            }
        };
        turned.ok_or_else(|| format!("`{name}.{switch}`: {value} is not {expected}"))
    }

    fn shown(self, route: Route) -> Value {
        let mut shown = json!({
            "stall": self.stall,
            "slow": u64::try_from(self.slow.as_millis()).unwrap_or(u64::MAX),
            "error_ratio": self.error_ratio,
        });
        if route.can_leak() {
            shown["leak"] = self.leak.into();
        }
        shown
    }
}

/// An hour: longer than any deadline, short enough for every clock.
const SLOW_MS_MAX: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        for _ in 0..1_000 {
            let faults = Faults::default();
            std::thread::scope(|threads| {
                for route in Route::ALL {
                    let body = json!({ route.name(): { "stall": true } }).to_string();
                    let faults = &faults;
                    threads.spawn(move || faults.apply(body.as_bytes()).expect("a switch"));
                }
            });
            assert!(Route::ALL.into_iter().all(|route| faults.get(route).stall));
        }
    }
}
