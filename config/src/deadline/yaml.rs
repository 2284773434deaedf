//! `deadline:` as it is written.

use crate::{
    Deadline, Mode,
    decode::{At, section},
};

section! {
    /// What becomes of a request that cannot be answered any more within the time that its caller has left.
    struct DeadlineYaml {
        /// Refuse it on arrival, only count it, or let it try; one whose time is over is refused anyway.
        mode: At<Mode> = Mode::Enforce,
    }
}

impl DeadlineYaml {
    pub(crate) fn value(self) -> Option<Deadline> {
        Some(Deadline { mode: self.mode.take()? })
    }

    pub(crate) fn of(deadline: &Deadline) -> Self {
        Self { mode: At::of(deadline.mode) }
    }
}
