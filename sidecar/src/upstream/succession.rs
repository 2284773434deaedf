//! An upstream over a reload: what of it goes on when its settings have changed.
//!
//! One that has not changed at all is the same value in both plans, with its pools and its tasks.
//! Otherwise there is a new one, which takes over what it counts and what its names were resolved to,
//! so that no request has to wait for DNS again; and each endpoint that is still there. An endpoint
//! that is reached in another way than before is another value under the same id, so that its breakers
//! and what is known of it stay with it. One that is not there any more is [remembered](super::gone).

use std::sync::Arc;

use weir_policy::Standing;

use super::{Endpoint, Unusable, Upstream, authorities, endpoint::Identity};
use crate::clock;

impl Upstream {
    /// The upstream with these settings, after the one that had the name.
    ///
    /// # Errors
    /// As [`Upstream::new`].
    pub(crate) fn following(
        before: Option<Arc<Self>>,
        settings: &weir_config::Upstream,
    ) -> Result<Arc<Self>, Unusable> {
        let Some(before) = before else { return Self::new(settings).map(Arc::new) };
        // The concurrency limit is the routes' matter, and lives on by itself.
        let concurrency = before.settings.concurrency.clone();
        let unchanged = before.settings
            == weir_config::Upstream { concurrency, ..settings.clone() }
            && before.authorities == authorities::of(settings)?
            && !before.retired.is_cancelled();
        if unchanged {
            return Ok(before);
        }
        let mut next = Self::new(settings)?;
        next.connections_opened = Arc::clone(&before.connections_opened);
        next.resolve_failures = Arc::clone(&before.resolve_failures);
        next.rules = before.rules.following(settings);
        next.gone = Arc::clone(&before.gone);
        next.follows = true;
        let reached_alike = before.protocol == next.protocol
            && before.tls == next.tls
            && before.authorities == next.authorities;
        let (known, now) = (before.endpoints(), clock::now());
        let join = || Identity::new(Standing::joining(settings.health_check.is_some(), now));
        let follow = |endpoint: Arc<Endpoint>| {
            let known = known.iter().find(|known| known.name == endpoint.name);
            let identity = match known {
                Some(known) if reached_alike => return Arc::clone(known),
                Some(known) => known.identity(),
                None => before.gone.take(&endpoint.name, now).unwrap_or_else(join),
            };
            let (name, address) = (endpoint.name.clone(), endpoint.peer._address.clone());
            Arc::new(Endpoint::new(identity, name, address, settings))
        };
        for name in next.names.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            let before = before.names();
            let same =
                before.iter().find(|same| (&same.host, same.port) == (&name.host, name.port));
            name.addresses = same.map(|same| same.addresses.clone()).unwrap_or_default();
        }
        next.set_resolved(&next.addresses());
        let endpoints: Vec<_> = next.endpoints().iter().cloned().map(follow).collect();
        next.remember_those_missing(&known, &endpoints, now);
        next.endpoints.store(Arc::new(endpoints));
        Ok(Arc::new(next))
    }

    /// Ends the tasks that look after it: no plan has it any more. Requests that do use it as it is.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    fn settings(upstream: &str) -> weir_config::Upstream {
        let yaml = format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:0, upstream: app }}]\nupstreams: {{ app: {upstream} }}\n"
        );
        weir_config::load(&yaml, "weir.yaml", &|_| None).unwrap().upstreams.remove(0)
    }

    fn following(before: &Arc<Upstream>, upstream: &str) -> Arc<Upstream> {
        Upstream::following(Some(Arc::clone(before)), &settings(upstream)).unwrap()
    }

    #[test]
    fn one_that_has_not_changed_is_the_same() {
        let yaml = "{ endpoints: [\"10.0.0.1:80\"] }";
        let before = Upstream::following(None, &settings(yaml)).unwrap();
        assert!(Arc::ptr_eq(&before, &following(&before, yaml)));
        before.retire();
        assert!(!Arc::ptr_eq(&before, &following(&before, yaml)), "its tasks have ended");
    }

    #[test]
    fn endpoints_that_stay_keep_what_they_count_and_names_what_they_were_resolved_to() {
        let yaml = "{ endpoints: [\"10.0.0.1:80\", \"10.0.0.2:80\", \"app.test:80\"] }";
        let before = Upstream::following(None, &settings(yaml)).unwrap();
        before.learn(0, vec![([10, 0, 0, 9], 80).into()]);
        before.connections_opened.store(7, Relaxed);
        (0..3).for_each(|_| before.endpoints()[1].standing.began());
        let after =
            following(&before, "{ endpoints: [\"10.0.0.2:80\", \"app.test:80\"], keepalive: 1s }");
        let names = |upstream: &Upstream| {
            upstream.endpoints().iter().map(|endpoint| endpoint.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&after), ["10.0.0.2:80", "10.0.0.9:80"]);
        assert!(Arc::ptr_eq(&before.endpoints()[1], &after.endpoints()[0]));
        assert!(Arc::ptr_eq(&before.endpoints()[2], &after.endpoints()[1]));
        assert_eq!(after.connections_opened.load(Relaxed), 7);

        let other_way = following(&after, "{ endpoints: [\"10.0.0.2:80\"], protocol: h2 }");
        let (was, is) = (&after.endpoints()[0], &other_way.endpoints()[0]);
        assert!(!Arc::ptr_eq(was, is), "it is asked in another way");
        assert_eq!((was.id, is.standing.in_flight()), (is.id, 3));
    }
}
