//! Where pieces of a body leave: at most one is on its way, and no write waits for it.

use std::{
    future::{pending, poll_fn},
    mem,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use weir_policy::Time;

use crate::proxy::backlog::Backlog;

/// One direction's way out, and since when its other side has taken nothing.
pub(super) struct Outlet {
    way: Way,
    /// What was on its way when it was last looked at, in bytes.
    owed: usize,
    /// When the other side was last given something, or took something.
    pub(super) at: Time,
}

enum Way {
    /// What the stream of an h1 session has not sent; who polls that stream sends it.
    H1(Backlog),
    H2(Window),
    /// Not there yet, or no more.
    Closed,
}

/// The other side takes no more.
#[derive(Debug)]
pub(super) struct Shut;

impl Outlet {
    pub(super) fn h1(backlog: Backlog, now: Time) -> Self {
        Self { way: Way::H1(backlog), owed: 0, at: now }
    }

    /// `None` where there is no stream to send on yet.
    pub(super) fn h2(stream: Option<SendStream<Bytes>>, now: Time) -> Self {
        let window = |stream| Way::H2(Window { stream, held: Bytes::new(), end: End::Open });
        Self { way: stream.map_or(Way::Closed, window), owed: 0, at: now }
    }

    /// Whether the next piece can be given.
    pub(super) fn is_clear(&self) -> bool {
        match &self.way {
            Way::H1(backlog) => backlog.is_empty(),
            Way::H2(window) => window.is_clear(),
            Way::Closed => true,
        }
    }

    /// Whether the last piece has gone since it was last looked at.
    pub(super) fn has_cleared(&self) -> bool {
        self.owed > 0 && self.is_clear()
    }

    pub(super) fn window(&mut self) -> Option<&mut Window> {
        match &mut self.way {
            Way::H2(window) => Some(window),
            _ => None,
        }
    }

    pub(super) fn close(&mut self) {
        self.way = Way::Closed;
    }

    /// Waits until some of what is on its way has been taken, or the other side is [`Shut`]. On h1 the
    /// session's stream must be polled before this, in the same turn of the task: that is what sends.
    pub(super) fn moved(&mut self) -> impl Future<Output = Result<(), Shut>> {
        // Asked now and not at the first poll, when that stream may have sent it all already.
        let owes = !self.is_clear();
        async move {
            match &mut self.way {
                Way::H1(backlog) if owes => {
                    backlog.sent().await;
                    Ok(())
                }
                Way::H2(window) => poll_fn(|cx| window.poll_moved(cx)).await,
                Way::H1(_) | Way::Closed => pending().await,
            }
        }
    }

    /// Something was given, or may have been taken.
    pub(super) fn note_progress(&mut self, now: Time) {
        let owed = match &self.way {
            Way::H1(backlog) => backlog.len(),
            Way::H2(window) => window.held.len(),
            Way::Closed => 0,
        };
        if mem::replace(&mut self.owed, owed) != owed {
            self.at = now;
        }
    }
}

/// The sending half of an h2 stream, and what waits for room in its window.
pub(super) struct Window {
    stream: SendStream<Bytes>,
    held: Bytes,
    end: End,
}

/// What comes after the last byte held.
enum End {
    Open,
    Stream,
    Trailers(Box<HeaderMap>),
    Sent,
}

impl Window {
    /// Takes a piece; the one before must be gone.
    pub(super) fn give(&mut self, piece: Bytes, last: bool) {
        if last {
            self.end = End::Stream;
        }
        if !piece.is_empty() {
            self.stream.reserve_capacity(piece.len());
            self.held = piece;
        }
    }

    pub(super) fn give_trailers(&mut self, trailers: Box<HeaderMap>) {
        self.end = End::Trailers(trailers);
    }

    fn is_clear(&self) -> bool {
        self.held.is_empty() && matches!(self.end, End::Open | End::Sent)
    }

    fn poll_moved(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Shut>> {
        if self.is_clear() {
            // Whoever resets the stream takes no more, although nothing waits for it.
            return self.stream.poll_reset(cx).map(|_| Err(Shut));
        }
        if self.held.is_empty() {
            let sent = match mem::replace(&mut self.end, End::Sent) {
                End::Trailers(trailers) => self.stream.send_trailers(*trailers),
                _ => self.stream.send_data(Bytes::new(), true),
            };
            return Poll::Ready(sent.map_err(|_| Shut));
        }
        let room = match self.stream.capacity() {
            0 => match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return Poll::Ready(Err(Shut)),
            },
            room => room,
        };
        let now = self.held.split_to(room.min(self.held.len()));
        let last = self.held.is_empty() && matches!(self.end, End::Stream);
        if last {
            self.end = End::Sent;
        }
        Poll::Ready(self.stream.send_data(now, last).map_err(|_| Shut))
    }
}
