//! What a request took of rate limits, and gives back when nothing of it has gone up.

use std::time::Duration;

use weir_policy::{Debit, Leased};

use super::Exchange;
use crate::clock;

/// A debit on the rate limit at this place of the route.
#[derive(Debug)]
pub(in crate::proxy) struct Charged {
    pub(in crate::proxy) rate: usize,
    pub(in crate::proxy) taken: Taken,
}

/// What a request took from a rate limit.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Taken {
    /// From the limit that this sidecar has by itself.
    pub(in crate::proxy) own: Option<Debit>,
    /// From what it holds of the fleet's.
    pub(in crate::proxy) leased: Option<Leased>,
}

impl Taken {
    pub(in crate::proxy) fn own(debit: Debit) -> Self {
        Self { own: Some(debit), leased: None }
    }

    /// Whole requests left, and until all of them are there again; `None` when nobody has counted.
    pub(in crate::proxy) fn left(&self) -> Option<(u32, Duration)> {
        let own = || self.own.as_ref().map(|debit| (debit.remaining, debit.reset));
        self.leased.as_ref().map(|leased| (leased.remaining, leased.reset)).or_else(own)
    }
}

impl Exchange {
    /// Gives the tokens back, unless the policy keeps them or the upstream has had the request.
    pub(in crate::proxy) fn refund(&mut self) {
        if self.forwarded {
            return;
        }
        let Some(route) = &self.route else { return };
        let now = clock::now();
        for charged in self.charged.drain(..).chain(self.charged_in_shadow.drain(..)) {
            let rate = &route.rates[charged.rate];
            if rate.settings.charge_on_reject {
                continue;
            }
            if let Some(debit) = &charged.taken.own {
                rate.limiter.refund(debit, now);
            }
            if let (Some(limit), Some(leased)) = (&rate.shared, &charged.taken.leased) {
                limit.refund(leased, now);
            }
        }
    }
}
