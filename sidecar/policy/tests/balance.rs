//! Which endpoint gets the next request.

use weir_config::Balance::{self, LeastRequests, RoundRobin};
use weir_policy::Balancer;

fn picks(balance: Balance, in_flight: &[u32], excluded: &[usize], count: usize) -> Vec<usize> {
    let balancer = Balancer::new(balance);
    let is_allowed = |index: usize| !excluded.contains(&index);
    let pick = |_| balancer.pick(in_flight.len(), |index| in_flight[index], is_allowed);
    (0..count).filter_map(pick).collect()
}

#[test]
fn each_in_turn_whatever_its_load() {
    assert_eq!(picks(RoundRobin, &[9, 0, 5], &[], 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn the_turn_of_an_excluded_one_is_shared_evenly() {
    assert_eq!(picks(RoundRobin, &[0, 0, 0], &[0], 6), [1, 2, 1, 2, 1, 2]);
    assert_eq!(picks(LeastRequests, &[0, 3, 3, 9], &[0], 4), [1, 2, 1, 2]);
}

#[test]
fn the_least_loaded_and_ties_in_turn() {
    assert_eq!(picks(LeastRequests, &[2, 1, 3], &[], 3), [1, 1, 1]);
    assert_eq!(picks(LeastRequests, &[1, 4, 1, 1], &[], 6), [0, 2, 3, 0, 2, 3]);
}

#[test]
fn none_when_all_are_excluded_or_there_are_none() {
    assert!(picks(RoundRobin, &[0, 0], &[0, 1], 3).is_empty());
    assert!(picks(LeastRequests, &[], &[], 3).is_empty());
}

#[test]
fn least_requests_levels_what_runs_unevenly() {
    let (balancer, mut in_flight) = (Balancer::new(LeastRequests), [7, 0, 2]);
    for _ in 0..12 {
        let index = balancer.pick(3, |index| in_flight[index], |_| true).unwrap();
        in_flight[index] += 1;
    }
    assert_eq!(in_flight, [7, 7, 7]);
}

#[test]
fn many_endpoints_are_all_reached() {
    let mut picked = picks(RoundRobin, &[0; 100], &[], 100);
    picked.sort_unstable();
    assert_eq!(picked, (0..100).collect::<Vec<_>>());
}
