//! How long a client may take.
//!
//! Each phase of a connection has one deadline, set when the phase begins: a client that sends or
//! takes a byte now and then moves none of them. So a place among the connections comes free again
//! whatever its client does. hyper's own timeout covers the header alone, and counts an idle
//! connection as a slow one.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The rest of a request; on a new connection, its beginning too.
    Request,
    /// The client, to take the answer.
    Answer,
    /// The next request.
    Next,
}

impl Phase {
    const fn limit(self) -> Duration {
        match self {
            Self::Request => Duration::from_secs(10),
            Self::Answer => Duration::from_secs(30),
            Self::Next => Duration::from_secs(60),
        }
    }
}

/// A connection that fails with [`io::ErrorKind::TimedOut`] when its client takes too long.
#[derive(Debug)]
pub(super) struct Patient<T> {
    inner: T,
    phase: Phase,
    deadline: Pin<Box<Sleep>>,
}

impl<T> Patient<T> {
    /// To be made on a runtime.
    pub(super) fn new(inner: T) -> Self {
        let phase = Phase::Request;
        Self { inner, phase, deadline: Box::pin(sleep(phase.limit())) }
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.deadline.as_mut().reset(Instant::now() + phase.limit());
        }
    }

    /// What came of the inner one, unless it is pending and out of time.
    fn in_time<O>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<O>>,
    ) -> Poll<io::Result<O>> {
        if polled.is_pending() && self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if self.phase == Phase::Next && buffer.filled().len() > before {
            self.enter(Phase::Request);
        }
        self.in_time(context, polled)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.enter(Phase::Answer);
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.in_time(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        if polled.is_ready() && self.phase == Phase::Answer {
            self.enter(Phase::Next);
        }
        self.in_time(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.in_time(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_does_not_move_the_deadline_of_a_request() {
        let (mut client, server) = duplex(64);
        let mut server = Patient::new(server);
        let began = Instant::now();
        tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut all = Vec::new();
        assert_eq!(kind(server.read_to_end(&mut all).await), Some(io::ErrorKind::TimedOut));
        assert_eq!(began.elapsed().as_secs(), Phase::Request.limit().as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_given_up() {
        let (_client, server) = duplex(16);
        let mut server = Patient::new(server);
        let began = Instant::now();
        assert_eq!(kind(server.write_all(&[0; 64]).await), Some(io::ErrorKind::TimedOut));
        assert_eq!(began.elapsed().as_secs(), Phase::Answer.limit().as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_requests_a_client_has_longer() {
        let (mut client, server) = duplex(64);
        let mut server = Patient::new(server);
        let mut byte = [0];
        for _ in 0..2 {
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut byte).await.unwrap();
            server.write_all(b"y").await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut byte).await.unwrap();
            sleep(Duration::from_secs(50)).await;
        }
        assert_eq!(kind(server.read_exact(&mut byte).await), Some(io::ErrorKind::TimedOut));
    }
}
