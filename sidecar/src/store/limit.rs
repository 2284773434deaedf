//! A shared limit: what this sidecar holds of it, and the store that is asked for more.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use weir_config::{Key, RateLimit};
use weir_policy::{Ask, Exceeded, LeaseKey, Leased, Leases, Taken, Time};

use super::{Store, bucket::Terms, link::Link};
use crate::clock;

/// One policy's, for as long as a plan has it.
#[derive(Debug)]
pub(crate) struct Limit {
    store: Arc<Store>,
    /// What its buckets are called at the store: the policy's name, and the hash of whose it is.
    name: String,
    terms: ArcSwap<Terms>,
    leases: Leases<Waker>,
    /// For each key of the policy, the hash of what it is, to be gone on with by its value.
    kinds: Vec<Sha256>,
    /// By who has decided; it goes on where a limit takes another's place.
    decided: Arc<[AtomicU64; By::ALL.len()]>,
}

/// Wakes a request that waits for the store, and says whether it has answered.
type Waker = oneshot::Sender<bool>;

/// Who has decided on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// What this sidecar held, or remembered of the store.
    Lease,
    /// The store, which the request waited for.
    Store,
    /// The store was lost: this sidecar by itself.
    Local,
    /// The store was lost: nobody, and it passed.
    Open,
    /// The store was lost: nobody, and it was refused.
    Closed,
}

impl By {
    pub(crate) const ALL: [Self; 5] =
        [Self::Lease, Self::Store, Self::Local, Self::Open, Self::Closed];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Store => "store",
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// What the fleet says to a request.
#[derive(Debug)]
pub(crate) enum Decision {
    Passes(Leased),
    Exceeded(Exceeded, By),
    /// The store does not say.
    Undecided,
}

impl Limit {
    /// In the place of `before`, if there is one by its name.
    pub(crate) fn new(settings: &RateLimit, store: Arc<Store>, before: Option<&Self>) -> Self {
        let kind = |key: &Key| {
            let kind = match key {
                Key::Route => "route".to_owned(),
                Key::Client { v6_prefix } => format!("client/{v6_prefix}"),
                Key::Header(name) => format!("header:{name}"),
                Key::Cookie(name) => format!("cookie:{name}"),
                Key::Query(name) => format!("query:{name}"),
            };
            Sha256::new().chain_update(kind).chain_update([0])
        };
        Self {
            store,
            name: settings.name.clone(),
            terms: ArcSwap::from_pointee(terms(settings)),
            leases: Leases::new(settings),
            kinds: settings.per.iter().map(kind).collect(),
            decided: before.map(|before| Arc::clone(&before.decided)).unwrap_or_default(),
        }
    }

    /// Has the store's task hand back what this limit does not use.
    pub(crate) fn enlist(self: &Arc<Self>) {
        let mut limits = self.link().limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.push(Arc::downgrade(self));
    }

    /// Whether it can be configured so, at this store.
    pub(crate) fn suits(&self, settings: &RateLimit, store: &Arc<Store>) -> bool {
        Arc::ptr_eq(&self.store, store) && self.leases.suits(settings)
    }

    /// Is configured anew, where it [`suits`](Self::suits).
    pub(crate) fn reconfigure(&self, settings: &RateLimit) {
        if **self.terms.load() != terms(settings) {
            self.terms.store(terms(settings).into());
            self.leases.reconfigure(settings);
        }
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn link(&self) -> &Link {
        &self.store.link
    }

    /// How often it was decided so.
    pub(crate) fn decided(&self, by: By) -> u64 {
        self.decided[by as usize].load(Relaxed)
    }

    pub(crate) fn count(&self, by: By) {
        self.decided[by as usize].fetch_add(1, Relaxed);
    }

    /// What stands for a value in every sidecar; from it the value cannot be read, only guessed.
    /// `kind` parts values of the same bytes that are not the same.
    pub(crate) fn hash(&self, index: usize, kind: u8, value: &[u8]) -> u128 {
        let known = self.kinds.get(index).cloned().unwrap_or_default();
        let digest = known.chain_update([kind]).chain_update(value).finalize();
        let first = digest.iter().take(16);
        // Less than all bits: that hash stands for those who have no place.
        first.fold(0, |hash, byte| (hash << 8) | u128::from(*byte)) >> 1
    }

    /// Decides on a request, at once where what is held can say, or when the store has said; at `until`
    /// without it.
    pub(crate) async fn decide(self: &Arc<Self>, keys: &[LeaseKey], until: Time) -> Decision {
        let mut by = By::Lease;
        let until = until.min(clock::now() + self.link().timeout());
        loop {
            let mut woken = None;
            let waker = || {
                let (waker, waits) = oneshot::channel();
                woken = Some(waits);
                waker
            };
            let (taken, asks) = self.leases.take(keys, clock::now(), waker);
            let is_up = self.link().is_up();
            for ask in asks {
                if is_up {
                    tokio::spawn(Arc::clone(self).carry(ask));
                } else {
                    self.unanswered(&ask);
                }
            }
            match taken {
                Taken::Passes(leased) => {
                    self.count(by);
                    return Decision::Passes(leased);
                }
                Taken::Exceeded(exceeded) => {
                    self.count(by);
                    return Decision::Exceeded(exceeded, by);
                }
                Taken::Waits if !is_up => return Decision::Undecided,
                Taken::Waits => {}
            }
            let Some(woken) = woken else { return Decision::Undecided };
            match clock::by(until, woken).await {
                Some(Ok(true)) => by = By::Store,
                _ => return Decision::Undecided,
            }
        }
    }

    /// Takes back what a request took that a later stage refused.
    pub(crate) fn refund(&self, leased: &Leased, now: Time) {
        self.leases.refund(leased, now);
    }

    /// Asks the store, for all who wait, until none is left who does.
    async fn carry(self: Arc<Self>, ask: Ask) {
        let mut next = Some(ask);
        while let Some(ask) = next {
            let grant = self.ask(&ask).await;
            let answered = self.leases.answered(&ask, grant.as_ref(), clock::now());
            for waker in answered.wake {
                // It may have gone.
                waker.send(grant.is_some()).unwrap_or_default();
            }
            next = answered.ask;
        }
    }

    fn unanswered(&self, ask: &Ask) {
        for waker in self.leases.answered(ask, None, clock::now()).wake {
            waker.send(false).unwrap_or_default();
        }
    }

    /// Hands back what nobody has used; what cannot be, while the store is lost, is lost too.
    pub(super) async fn sweep(&self) {
        for ask in self.leases.sweep(clock::now()) {
            self.ask(&ask).await;
        }
    }

    async fn ask(&self, ask: &Ask) -> Option<weir_policy::Grant> {
        let key = format!("weir:limit:{}:{:032x}", self.name, ask.key);
        let terms = **self.terms.load();
        self.link().ask(&key, terms, ask).await
    }
}

fn terms(settings: &RateLimit) -> Terms {
    Terms { interval: 1e6 / settings.qps, burst: settings.burst.get() }
}
