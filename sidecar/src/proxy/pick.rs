//! Which endpoint has the request next.

use std::sync::Arc;

use smallvec::SmallVec;
use weir_policy::Breaker;

use super::{admit, exchange::Exchange, stop::Stop, told};
use crate::{plan::Route, upstream::Endpoint};

/// The ids of these endpoints.
pub(super) fn ids(endpoints: &[Arc<Endpoint>]) -> Ids {
    endpoints.iter().map(|endpoint| endpoint.id).collect()
}

pub(super) type Ids = SmallVec<[u64; 8]>;

/// Chooses an endpoint other than these, whose breaker, where it has one, lets the request pass.
pub(super) fn pick(
    exchange: &mut Exchange,
    route: &Route,
    but: &[u64],
) -> Result<Arc<Endpoint>, Stop> {
    let upstream = &route.upstream;
    let mut without = Ids::from_slice(but);
    let mut last = None;
    loop {
        let Some(endpoint) = upstream.pick(&without, exchange.worker.random()) else {
            return Err(Stop::Refused(last.unwrap_or_else(|| told::no_endpoint(upstream))));
        };
        let breaker: Option<Arc<Breaker>> = route.breaker.of_endpoint(upstream, &endpoint);
        match breaker.map(|breaker| admit::ask(exchange, route, &breaker, Some(&endpoint.name))) {
            None | Some(Ok(())) => return Ok(endpoint),
            Some(Err(refusal)) => {
                last = Some(told::endpoints(upstream, refusal));
                without.push(endpoint.id);
            }
        }
    }
}
