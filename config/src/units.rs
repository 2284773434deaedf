//! Numbers that carry their unit.

use std::time::Duration;

use crate::scalar::{Leaf, Period, Size, Text};

/// A duration above zero as the configuration writes it, such as `200ms`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    leaf::<Period>(text).map(|period| period.0)
}

/// A number of bytes as the configuration writes it, such as `64KiB`.
pub fn parse_bytes(text: &str) -> Option<ByteSize> {
    leaf::<Size<0, { u64::MAX }>>(text).map(|size| size.0)
}

fn leaf<T: Leaf>(text: &str) -> Option<T> {
    T::parse(&Text { text: text.to_owned(), plain: true, written: None }).ok()
}

/// A share between 0 and 1, written `50%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// 50%.
    pub(crate) const HALF: Self = Self(0.5);

    /// The whole.
    pub const ALL: Self = Self(1.0);

    /// A ratio from a share; `None` outside `0.0..=1.0`.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share, `0.0..=1.0`.
    pub fn get(self) -> f64 {
        self.0
    }

    /// One fifth.
    pub(crate) const FIFTH: Self = Self(0.2);
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
