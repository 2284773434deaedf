//! `reload:` as it is written.

use crate::{
    Reload,
    decode::{At, Reader, section},
    scalar::{Flag, Period, Time},
};

section! {
    /// When a running process reads its configuration anew without being asked.
    struct ReloadYaml {
        /// Whether the file is looked at, and those that it names; `false` leaves it to SIGHUP and to `POST /reload`.
        watch: At<Flag> = Flag(true),
        /// How often it is looked at.
        interval: At<Period> = Period::seconds(1),
    }
}

impl ReloadYaml {
    pub(crate) fn value(self, reader: &mut Reader<'_>) -> Option<Reload> {
        if let (Some(Flag(false)), true) = (self.watch.get(), self.interval.written()) {
            reader.problem(
                self.interval.node(),
                "the file is not looked at, because of `watch: false`, so this is never asked",
                "leave out one of `watch` and `interval`",
            );
        }
        Some(Reload { watch: self.watch.take()?.0, interval: self.interval.take()?.0 })
    }

    pub(crate) fn of(reload: &Reload) -> Self {
        let interval = if reload.watch { At::of(Time(reload.interval)) } else { At::absent() };
        Self { watch: At::of(Flag(reload.watch)), interval }
    }
}
