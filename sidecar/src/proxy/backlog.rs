//! Bytes that a stream has taken and its socket has not.
//!
//! Pingora's h1 session borrows its stream whole for a write, so that while a write waits nothing can
//! be read, and two sides that both wait to be read would stand still with us. So writes to either
//! side do not wait here: what the socket does not take at once is kept, and sent by whoever polls the
//! stream next. The pump takes no more from the one side until the backlog to the other is gone, which
//! bounds it to a piece of a body.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, ready},
};

/// Above this a write waits after all; a piece of a body is at most 64 KiB, and a header 1 MiB (Pingora's
/// bound).
pub(super) const BACKLOG_MAX: usize = 2 * 1024 * 1024;

/// How much there is, for who does not hold the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    unsent: AtomicUsize,
    sent: AtomicU64,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.unsent.load(Relaxed)
    }

    pub(super) fn set(&self, bytes: usize) {
        self.0.unsent.store(bytes, Relaxed);
    }

    /// Bytes sent so far.
    pub(super) fn total(&self) -> u64 {
        self.0.sent.load(Relaxed)
    }

    pub(super) fn count(&self, sent: usize) {
        self.0.sent.fetch_add(sent as u64, Relaxed);
    }

    /// Ready when all has been sent, for a task that has just polled the stream: the socket wakes it,
    /// and its next poll of the stream sends.
    pub(super) async fn sent(&self) {
        poll_fn(|_| if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// Bytes in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    bytes: Vec<u8>,
    /// How many of them have been sent.
    sent: usize,
}

impl Taken {
    pub(super) fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Memory grows with what is unsent, however long some of it always is.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.sent > self.unsent() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// What has not been sent.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Counts bytes that were sent; gives back how many of them are not ours but what came behind.
    pub(super) fn advance(&mut self, sent: usize) -> usize {
        let ours = sent.min(self.unsent());
        self.sent += ours;
        if self.unsent() == 0 {
            *self = Self::default();
        }
        sent - ours
    }

    /// Sends until nothing is left, or `write` has no room or fails. Memory is given back at the end.
    pub(super) fn poll_send(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            match ready!(write(self.rest()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.advance(sent),
            };
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_forgotten_though_something_always_waits() {
        let mut taken = Taken::default();
        for _ in 0..1000 {
            taken.push(&[0; 100]);
            taken.push(&[0; 100]);
            taken.advance(taken.unsent() - 50);
        }
        assert_eq!(taken.unsent(), 50);
        assert!(taken.bytes.len() < 1000);
    }
}
