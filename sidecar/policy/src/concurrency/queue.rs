//! Those that wait for a permit: by class, and within a class in the order they came.
//!
//! Where there is no room, a place is taken over from whoever should have it least: of the lowest class
//! below the newcomer's, else of the client that has had the most, if that is clearly more than the
//! newcomer's had ([`Usage`]). So an important request is not shut out by a crowd of others, nor a
//! quiet client by a noisy one, and both by one rule: who is there already is asked to leave only for
//! somebody better.

use std::collections::{HashSet, VecDeque};

use weir_config::Priority;

use super::usage::Usage;
use crate::Time;

/// In whose name a request asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Its class.
    pub priority: Priority,
    /// The keyed hash of the client; clients with the same are one.
    pub client: u64,
}

/// A place in the queue: what a waiter needs to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    priority: Priority,
    number: u64,
}

/// The queue. `W` is what wakes a waiter.
pub(super) struct Queue<W> {
    /// By class, each with the longest waiter first.
    waiters: [VecDeque<Waiter<W>>; Priority::ALL.len()],
    /// Whose place was taken over and who have not left yet.
    pushed_out: HashSet<u64>,
    next: u64,
    usage: Usage,
}

pub(super) struct Waiter<W> {
    number: u64,
    client: u64,
    pub(super) since: Time,
    pub(super) waker: W,
}

/// Which of a class goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The longest waiter.
    OldestFirst,
    /// The one that came last: in a queue that does not empty any more, it alone is still in time.
    NewestFirst,
}

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self {
            waiters: Default::default(),
            pushed_out: HashSet::new(),
            next: 0,
            usage: Usage::default(),
        }
    }

    pub(super) fn push(&mut self, claim: Claim, waker: W, since: Time) -> Place {
        let place = Place { priority: claim.priority, number: self.next };
        self.next += 1;
        self.usage.took_a_place(claim.client);
        let waiter = Waiter { number: place.number, client: claim.client, since, waker };
        self.waiters[claim.priority as usize].push_back(waiter);
        place
    }

    /// Takes the next one out: of the highest class, in the order that `order` has for it.
    pub(super) fn pop(&mut self, order: impl Fn(Priority) -> Order) -> Option<Waiter<W>> {
        let priority = Priority::ALL.into_iter().rfind(|class| !self.of(*class).is_empty())?;
        let waiters = &mut self.waiters[priority as usize];
        match order(priority) {
            Order::OldestFirst => waiters.pop_front(),
            Order::NewestFirst => waiters.pop_back(),
        }
    }

    /// Takes a waiter out to whom `claim` is preferred, if there is one.
    pub(super) fn push_out(&mut self, claim: Claim) -> Option<Waiter<W>> {
        let lower = Priority::ALL.into_iter().take_while(|class| *class < claim.priority);
        let lower = lower.into_iter().find(|class| !self.of(*class).is_empty());
        let (priority, index) = match lower {
            Some(class) => (class, self.of(class).len() - 1),
            None => (claim.priority, self.greediest(claim)?),
        };
        let waiter = self.waiters[priority as usize].remove(index)?;
        self.usage.lost_a_place(waiter.client);
        self.pushed_out.insert(waiter.number);
        Some(waiter)
    }

    /// A waiter leaves; whether it was still waiting, or else has nothing to give back either.
    pub(super) fn leave(&mut self, place: Place) -> Left {
        if self.pushed_out.remove(&place.number) {
            return Left::PushedOut;
        }
        let waiters = &mut self.waiters[place.priority as usize];
        let found = waiters.binary_search_by_key(&place.number, |waiter| waiter.number);
        match found.ok().and_then(|index| waiters.remove(index)) {
            Some(_) => Left::Waiting,
            None => Left::Granted,
        }
    }

    /// Waiters that a newcomer of that class would come after.
    pub(super) fn ahead_of(&self, priority: Priority) -> usize {
        self.waiters[priority as usize..].iter().map(VecDeque::len).sum()
    }

    fn of(&self, priority: Priority) -> &VecDeque<Waiter<W>> {
        &self.waiters[priority as usize]
    }

    /// The newest waiter of the client that has had the most, among the newest of the claim's class,
    /// if it had clearly more than the claim's own client.
    fn greediest(&self, claim: Claim) -> Option<usize> {
        let waiters = self.of(claim.priority);
        let newest = waiters.iter().enumerate().rev().take(LOOKED_AT);
        let (index, had) = newest
            .map(|(index, waiter)| (index, self.usage.of(waiter.client)))
            // Of equals the first one looked at, which is the newest.
            .reduce(|most, other| if other.1 > most.1 { other } else { most })?;
        self.usage.is_clearly_less(claim.client, had).then_some(index)
    }
}

/// How many waiters are compared when a place is sought for a newcomer. In a longer queue the noisy
/// client is among these as surely as anywhere.
const LOOKED_AT: usize = 64;

/// How a waiter left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It gave up.
    Waiting,
    /// Its place had gone to another.
    PushedOut,
    /// It has been granted a permit.
    Granted,
}
