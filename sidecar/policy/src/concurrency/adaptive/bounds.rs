//! What a limit that learns keeps to.

use weir_config::AdaptiveLimit;

use super::grid::{self, place_of};

/// Neither is 0, nor `min` above `max`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    min: u32,
    pub(super) max: u32,
}

impl Bounds {
    pub(super) fn new(settings: AdaptiveLimit) -> Self {
        let max = settings.max.get().min(grid::MAX);
        Self { min: settings.min.get().min(max), max }
    }

    pub(super) fn keep(self, limit: u32) -> u32 {
        limit.clamp(self.min, self.max)
    }

    /// The lowest place there is to stand on.
    pub(super) fn bottom(self) -> usize {
        place_of(self.min)
    }
}
