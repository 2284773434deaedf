//! Endpoints that are not there any more, remembered for a while.
//!
//! DNS answers with a part of the addresses, or with none that are ready; a reload takes an endpoint out
//! and puts it in again. Who comes back within [`REMEMBERED`] is what it was: ejected, unhealthy, with its
//! answer times. Else an endpoint would be rid of its past by vanishing for a moment.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use weir_policy::Time;

use super::endpoint::Identity;

/// For so long.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(600);
/// So many; of more, those that have gone first are forgotten.
const REMEMBERED_MAX: usize = 256;

/// Those of one upstream, by name, in the order in which they went.
#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<Vec<(String, Identity, Time)>>);

impl Gone {
    pub(super) fn put(&self, name: &str, identity: Identity, now: Time) {
        let mut gone = self.lock(now);
        gone.retain(|(other, ..)| other != name);
        if gone.len() == REMEMBERED_MAX {
            gone.remove(0);
        }
        gone.push((name.to_owned(), identity, now));
    }

    /// What it was, when it has not been gone for too long.
    pub(super) fn take(&self, name: &str, now: Time) -> Option<Identity> {
        let mut gone = self.lock(now);
        let place = gone.iter().position(|(other, ..)| other == name)?;
        Some(gone.remove(place).1)
    }

    /// Without those who have been gone for too long.
    fn lock(&self, now: Time) -> MutexGuard<'_, Vec<(String, Identity, Time)>> {
        let mut gone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|(.., since)| now.since(*since) < REMEMBERED);
        gone
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::{EndpointState, Outcome, Standing};

    use super::*;
    use crate::{
        clock,
        upstream::{Endpoint, Upstream},
    };

    fn identity() -> Identity {
        Identity::new(Standing::first(Time::default()))
    }

    #[test]
    fn who_comes_back_soon_is_what_it_was() {
        let (gone, now) = (Gone::default(), Time::default());
        gone.put("a", identity(), now);
        gone.put("b", identity(), now);
        assert!(gone.take("a", now + REMEMBERED / 2).is_some());
        assert!(gone.take("a", now + REMEMBERED / 2).is_none(), "it is not gone any more");
        assert!(gone.take("b", now + REMEMBERED).is_none(), "that was too long");
    }

    #[test]
    fn an_endpoint_that_vanishes_for_a_moment_is_the_same_one() {
        let yaml = "version: 1\nlisteners: [{ address: 127.0.0.1:0, upstream: app }]\n\
                    upstreams: { app: { endpoints: [\"app.test:80\"], outlier: { consecutive: 1 } } }\n";
        let config = weir_config::load(yaml, "weir.yaml", &|_| None).unwrap();
        let upstream = Upstream::new(&config.upstreams[0]).unwrap();
        let resolve = |hosts: &[u8]| {
            let addresses: Vec<_> =
                hosts.iter().map(|host| ([10, 0, 0, *host], 80).into()).collect();
            upstream.set_resolved(&addresses);
            upstream.endpoints().to_vec()
        };
        let state = |endpoint: &Endpoint| upstream.view(endpoint, clock::now()).state;
        let first = resolve(&[1, 2]);
        let now = clock::now();
        upstream.on_outcome(&first[0], Outcome::Failure, now, now);
        assert_eq!(state(&first[0]), EndpointState::Ejected);
        assert_eq!(resolve(&[2]).len(), 1);
        let again = resolve(&[1, 2]);
        assert_eq!(
            again.iter().find(|one| one.id == first[0].id).map(|one| state(one)),
            Some(EndpointState::Ejected)
        );
    }

    #[test]
    fn not_all_are_remembered() {
        let (gone, now) = (Gone::default(), Time::default());
        for number in 0..=REMEMBERED_MAX {
            gone.put(&number.to_string(), identity(), now);
        }
        assert!(gone.take("0", now).is_none());
        assert!(gone.take("1", now).is_some());
        assert!(gone.take(&REMEMBERED_MAX.to_string(), now).is_some());
    }
}
