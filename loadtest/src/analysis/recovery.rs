//! How long goodput takes to come back.
//!
//! After an overload has ended, a service is well again from the first moment on from which nearly all
//! that is offered is answered in time, in every window until the end. One good window between bad ones
//! is no recovery.

use crate::engine::recorder::Step;

/// What a window must hold to be a good one.
#[derive(Clone, Copy, Debug)]
pub struct Well {
    /// How many steps make a window.
    pub window: usize,
    /// The share of what was offered that is answered in time, 0 to 1.
    pub share: f64,
    /// So many misses are chance in any window: few requests cannot show a small share.
    pub misses: u64,
}

/// After how many steps all is well, to the end; `None` if it never is, or if there is no window.
#[must_use]
pub fn recovered_after(steps: &[Step], well: Well) -> Option<usize> {
    let windows: Vec<bool> =
        steps.windows(well.window.max(1)).map(|steps| is_well(steps, well)).collect();
    let first = windows.iter().rposition(|good| !good).map_or(0, |bad| bad + 1);
    (first < windows.len()).then_some(first)
}

fn is_well(steps: &[Step], well: Well) -> bool {
    let offered: u64 = steps.iter().map(|step| step.offered).sum();
    let good: u64 = steps.iter().map(|step| step.good).sum();
    let missed = offered.saturating_sub(good);
    missed <= well.misses || good as f64 >= well.share * offered as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WELL: Well = Well { window: 5, share: 0.97, misses: 2 };

    fn steps(good: &[u64]) -> Vec<Step> {
        good.iter().map(|&good| Step { offered: 20, good }).collect()
    }

    #[test]
    fn recovery_is_where_goodput_stays() {
        let bad_then_well = [&[0; 7][..], &[20; 10]].concat();
        let with_a_relapse = [&bad_then_well[..], &[5; 1], &[20; 10]].concat();
        let with_three_misses = [&[20; 5][..], &[17], &[20; 5]].concat();
        for (good, after) in [
            (&[20; 20][..], Some(0)),
            (&bad_then_well, Some(7)),
            (&with_a_relapse, Some(18)),
            (&with_three_misses, Some(0)),
            (&[0; 20], None),
            (&[20; 4], None),
            (&[], None),
        ] {
            assert_eq!(recovered_after(&steps(good), WELL), after, "{good:?}");
        }
    }

    #[test]
    fn windows_in_which_nothing_was_offered_are_well() {
        assert_eq!(recovered_after(&[Step::default(); 6], WELL), Some(0));
    }

    proptest! {
        #[test]
        fn from_there_on_every_window_is_well_and_the_one_before_is_not(
            good in prop::collection::vec(15_u64..=20, 0..60)
        ) {
            let steps = steps(&good);
            let windows: Vec<_> = steps.windows(WELL.window).map(|steps| is_well(steps, WELL)).collect();
            match recovered_after(&steps, WELL) {
                Some(first) => {
                    prop_assert!(windows[first..].iter().all(|well| *well));
                    prop_assert!(first == 0 || !windows[first - 1]);
                }
                None => prop_assert!(windows.last() != Some(&true)),
            }
        }
    }
}
