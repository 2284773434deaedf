//! The beginning of a body, kept until the request cannot be tried again any more.
//!
//! What is sent once is gone from the client's connection, so a request that is tried again has to be
//! sent from here first. Only so much is kept; a body that is longer is not repeated at all, because a
//! part of a body is another request.

use bytes::{Bytes, BytesMut};

/// What is kept of a body.
const KEPT: usize = 64 * 1024;

/// A body's beginning.
#[derive(Debug, Default)]
pub(super) struct Replay {
    kept: Kept,
    /// Some of the body has gone up, or its end.
    begun: bool,
    /// It has to be sent again before anything else.
    due: bool,
}

#[derive(Debug, Default)]
enum Kept {
    /// Nobody will want it.
    #[default]
    Nothing,
    /// All that has gone up.
    All(BytesMut),
    /// More has gone up than is kept.
    TooLittle,
}

impl Replay {
    /// Keeps what goes up from here on.
    pub(super) fn begin(&mut self) {
        self.kept = Kept::All(BytesMut::new());
    }

    /// A piece goes up for the first time; the last one may be empty.
    pub(super) fn keep(&mut self, piece: &[u8]) {
        self.begun = true;
        let Kept::All(kept) = &mut self.kept else { return };
        if kept.len() + piece.len() > KEPT {
            self.kept = Kept::TooLittle;
            return;
        }
        kept.extend_from_slice(piece);
    }

    /// Whether all that has gone up can be sent again.
    pub(super) fn is_whole(&self) -> bool {
        !self.begun || matches!(self.kept, Kept::All(_))
    }

    /// The request goes up again, from its first byte.
    pub(super) fn rewind(&mut self) {
        self.due = self.begun && self.is_whole();
    }

    /// Whether something has to be sent again.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// What has to be sent again, once for each time.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let due = std::mem::take(&mut self.due);
        match &self.kept {
            Kept::All(kept) if due => Some(Bytes::copy_from_slice(kept)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_sent_again_as_it_was_as_often_as_it_takes() {
        let mut replay = Replay::default();
        replay.begin();
        replay.rewind();
        assert!(replay.is_whole() && !replay.is_due(), "nothing has gone up");
        replay.keep(b"half ");
        replay.rewind();
        assert_eq!(replay.take().as_deref(), Some(&b"half "[..]));
        assert_eq!(replay.take(), None, "once");
        replay.keep(b"and half");
        replay.rewind();
        assert!(replay.is_due());
        assert_eq!(replay.take().as_deref(), Some(&b"half and half"[..]));
    }

    #[test]
    fn an_empty_body_has_an_end_to_be_sent_again() {
        let mut replay = Replay::default();
        replay.begin();
        replay.keep(b"");
        replay.rewind();
        assert_eq!(replay.take().as_deref(), Some(&b""[..]));
    }

    #[test]
    fn what_nobody_wanted_is_not_there() {
        let mut replay = Replay::default();
        replay.keep(b"gone");
        replay.rewind();
        assert!(!replay.is_whole() && !replay.is_due());
    }

    #[test]
    fn a_body_that_is_too_long_is_not_sent_again_at_all() {
        let mut replay = Replay::default();
        replay.begin();
        replay.keep(&[b'x'; KEPT]);
        assert!(replay.is_whole());
        replay.keep(b"y");
        replay.rewind();
        assert!(!replay.is_whole() && !replay.is_due());
        assert_eq!(replay.take(), None);
    }
}
