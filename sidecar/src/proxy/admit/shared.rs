//! A rate limit that several sidecars share, and what holds while their store is lost.

use weir_config::OnStoreLoss;
use weir_policy::{Debit, LeaseKey, Time};

use super::{No, Taken};
use crate::{
    clock,
    plan::Rate,
    store::{By, Decision, Limit},
};
use std::sync::Arc;

/// Asks the fleet's limit, no longer than until its `timeout` or the request's `deadline`.
pub(super) async fn rate(
    rate: &Rate,
    limit: &Arc<Limit>,
    keys: &[LeaseKey],
    deadline: Time,
) -> Result<Taken, No> {
    let on_loss = rate.settings.shared.as_ref().map(|shared| shared.on_store_loss);
    let on_loss = on_loss.unwrap_or_default();
    match limit.decide(keys, deadline).await {
        Decision::Passes(leased) => {
            // So that it has no fresh burst for anybody when the store is lost. What it says now is for
            // one sidecar alone, and the fleet's word stands.
            let debit = match on_loss {
                OnStoreLoss::Local => own(rate, keys).ok(),
                OnStoreLoss::Open | OnStoreLoss::Closed => None,
            };
            Ok(Taken { own: debit, leased: Some(leased) })
        }
        Decision::Exceeded(exceeded, by) => Err(No::Exceeded(exceeded, Some(by))),
        Decision::Undecided => match on_loss {
            OnStoreLoss::Local => {
                limit.count(By::Local);
                let checked = own(rate, keys).map(Taken::own);
                checked.map_err(|exceeded| No::Exceeded(exceeded, Some(By::Local)))
            }
            OnStoreLoss::Open => {
                limit.count(By::Open);
                Ok(Taken::default())
            }
            OnStoreLoss::Closed => {
                limit.count(By::Closed);
                Err(No::StoreLost)
            }
        },
    }
}

/// Asks the limit that this sidecar has by itself.
fn own(rate: &Rate, keys: &[LeaseKey]) -> Result<Debit, weir_policy::Exceeded> {
    let values = keys.iter().map(|key| (key.index, key.local));
    rate.limiter.check_values(values, clock::now())
}
