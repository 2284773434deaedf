//! `x-request-deadline`: a point in time, as RFC 3339 (`2027-03-01T12:00:00.250Z`) or in seconds since
//! 1970 (`1803902400.250`), on the wall clocks of the caller and of this machine.
//!
//! The clock is read once, on arrival; from there on the deadline is one of the monotonic clock. So a clock
//! that jumps later changes nothing, but one that has jumped before could: set a day ahead, it would make
//! every deadline one that has long passed, and everything would be refused. So a deadline that passed
//! more than [`BELIEVED`] ago is taken for the word of a clock that is wrong, the caller's or ours, and is
//! passed over. Nobody sends a request that nobody has been waiting for that long; were it so after all,
//! the request would be served in vain, which is the lesser error. A clock set back makes deadlines seem
//! far, where the route's total is nearer. Clocks that differ by less than that cannot be told from
//! time on the way: they should agree better than deadlines are long.

use std::time::Duration;

use chrono::DateTime;

/// For how long after it a deadline is believed to have passed.
const BELIEVED: Duration = Duration::from_secs(60);

/// Since 1970; `None` for what is no point in time since then.
pub(super) fn read(text: &str) -> Option<Duration> {
    unix_seconds(text).or_else(|| {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        // A leap second has more than a second's nanoseconds; they carry over.
        Some(
            Duration::from_secs(u64::try_from(time.timestamp()).ok()?)
                + Duration::from_nanos(time.timestamp_subsec_nanos().into()),
        )
    })
}

/// How much of the time until `deadline` is left at `now`; zero when none is, and `None` when that cannot be
/// believed.
pub(super) fn left(deadline: Duration, now: Duration) -> Option<Duration> {
    match deadline.checked_sub(now) {
        Some(left) => Some(left),
        None => (now - deadline <= BELIEVED).then_some(Duration::ZERO),
    }
}

/// Digits, and perhaps a point and up to nine more. More than eleven before it would be milliseconds.
fn unix_seconds(text: &str) -> Option<Duration> {
    const WHOLE_MAX: usize = 11;
    const FRACTION_MAX: usize = 9;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, WHOLE_MAX) || !digits(fraction, FRACTION_MAX) {
        return None;
    }
    let nanos = format!("{fraction:0<FRACTION_MAX$}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_read_in_both_forms() {
        let noon = Duration::from_secs(1_803_902_400);
        let quarter = Duration::from_millis(250);
        for (text, expected) in [
            ("2027-03-01T12:00:00Z", Some(noon)),
            ("2027-03-01T12:00:00.250Z", Some(noon + quarter)),
            ("2027-03-01T13:30:00+01:30", Some(noon)),
            ("2027-03-01t12:00:00z", Some(noon)),
            ("1803902400", Some(noon)),
            ("1803902400.25", Some(noon + quarter)),
            ("0", Some(Duration::ZERO)),
            ("1803902400250", None),
            ("1803902400.", None),
            (".5", None),
            ("-5", None),
            ("1e9", None),
            ("5s", None),
            ("", None),
            ("2027-03-01", None),
            ("2027-03-01T12:00:00", None),
            ("2027-02-30T12:00:00Z", None),
            ("1950-01-01T00:00:00Z", None),
            ("Mon, 01 Mar 2027 12:00:00 GMT", None),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_clock_that_is_a_day_off_refuses_nothing() {
        const DAY: Duration = Duration::from_secs(86_400);
        let now = Duration::from_secs(1_803_902_400);
        let second = Duration::from_secs(1);
        for (deadline, expected) in [
            (now + second, Some(second)),
            (now, Some(Duration::ZERO)),
            (now - second, Some(Duration::ZERO)),
            (now - BELIEVED - second, None),
            (now - DAY, None),
            // The route's total is nearer.
            (now + DAY, Some(DAY)),
        ] {
            assert_eq!(left(deadline, now), expected);
        }
    }
}
