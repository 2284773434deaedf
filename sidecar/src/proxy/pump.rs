//! Body up, answer down, until both are done or one side is out of time.
//!
//! One task owns both sessions and waits for all that can happen at once: the upstream's next piece,
//! the client's next piece (or its leaving), room for what is on its way to either, and the nearest
//! deadline. Each direction has at most one piece on its way, and while it has, its source is not
//! read, so nothing is buffered but what the sockets hold; the other direction goes on. There is one
//! timer: it is set to the nearest deadline and asked again when it fires, so that progress costs a
//! clock reading and no timer operation.

mod answer;
mod down;
mod drip;
mod due;
mod outlet;
mod up;

use std::{future::pending, io, pin::Pin, time::Duration};

use bytes::Bytes;
use pingora::{
    ErrorType::{Custom, WriteTimedout},
    protocols::http::{HttpTask, ServerSession},
};
use tokio::time::{Sleep, sleep_until};
use weir_policy::Time;

use self::{answer::next, drip::Dripping, outlet::Outlet};
pub(super) use self::{answer::upstream_stop, up::body_too_large};
use super::{
    chunks::Malformed,
    client,
    connections::UpstreamSession,
    exchange::{Exchange, Verdict},
    refuse::Refusal,
    stop::Stop,
    write_behind,
};
use crate::{clock, plan::Route, reason::Reason};

/// A request and its answer in motion.
pub(super) struct Pump<'a> {
    exchange: &'a mut Exchange,
    session: &'a mut ServerSession,
    route: &'a Route,
    upstream: &'a mut UpstreamSession,
    to_upstream: Outlet,
    to_client: Outlet,
    upload: Upload,
    uploaded: u64,
    answer: Answer,
    /// The answer that has come is not passed on; the request is tried again after this time.
    again: Option<Duration>,
    informational: u32,
    /// What of the answer drips, because of a fault that was injected.
    dripping: Option<Dripping>,
    /// When the client last said something, or could.
    client_at: Time,
    /// When the upstream last said something, or could.
    upstream_at: Time,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; what is due later finds out then.
    armed: Time,
}

/// How far the request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    Open,
    /// All of it is given to the outlet.
    Done,
    /// The upstream takes no more; its answer is awaited, and the rest stays with the client.
    Abandoned,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    /// Its header is given to the client.
    Begun,
    /// All of it is.
    Whole,
}

/// How a pump ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client has all of the answer.
    Answered {
        /// The upstream had the whole request before its answer was complete, so its connection can go on.
        request_complete: bool,
    },
    /// The answer is none that the client should have: the request is tried again after this time.
    Again(Duration),
}

impl<'a> Pump<'a> {
    /// `upstream` has been sent the request's header already.
    pub(super) fn new(
        exchange: &'a mut Exchange,
        session: &'a mut ServerSession,
        route: &'a Route,
        upstream: &'a mut UpstreamSession,
    ) -> Self {
        let now = clock::now();
        let to_upstream = match upstream {
            UpstreamSession::H1(stream) => Outlet::h1(write_behind::backlog(stream), now),
            UpstreamSession::H2(stream) => Outlet::h2(stream.take_request_body_writer(), now),
            UpstreamSession::Custom(()) => Outlet::h2(None, now),
        };
        let to_client = match session {
            ServerSession::H1(session) => Outlet::h1(client::backlog(session), now),
            _ => Outlet::h2(None, now),
        };
        let all_up = session.is_body_done() && !exchange.replay.is_due();
        let upload = if all_up { Upload::Done } else { Upload::Open };
        let armed = exchange.deadline.at;
        Self {
            exchange,
            session,
            route,
            upstream,
            to_upstream,
            to_client,
            upload,
            uploaded: 0,
            answer: Answer::Awaited,
            again: None,
            informational: 0,
            dripping: None,
            client_at: now,
            upstream_at: now,
            timer: Box::pin(sleep_until(clock::instant(armed))),
            armed,
        }
    }

