//! One key of a shared limit, as one sidecar has it: what it may let pass without asking.
//!
//! The bucket is at the store. A sidecar debits several requests there at once and lets as many pass by
//! itself: that is its lease. It holds as many as the key used lately in [`SPAN`], so a caller who
//! comes once costs one debit and a busy one costs a round trip for each [`SPAN`] or so. It asks anew a
//! little before it has none left, so that under an even load nobody waits.
//!
//! When the store has none left, that is remembered too, for a moment: a caller who floods is refused
//! without a round trip for each request.

use std::time::Duration;

use super::gcra::Quota;
use crate::{Time, time::nanos};

/// A key's lease, and who waits for the store's word about it.
#[derive(Debug)]
pub(super) struct Lease<W> {
    /// Requests that are debited at the store and have not passed.
    held: u32,
    /// From when on those are too old to let anything pass.
    until: Time,
    /// How many it is to hold.
    size: u32,
    /// When the store was last asked, and how many have passed since.
    asked: Time,
    used: u32,
    /// How many the store granted last, and what it said of them.
    granted: u32,
    receipt: StoreReceipt,
    /// The store had none left: until when nobody asks it, and when it will have one.
    empty_until: Time,
    fits_at: Time,
    /// What the bucket still had, and when it is full.
    beyond: u32,
    full_at: Time,
    asking: bool,
    waiting: Vec<W>,
}

/// A debit as the store saw it: what it takes to hand some of it back. Microseconds on its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreReceipt {
    /// The TAT that the debit left behind.
    pub after: f64,
    /// By how much handing back had moved that TAT until then.
    pub given: f64,
    /// When the bucket began; another beginning is another bucket.
    pub born: f64,
}

/// What one key of a limit wants of the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Whose bucket.
    pub key: u128,
    /// Requests to debit, as many as there are; zero hands back alone.
    pub want: u32,
    /// Requests of an earlier debit that were not used.
    pub back: u32,
    /// Of that debit.
    pub receipt: StoreReceipt,
}

/// What the store said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grant {
    /// Requests debited: as many as were wanted, or all that there were.
    pub granted: u32,
    /// Requests left in the bucket.
    pub remaining: u32,
    /// Until the bucket has one, if it has none.
    pub next: Duration,
    /// Until the bucket is full.
    pub reset: Duration,
    /// Of the debit.
    pub receipt: StoreReceipt,
}

/// What follows from the store's word.
#[derive(Debug)]
pub struct Answered<W> {
    /// Who is to come again.
    pub wake: Vec<W>,
    /// What to ask next.
    pub ask: Option<Ask>,
}

/// How large leases are, and how long the store's refusal holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// What is held at most; zero where that would be less than one request, and each is asked for.
    size_max: u32,
    /// Between two asks for a key that has nothing left, at least.
    pause: Duration,
}

/// What a lease says to one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// It passes; what is left, and until the bucket is full.
    Passes { remaining: u32, reset: Duration },
    /// It does not, and would after so long.
    Refuses { retry_after: Duration, reset: Duration },
    /// The store has to say.
    Lacks,
}

impl Terms {
    pub(super) fn new(settings: &weir_config::RateLimit) -> Self {
        let burst = settings.burst.get();
        let size_max = ((settings.qps * SPAN.as_secs_f64()) as u32).min(burst / BURST_SHARE);
        let interval = Duration::from_nanos(Quota::interval(settings.qps));
        let pause = interval.saturating_mul((size_max / PAUSE_SHARE).max(1));
        Self { size_max, pause: pause.min(REMEMBERED) }
    }
}

impl<W> Lease<W> {
    /// A key that has not been seen lately.
    pub(super) fn new(now: Time) -> Self {
        Self {
            held: 0,
            until: now,
            size: 0,
            asked: now,
            used: 0,
            granted: 0,
            receipt: StoreReceipt::default(),
            empty_until: now,
            fits_at: now,
            beyond: 0,
            full_at: now,
            asking: false,
            waiting: Vec::new(),
        }
    }

    /// Lets one request pass, if it can say so by itself.
    pub(super) fn take(&mut self, now: Time) -> Answer {
        let answer = self.standing(now);
        if let Answer::Passes { .. } = answer {
            self.held -= 1;
            self.used = self.used.saturating_add(1);
        }
        answer
    }

    /// What the next request is told, which is not counted yet.
    pub(super) fn standing(&self, now: Time) -> Answer {
        let reset = self.full_at.since(now);
        if self.held > 0 && now < self.until {
            let remaining = (self.held - 1).saturating_add(self.beyond);
            Answer::Passes { remaining, reset }
        } else if now < self.empty_until {
            let retry_after = self.fits_at.max(self.empty_until).since(now);
            Answer::Refuses { retry_after, reset: reset.max(retry_after) }
        } else {
            Answer::Lacks
        }
    }

    /// Takes back what was taken in this instant.
    pub(super) fn untake(&mut self) {
        self.held = self.held.saturating_add(1);
        self.used = self.used.saturating_sub(1);
    }

