//! What windows showed of the latency, added up, and how far it can be believed.
//!
//! Latency is judged by its geometric mean: a few requests that take a hundred times as long as the
//! others say nothing of a queue, and hardly move it. With cores that are shared and with fixed service
//! times, `n * (1 - base / latency)` of `n` requests wait; with exponential ones and one queue before
//! several slots it reads 1.3 to 2.5 times too many, which shows the queue earlier.

use super::tally::Batch;

/// Sums over answers of logarithms of nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    count: f64,
    log: f64,
    square: f64,
    windows: f64,
    /// The square of each window's mean, as often as it has answers.
    mean_square: f64,
}

impl Evidence {
    pub(super) fn add(&mut self, batch: Batch) {
        let count = f64::from(batch.count);
        self.count += count;
        self.log += count * batch.mean;
        self.square += count * batch.square;
        self.windows += 1.0;
        self.mean_square += count * batch.mean * batch.mean;
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            log: self.log + other.log,
            square: self.square + other.square,
            windows: self.windows + other.windows,
            mean_square: self.mean_square + other.mean_square,
        }
    }

    /// As if each latency had been longer by the factor whose logarithm is `by`.
    pub(super) fn shifted(self, by: f64) -> Self {
        let squares = 2.0 * by * self.log + by * by * self.count;
        Self {
            log: self.log + by * self.count,
            square: self.square + squares,
            mean_square: self.mean_square + squares,
            ..self
        }
    }

    /// As if there had been no more than `most`, so that what comes has its weight.
    pub(super) fn at_most(self, most: f64) -> Self {
        let part = (most / self.count).min(1.0);
        if self.is_empty() {
            return self;
        }
        Self {
            count: self.count * part,
            log: self.log * part,
            square: self.square * part,
            windows: self.windows * part,
            mean_square: self.mean_square * part,
        }
    }

    /// How many answers.
    pub(super) fn count(&self) -> f64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0.0
    }

    /// The logarithm of the geometric mean; 0 for nothing.
    pub(super) fn log(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.log / self.count }
    }

    /// About the arithmetic mean, by the formula for a lognormal one; nanoseconds.
    pub(super) fn mean(&self) -> f64 {
        (self.log() + self.variance() / 2.0).exp()
    }

    fn variance(&self) -> f64 {
        if self.is_empty() { 0.0 } else { (self.square / self.count - self.log().powi(2)).max(0.0) }
    }

    /// The standard error of [`log`](Self::log); without an end for nothing.
    ///
    /// Requests that wait in one queue are not independent of each other. What they have in common
    /// shows in how far apart the means of the windows are (the method of batch means), and until there
    /// are windows enough to tell, it is believed to make the variance [`COMMON`] times as large.
    pub(super) fn error(&self) -> f64 {
        self.error_if(self.variance())
    }

    /// By how much it is longer than `usual`, and the error of that. How much few answers vary is better
    /// known from more of them.
    pub(super) fn minus(&self, usual: &Self) -> (f64, f64) {
        let error = self.error_if(self.variance().max(usual.variance()));
        (self.log() - usual.log(), error.hypot(usual.error()))
    }

    fn error_if(&self, variance: f64) -> f64 {
        if self.is_empty() {
            return f64::INFINITY;
        }
        let alone = variance.max(DEVIATION_MIN * DEVIATION_MIN);
        let between = (self.mean_square - self.count * self.log().powi(2)).max(0.0);
        let windows = (PRIOR + self.windows - 1.0).max(PRIOR);
        ((PRIOR * COMMON * alone + between) / windows / self.count).sqrt()
    }
}

/// The belief is worth so many windows.
const PRIOR: f64 = 3.0;
const COMMON: f64 = 2.0;
/// Latencies that have not varied yet will.
const DEVIATION_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: u32, mean: f64, variance: f64) -> Batch {
        Batch { count, mean, square: mean * mean + variance }
    }

    fn evidence(batches: &[Batch]) -> Evidence {
        let mut evidence = Evidence::default();
        batches.iter().for_each(|batch| evidence.add(*batch));
        evidence
    }

    #[test]
    fn nothing_seen_is_no_evidence_of_anything() {
        assert!(Evidence::default().error().is_infinite());
        assert_eq!(Evidence::default().at_most(5.0), Evidence::default());
    }

    #[test]
    fn windows_that_lie_apart_make_it_doubt_more_than_their_answers_do() {
        let alike = evidence(&[batch(100, 16.0, 1.0); 20]);
        let apart: Vec<_> = (0..20).map(|n| batch(100, 16.0 + f64::from(n % 2), 1.0)).collect();
        assert!(evidence(&apart).error() > 3.0 * alike.error());
        let more = evidence(&[batch(100, 16.0, 1.0); 80]);
        assert!(more.error() < alike.error() / 2.0);
    }

    #[test]
    fn what_is_shifted_is_as_certain_as_it_was() {
        let before = evidence(&[batch(50, 16.0, 1.6), batch(70, 16.3, 1.4)]);
        let after = before.shifted(1.0986);
        assert!((after.log() - before.log() - 1.0986).abs() < 1e-9);
        assert!((after.error() - before.error()).abs() < 1e-9);
        assert!((after.mean() / before.mean() - 3.0).abs() < 1e-3);
    }
}