    /// Runs until the answer has been passed on whole.
    pub(super) async fn run(mut self) -> Result<Ended, Stop> {
        self.continue_for_h2().await?;
        loop {
            // Whoever polls for the next piece sends the last one: both may happen in one turn.
            if self.to_upstream.has_cleared() {
                self.upstream_took(Ok(()));
            }
            if self.to_client.has_cleared() {
                self.client_took(Ok(()))?;
            }
            if let Some(pause) = self.again {
                return Ok(Ended::Again(pause));
            }
            let client_has_all = self.to_client.is_clear();
            if client_has_all && self.answer == Answer::Whole {
                return Ok(self.answered());
            }
            self.set_timer();
            let listening = client_has_all && self.answer != Answer::Whole && !self.drips();
            let reading = self.upload == Upload::Open && self.to_upstream.is_clear();
            if reading && let Some(body) = self.exchange.replay.take() {
                let last = self.session.is_body_done();
                self.give_up(body, last).await;
                continue;
            }
            tokio::select! {
                biased;
                task = from_upstream(self.upstream, listening) => {
                    self.down(task.map_err(|error| upstream_stop(&error))?).await?;
                }
                moved = self.to_upstream.moved(), if !self.to_upstream.is_clear() => {
                    self.upstream_took(moved);
                }
                body = from_client(self.session, reading) => match body? {
                    None if self.upgraded() => return self.hung_up(),
                    body => self.up(body).await?,
                },
                moved = self.to_client.moved() => self.client_took(moved)?,
                () = &mut self.timer => self.tick().await?,
            }
        }
    }

    fn answered(&self) -> Ended {
        let complete = self.upload == Upload::Done && self.to_upstream.is_clear();
        Ended::Answered { request_complete: complete }
    }

    /// The client's end of an upgraded connection is the end of it, whatever it has not taken.
    fn hung_up(&mut self) -> Result<Ended, Stop> {
        self.exchange.upstream_done(Verdict::Nothing);
        if self.to_client.is_clear() {
            Ok(Ended::Answered { request_complete: true })
        } else {
            Err(Stop::Gone(Reason::ClientCancel))
        }
    }

    fn upgraded(&self) -> bool {
        self.session.as_http1().is_some_and(|session| session.was_upgraded())
    }

    /// Either side is always ahead of us, and never lets the timer speak: then it is asked here.
    fn check_total(&self, now: Time) -> Result<(), Stop> {
        if self.exchange.ends_by().is_some_and(|at| now >= at) {
            return Err(self.overdue(due::Due::Total));
        }
        Ok(())
    }
}

/// The upstream's next piece; while it is not `listening`, it is only sent what it is owed.
async fn from_upstream(
    upstream: &mut UpstreamSession,
    listening: bool,
) -> pingora::Result<HttpTask> {
    if listening {
        return next(upstream).await;
    }
    if let UpstreamSession::H1(session) = upstream
        && let Some(stream) = write_behind::stream_of(session)
    {
        stream.send().await;
    }
    pending().await
}

/// The client's next piece, `None` at its end; an error when it has left, also while it is not
/// read. It is sent what it is owed either way.
async fn from_client(session: &mut ServerSession, reading: bool) -> Result<Option<Bytes>, Stop> {
    if reading {
        return session.read_body_or_idle(false).await.map_err(|error| client_failed(&error));
    }
    client::left(session).await;
    Err(Stop::Gone(Reason::ClientCancel))
}

/// What an error on the client's side means.
fn client_failed(error: &pingora::Error) -> Stop {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    let malformed = cause.and_then(|cause| cause.get_ref()?.downcast_ref());
    if let Some(Malformed(what)) = malformed {
        return Stop::Refused(Refusal::new(Reason::BadRequest, *what));
    }
    match error.etype() {
        WriteTimedout => Stop::Gone(Reason::ClientSlow),
        // What Pingora's reader finds where ours has not; it names these alone so (v1/body.rs).
        Custom("InvalidChunk" | "InvalidTrailerEnd") => {
            Stop::Refused(Refusal::new(Reason::BadRequest, "the chunks of the body are malformed"))
        }
        _ => Stop::Gone(Reason::ClientCancel),
    }
}