    /// Takes back what was taken at `taken`, where that is not too long ago: a bucket that has been full
    /// since would have run over.
    pub(super) fn refund(&mut self, taken: Time, now: Time) {
        if now >= self.until {
            self.held = 0;
            self.granted = 0;
            self.until = taken + HELD;
        }
        if now < self.until {
            self.untake();
        }
    }

    /// Whether it is time to ask although something is held.
    pub(super) fn runs_low(&self, now: Time) -> bool {
        let low = self.size / LOW_SHARE;
        low > 0 && self.held <= low && !self.is_asking(now) && now >= self.empty_until
    }

    /// What to ask the store: for those who `wait`, and for those who are to come. `None` when that is
    /// being asked already.
    pub(super) fn ask(&mut self, key: u128, wait: u32, terms: &Terms, now: Time) -> Option<Ask> {
        if self.is_asking(now) {
            return None;
        }
        self.resize(terms, now);
        let back = self.stale(now);
        let ahead = self.size.saturating_sub(self.held);
        let want = wait.saturating_add(ahead).max(1);
        self.asking = true;
        self.asked = now;
        self.used = 0;
        Some(Ask { key, want, back, receipt: self.receipt })
    }

    /// As many as the key used lately in a [`SPAN`]; no more than twice as many as before, since a few
    /// requests close to each other say little.
    fn resize(&mut self, terms: &Terms, now: Time) {
        let elapsed = nanos(now.since(self.asked)).max(1);
        let expected = u128::from(self.used) * SPAN.as_nanos() / u128::from(elapsed);
        let expected = u32::try_from(expected).unwrap_or(u32::MAX);
        let twice = self.size.max(1).saturating_mul(2);
        self.size = expected.min(twice).min(terms.size_max);
    }

    /// What is held too long to let anything pass, and can be handed back; it is held no more. Only the
    /// last debit can be: of the ones before, the store would not know whether its bucket has been full
    /// since.
    fn stale(&mut self, now: Time) -> u32 {
        if now < self.until {
            return 0;
        }
        std::mem::take(&mut self.held).min(std::mem::take(&mut self.granted))
    }

    /// Hands back what nobody has used, where that is not done with an ask.
    pub(super) fn hand_back(&mut self, key: u128, now: Time) -> Option<Ask> {
        if self.is_asking(now) || self.held == 0 {
            return None;
        }
        let back = self.stale(now);
        (back > 0).then_some(Ask { key, want: 0, back, receipt: self.receipt })
    }

    /// Whether there is nothing in it that a new one would not have.
    pub(super) fn is_forgettable(&self, now: Time) -> bool {
        !self.is_asking(now)
            && self.held == 0
            && now >= self.empty_until
            && now >= self.asked + FORGOTTEN
    }

    /// Whether the store's word is still to come. Whoever was to bring it may have gone without.
    fn is_asking(&self, now: Time) -> bool {
        self.asking && now < self.asked + OVERDUE
    }

    pub(super) fn wait(&mut self, waker: W) {
        self.waiting.push(waker);
    }

    /// What the store has said to `ask`, or that it said nothing: who is to be woken, and what to ask
    /// for those who go on waiting.
    pub(super) fn answered(
        &mut self,
        ask: &Ask,
        grant: Option<&Grant>,
        terms: &Terms,
        now: Time,
    ) -> Answered<W> {
        self.asking = false;
        let Some(grant) = grant else {
            return Answered { wake: std::mem::take(&mut self.waiting), ask: None };
        };
        if now >= self.until {
            self.held = 0;
        }
        self.held = self.held.saturating_add(grant.granted);
        self.until = now + HELD;
        self.granted = grant.granted;
        self.receipt = grant.receipt;
        self.beyond = grant.remaining;
        self.full_at = now + grant.reset;
        if grant.granted < ask.want {
            self.fits_at = now + grant.next;
            self.empty_until = now + grant.next.max(terms.pause).min(REMEMBERED);
            return Answered { wake: std::mem::take(&mut self.waiting), ask: None };
        }
        let pass = self.waiting.len().min(self.held as usize);
        let wake = self.waiting.drain(..pass).collect();
        let wait = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let ask = if wait > 0 { self.ask(ask.key, wait, terms, now) } else { None };
        Answered { wake, ask }
    }
}

/// What a lease is to last for.
const SPAN: Duration = Duration::from_millis(100);

/// No sidecar holds more than one part in so many of a burst, or others would go without.
const BURST_SHARE: u32 = 4;

/// With one part in so many of it left, a lease is asked for anew.
const LOW_SHARE: u32 = 4;

/// A key that has nothing left is asked for again when one part in so many of a lease may be there.
const PAUSE_SHARE: u32 = 8;

/// The longest that the store's refusal is believed without asking: others may hand back.
const REMEMBERED: Duration = SPAN;

/// How long a debit lets requests pass. Longer than a lease is meant to last, and short, because it is
/// what the others cannot use.
pub(super) const HELD: Duration = Duration::from_millis(250);

/// No request waits nearly so long for the store.
const OVERDUE: Duration = Duration::from_secs(2);

/// How long a key is remembered that nobody comes with.
const FORGOTTEN: Duration = Duration::from_secs(1);
