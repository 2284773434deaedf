//! The numbers in flight at which latencies are remembered: each one by one at first, then an eighth
//! apart.
//!
//! A knee is not found more exactly than that by latencies that vary as much as their mean, and a
//! service does not show the difference.

/// How many there are.
pub(super) const PLACES: usize = 120;

/// The place of what is seen with so many in flight: the last that is not above it.
pub(super) fn place_of(in_flight: u32) -> usize {
    GRID.partition_point(|&number| number <= in_flight).saturating_sub(1)
}

/// The number in flight that a place stands for.
pub(super) fn number(place: usize) -> u32 {
    GRID[place.min(PLACES - 1)]
}

/// No limit is above it.
pub(super) const MAX: u32 = GRID[PLACES - 1];

/// From 1 to over a million.
const GRID: [u32; PLACES] = {
    let mut grid = [1; PLACES];
    let mut place = 1;
    while place < PLACES {
        let last = grid[place - 1];
        let step = last * 12 / 100;
        grid[place] = last + if step > 1 { step } else { 1 };
        place += 1;
    }
    grid
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_grid_has_its_own_place() {
        for place in 0..PLACES - 1 {
            assert_eq!(place_of(number(place)), place);
            assert_eq!(place_of(number(place + 1) - 1), place);
        }
        assert!(number(PLACES - 1) > 1_000_000);
    }

    #[test]
    fn every_number_has_a_place_that_is_not_above_it() {
        assert_eq!(place_of(0), 0);
        assert_eq!(place_of(u32::MAX), PLACES - 1);
        for in_flight in 1..10_000 {
            let (at, next) = (number(place_of(in_flight)), number(place_of(in_flight) + 1));
            assert!(at <= in_flight && in_flight < next, "{at}, {in_flight}, {next}");
            assert!(f64::from(next) <= (1.125 * f64::from(at)).max(f64::from(at) + 1.0));
        }
    }
}
