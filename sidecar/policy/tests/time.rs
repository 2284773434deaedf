//! Arithmetic at both ends of time.

use std::time::Duration;

use weir_policy::Time;

#[test]
fn differences_and_sums_stop_at_the_ends() {
    let (early, late) = (Time::from_nanos(5), Time::from_nanos(12));
    assert_eq!(late.since(early), Duration::from_nanos(7));
    assert_eq!(early.since(late), Duration::ZERO);
    assert_eq!(early + Duration::from_nanos(7), late);
    assert_eq!(late + Duration::MAX, Time::from_nanos(u64::MAX));
}
