//! Numbers that carry their unit.

/// A share between 0 and 1, written `50%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// 50%.
    pub(crate) const HALF: Self = Self(0.5);

    /// A ratio from a share; `None` outside `0.0..=1.0`.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share, `0.0..=1.0`.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// A number of bytes, written `64KiB` or `10MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number of bytes.
    pub fn get(self) -> u64 {
        self.0
    }
}
