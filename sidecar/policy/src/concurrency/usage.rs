//! How many places in the queue each client has had lately.
//!
//! Clients are counted in a table of fixed size by their hash; all counts are halved once as many
//! places have been taken as the table has counters. So it has a bound and forgets, without a clock
//! and without a list of clients. Two clients that fall on one counter are taken for one; with a
//! thousand counters a quiet client has that bad luck with one noisy one in a thousand.

/// Counts by client.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Empty until the first place is taken.
    counts: Vec<u16>,
    taken: usize,
}

impl Usage {
    pub(super) fn took_a_place(&mut self, client: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; COUNTERS];
        }
        self.taken += 1;
        if self.taken == COUNTERS {
            self.taken = 0;
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
        let count = &mut self.counts[index(client)];
        *count = count.saturating_add(1);
    }

    /// The place that was counted last has gone to another client.
    pub(super) fn lost_a_place(&mut self, client: u64) {
        if let Some(count) = self.counts.get_mut(index(client)) {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn of(&self, client: u64) -> u16 {
        self.counts.get(index(client)).copied().unwrap_or(0)
    }

    /// Whether a client has had less than `other`, by more than chance makes of equal ones.
    pub(super) fn is_clearly_less(&self, client: u64, other: u16) -> bool {
        let own = u32::from(self.of(client));
        u32::from(other) > own + own / 4 + CHANCE
    }
}

/// A power of two: 2 KiB.
const COUNTERS: usize = 1024;

/// Places that a client may have had more than another by chance, when both have had few.
const CHANCE: u32 = 8;

fn index(client: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash")]
    let low = client as usize;
    low % COUNTERS
}
