//! An answer that drips, because a fault was injected.
//!
//! What came of the body is held, and given in pieces as they are due; meanwhile the upstream is not
//! listened to. So what is held is one piece of the upstream's, and a slow client is what the upstream
//! would see.

use bytes::Bytes;
use weir_policy::{Drip, Time};

use super::{Answer, Pump};
use crate::{clock, observe::ledger::FaultKind, proxy::stop::Stop};

/// A piece of the answer's body on its way to a drip.
pub(super) struct Dripping {
    pace: Drip,
    held: Bytes,
    /// Whether the body ends with it.
    last: bool,
}

impl Pump<'_> {
    /// When the next drop is due, where something is held and can be given.
    pub(super) fn next_drop(&self) -> Option<Time> {
        let dripping = self.dripping.as_ref()?;
        (self.drips() && self.to_client.is_clear()).then(|| dripping.pace.next())
    }

    /// Whether something is held.
    pub(super) fn drips(&self) -> bool {
        self.answer == Answer::Begun && self.dripping.as_ref().is_some_and(|it| !it.held.is_empty())
    }

    /// Holds a piece of the body if the answer drips; gives it back if not, or if there is nothing to hold.
    pub(super) fn hold(&mut self, body: Bytes, last: bool) -> Option<Bytes> {
        let Some(rate) = self.exchange.drips.filter(|_| !body.is_empty()) else {
            return Some(body);
        };
        let (route, page) = (self.route, self.exchange.worker.page());
        let dripping = self.dripping.get_or_insert_with(|| {
            page.inject(&route.row, FaultKind::Drip);
            Dripping { pace: Drip::new(rate, clock::now()), held: Bytes::new(), last: false }
        });
        (dripping.held, dripping.last) = (body, last);
        None
    }

    /// Gives the client what is due.
    pub(super) async fn give_drop(&mut self) -> Result<(), Stop> {
        let now = clock::now();
        let Some(dripping) = &mut self.dripping else { return Ok(()) };
        let due = dripping.pace.take(now).min(dripping.held.len());
        if due == 0 {
            return Ok(());
        }
        let drop = dripping.held.split_to(due);
        let last = dripping.last && dripping.held.is_empty();
        // The upstream was not listened to meanwhile.
        self.upstream_at = now;
        self.give(drop, last).await?;
        self.to_client.note_progress(now);
        Ok(())
    }
}
