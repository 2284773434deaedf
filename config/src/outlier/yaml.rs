//! `outlier:` as it is written.

use crate::{
    Mode, Outlier,
    decode::{At, Reader, section},
    scalar::{Count, Percent, Period, Time},
    units::Ratio,
};

section! {
    /// When an endpoint is passed over because it fails where others do not.
    struct OutlierYaml {
        /// Failures in a row that eject it.
        consecutive: At<Count<1, 1_000_000>> = Count(5),
        /// Share of failures in the window that ejects it.
        error_ratio: At<Percent> = Percent(Ratio::HALF),
        /// How far back outcomes are counted for `error_ratio`.
        window: At<Period> = Period::seconds(10),
        /// Outcomes in the window before `error_ratio` counts.
        min_requests: At<Count<1, 1_000_000>> = Count(20),
        /// How long it is passed over the first time; twice as long the second, three times the third.
        ejection_time: At<Period> = Period::seconds(30),
        /// The longest it is passed over; after as long without, the next time is a first one. Raised to `ejection_time` where it is not written.
        ejection_time_max: At<Period> = Period::seconds(300),
        /// Share of the endpoints that may be ejected at once, rounded down; one always may, all never.
        max_ejected: At<Percent> = Percent(Ratio::HALF),
        /// Eject, only count, or do nothing.
        mode: At<Mode> = Mode::Enforce,
    }
}

impl OutlierYaml {
    pub(crate) fn value(self, reader: &mut Reader<'_>) -> Option<Outlier> {
        if let (Some(first), Some(most)) = (self.ejection_time.get(), self.ejection_time_max.get())
            && self.ejection_time_max.written()
            && most.0 < first.0
        {
            let what = "`ejection_time_max` is shorter than `ejection_time`";
            let help = "make `ejection_time_max` at least as long as `ejection_time`";
            reader.problem(self.ejection_time_max.node(), what, help);
        }
        let ejection_time = self.ejection_time.take()?.0;
        let ejection_time_max = match self.ejection_time_max.written() {
            true => self.ejection_time_max.take()?.0,
            false => self.ejection_time_max.take()?.0.max(ejection_time),
        };
        Some(Outlier {
            consecutive: self.consecutive.take()?.nonzero()?,
            error_ratio: self.error_ratio.take()?.0,
            window: self.window.take()?.0,
            min_requests: self.min_requests.take()?.nonzero()?,
            ejection_time,
            ejection_time_max,
            max_ejected: self.max_ejected.take()?.0,
            mode: self.mode.take()?,
        })
    }

    pub(crate) fn of(outlier: &Outlier) -> Self {
        Self {
            consecutive: At::of(Count(outlier.consecutive.get())),
            error_ratio: At::of(Percent(outlier.error_ratio)),
            window: At::of(Time(outlier.window)),
            min_requests: At::of(Count(outlier.min_requests.get())),
            ejection_time: At::of(Time(outlier.ejection_time)),
            ejection_time_max: At::of(Time(outlier.ejection_time_max)),
            max_ejected: At::of(Percent(outlier.max_ejected)),
            mode: At::of(outlier.mode),
        }
    }
}
