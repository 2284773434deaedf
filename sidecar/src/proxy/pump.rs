//! Body up, answer down, until one side is done or out of time.
//!
//! One task owns both sessions and waits for four things at once: the upstream's next piece, the
//! client's next piece (or its leaving), room in an h2 upstream's window, and the nearest deadline.
//! There is one timer: it is set to the nearest deadline and asked again when it fires, so that
//! progress costs a clock reading and no timer operation.
//!
//! A piece is written before the next one is read, so nothing is buffered but what the sockets hold.
//! While a client takes its time the upstream is not read, and its clocks stand still.

mod answer;
mod due;

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
};

use bytes::Bytes;
use h2::SendStream;
use http::{HeaderMap, Method, StatusCode};
use pingora::{
    ErrorType::{Custom, WriteTimedout},
    http::ResponseHeader,
    protocols::http::{HttpTask, ServerSession, v1::client::HttpSession as H1Session},
};
use tokio::time::{Sleep, sleep_until};
use weir_policy::Time;

pub(super) use self::answer::upstream_stop;
use self::{
    answer::{judge, next},
    due::Due,
};
use super::{
    chunks::Malformed,
    exchange::{Exchange, Verdict},
    forward,
    refuse::{self, Refusal},
    way::Stop,
    write_behind::{Backlog, WriteBehind},
};
use crate::{clock, plan::Route, reason::Reason};

pub(super) type UpstreamSession = pingora::protocols::http::client::HttpSession<()>;

/// How many 1xx answers an upstream may send before its answer.
const INFORMATIONAL_MAX: u32 = 16;

/// A request and its answer in motion.
pub(super) struct Pump<'a> {
    exchange: &'a mut Exchange,
    session: &'a mut ServerSession,
    route: &'a Route,
    upstream: &'a mut UpstreamSession,
    /// The sending half of an h2 stream, so that it waits for window while the answer is read.
    window: Option<SendStream<Bytes>>,
    /// What an h1 upstream has not taken yet.
    backlog: Backlog,
    upload: Upload,
    uploaded: u64,
    informational: u32,
    header_sent: bool,
    /// The answer is a stream: `total` has ended and `idle` counts both ways.
    streaming: bool,
    client_at: Time,
    upstream_at: Time,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; what is due later finds out then.
    armed: Time,
}

/// How far the request's body is.
#[derive(Debug)]
enum Upload {
    Open,
    /// Read from the client, waiting for the upstream's window.
    Held(Bytes),
    /// Written to an h1 upstream that has not taken all of it.
    Behind,
    Done,
    /// The upstream takes no more; its answer is awaited, and the rest stays with the client.
    Abandoned,
}

/// How a pump ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    /// The whole request was sent before the answer was complete, so both connections can go on.
    pub(super) request_complete: bool,
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
        let (window, backlog) = match upstream {
            UpstreamSession::H2(stream) => (stream.take_request_body_writer(), Backlog::default()),
            UpstreamSession::H1(stream) => (None, backlog_of(stream)),
            UpstreamSession::Custom(()) => (None, Backlog::default()),
        };
        let upload = if session.is_body_done() { Upload::Done } else { Upload::Open };
        let armed = exchange.deadline.at;
        Self {
            exchange,
            session,
            route,
            upstream,
            window,
            backlog,
            upload,
            uploaded: 0,
            informational: 0,
            header_sent: false,
            streaming: false,
            client_at: now,
            upstream_at: now,
            timer: Box::pin(sleep_until(clock::instant(armed))),
            armed,
        }
    }

    /// Runs until the answer has been passed on whole.
    pub(super) async fn run(mut self) -> Result<Finished, Stop> {
        self.set_timer();
        loop {
            let reading = matches!(self.upload, Upload::Open | Upload::Done);
            let no_more = matches!(self.upload, Upload::Done);
            let held = matches!(self.upload, Upload::Held(_));
            let behind = matches!(self.upload, Upload::Behind);
            tokio::select! {
                biased;
                task = next(self.upstream) => {
                    let task = task.map_err(|error| upstream_stop(&error))?;
                    if self.down(task).await? {
                        return Ok(Finished { request_complete: matches!(self.upload, Upload::Done) });
                    }
                }
                room = room(&mut self.window), if held => self.send_held(room),
                () = self.backlog.sent(), if behind => self.caught_up(),
                body = self.session.read_body_or_idle(no_more), if reading => {
                    let body = body.map_err(|error| client_failed(&error))?;
                    if self.up(body).await? {
                        return Ok(Finished { request_complete: true });
                    }
                }
                () = &mut self.timer => self.tick()?,
            }
        }
    }

    /// Passes a piece of the request on; `true` when that ends an upgraded connection.
    async fn up(&mut self, body: Option<Bytes>) -> Result<bool, Stop> {
        self.client_at = clock::now();
        if let Some(body) = body {
            self.uploaded += body.len() as u64;
            let limit = self.route.limits.body.get();
            if !self.streaming && !self.route.stream && self.uploaded > limit {
                return Err(Stop::Refused(body_too_large(limit)));
            }
            if self.window.is_some() {
                self.hold(body);
            } else if !body.is_empty() {
                self.write_up(body).await?;
            }
            if self.upgraded()
                || !matches!(self.upload, Upload::Open)
                || !self.session.is_body_done()
            {
                return Ok(false);
            }
        } else if self.upgraded() {
            self.exchange.upstream_done(Verdict::Nothing);
            return Ok(true);
        }
        self.end_upload().await?;
        Ok(false)
    }

    fn upgraded(&self) -> bool {
        self.session.as_http1().is_some_and(|session| session.was_upgraded())
    }

    async fn write_up(&mut self, body: Bytes) -> Result<(), Stop> {
        let idle = clock::now() + self.route.timeout.idle;
        let until = self.latest(idle);
        let UpstreamSession::H1(upstream) = &mut self.upstream else { return Ok(()) };
        match clock::by(until, upstream.write_body(&body)).await {
            None => {
                // The client has sent; it is the upstream that does not take it.
                self.upload = Upload::Abandoned;
                return Err(self.overdue(if until < idle { Due::Total } else { Due::Idle }));
            }
            // The upstream may have answered and closed without reading on; its answer comes first.
            Some(Err(_)) => self.upload = Upload::Abandoned,
            Some(Ok(_)) => self.upstream_at = clock::now(),
        }
        let more = self.upgraded() || !self.session.is_body_done();
        if more && matches!(self.upload, Upload::Open) && !self.backlog.is_empty() {
            self.upload = Upload::Behind;
        }
        Ok(())
    }

    /// The upstream has taken what was written, so the client may send more.
    fn caught_up(&mut self) {
        self.upstream_at = clock::now();
        self.upload = Upload::Open;
        self.client_at = self.upstream_at;
        self.set_timer();
    }

    async fn end_upload(&mut self) -> Result<(), Stop> {
        self.upload = Upload::Done;
        match &mut self.window {
            Some(stream) => {
                // A stream that the upstream has reset says so when its answer is read.
                stream.send_data(Bytes::new(), true).unwrap_or_default();
            }
            None => {
                if let UpstreamSession::H1(upstream) = &mut self.upstream {
                    // An upstream that has answered and closed is heard before it is blamed.
                    if upstream.finish_body().await.is_err() {
                        self.upload = Upload::Abandoned;
                    }
                }
            }
        }
        self.upstream_at = clock::now();
        self.set_timer();
        Ok(())
    }

    fn hold(&mut self, body: Bytes) {
        if let (Some(stream), false) = (&mut self.window, body.is_empty()) {
            stream.reserve_capacity(body.len());
            self.upload = Upload::Held(body);
        }
    }

    /// Sends as much of the held piece as fits.
    fn send_held(&mut self, room: Option<usize>) {
        let (Some(room), Upload::Held(body), Some(stream)) =
            (room, &mut self.upload, &mut self.window)
        else {
            self.upload = Upload::Abandoned;
            return;
        };
        let now = body.split_to(room.min(body.len()));
        let all = body.is_empty();
        let last = all && self.session.is_body_done();
        if stream.send_data(now, last).is_err() {
            self.upload = Upload::Abandoned;
            return;
        }
        self.upstream_at = clock::now();
        if all {
            self.upload = if last { Upload::Done } else { Upload::Open };
            self.set_timer();
        }
    }

    /// Passes a piece of the answer on; `true` when it was the last.
    async fn down(&mut self, task: HttpTask) -> Result<bool, Stop> {
        self.upstream_at = clock::now();
        // An upstream that is always ahead of us would never let the timer speak.
        if !self.streaming && self.upstream_at >= self.exchange.deadline.at {
            return Err(self.overdue(Due::Total));
        }
        let ended = match task {
            HttpTask::Header(header, end)
                if header.status.is_informational() && header.status != 101 =>
            {
                return self.informational(header, end).await;
            }
            HttpTask::Header(header, end) => return self.header(header, end).await,
            HttpTask::Body(body, end) | HttpTask::UpgradedBody(body, end) => {
                if end {
                    self.upstream_ends(None);
                }
                self.write_down(body.unwrap_or_default(), end).await?;
                end
            }
            HttpTask::Trailer(trailers) => {
                self.upstream_ends(trailers.as_deref());
                match (trailers, &mut self.session) {
                    (Some(trailers), ServerSession::H2(session)) => {
                        session.write_trailers(*trailers).map_err(|error| client_failed(&error))?;
                    }
                    _ => self.write_down(Bytes::new(), true).await?,
                }
                true
            }
            HttpTask::Done => {
                self.upstream_ends(None);
                self.write_down(Bytes::new(), true).await?;
                true
            }
            HttpTask::Failed(error) => return Err(upstream_stop(&error)),
        };
        // The time that a slow client took is not the upstream's.
        self.upstream_at = clock::now();
        Ok(ended)
    }

    async fn informational(
        &mut self,
        mut header: Box<ResponseHeader>,
        end: bool,
    ) -> Result<bool, Stop> {
        self.informational += 1;
        if end || self.informational > INFORMATIONAL_MAX {
            let detail = format!("more than {INFORMATIONAL_MAX} informational answers");
            return Err(Stop::Upstream(Refusal::new(Reason::UpstreamProtocol, detail)));
        }
        if self.session.req_header().version != http::Version::HTTP_10 {
            forward::response(&mut header, self.session.req_header(), true);
            let until = self.latest(self.upstream_at + self.exchange.listener.timeout.write);
            // Pingora takes a 100 for an answer that came before the body, and would close for it.
            self.session.set_close_on_response_before_downstream_finish(false);
            within(until, self.session.write_response_header(header)).await?;
            self.session.set_close_on_response_before_downstream_finish(true);
        }
        Ok(false)
    }

    async fn header(&mut self, mut header: Box<ResponseHeader>, end: bool) -> Result<bool, Stop> {
        let upgraded = header.status == StatusCode::SWITCHING_PROTOCOLS;
        if upgraded && !self.upgrades() {
            let detail = "the upstream switched protocols unasked".to_owned();
            return Err(Stop::Upstream(Refusal::new(Reason::UpstreamProtocol, detail)));
        }
        self.exchange.header_at = Some(self.upstream_at);
        self.streaming = upgraded || self.route.stream;
        self.exchange.ends(judge(&header));
        if end {
            // gRPC that fails at once says so in this header (Trailers-Only).
            self.upstream_ends(Some(&header.headers));
        } else if self.streaming {
            // A stream is bounded by `limits.streams`; its permit is for the time until it flows.
            let verdict = self.verdict();
            self.exchange.settle(verdict);
            self.exchange.release_permit();
        }
        let bodiless = upgraded
            || end && self.session.req_header().method == Method::HEAD
            || no_body(header.status);
        forward::response(&mut header, self.session.req_header(), bodiless);
        self.add_rate_limit(&mut header);
        self.exchange.answered(header.status.as_u16());
        self.header_sent = true;
        self.write_header(header, end).await?;
        if upgraded {
            self.upgrade();
        }
        self.upstream_at = clock::now();
        self.set_timer();
        Ok(end)
    }

    fn upgrades(&self) -> bool {
        let asked = forward::is_websocket(self.session.req_header());
        asked && matches!(self.upstream, UpstreamSession::H1(_)) && !self.session.is_http2()
    }

    /// From here on bytes are bytes, both ways.
    fn upgrade(&mut self) {
        if let UpstreamSession::H1(upstream) = &mut self.upstream {
            upstream.maybe_upgrade_body_writer();
        }
        self.upload = Upload::Open;
        self.client_at = self.upstream_at;
    }

    /// The tightest limit that was debited, told on the answer too.
    fn add_rate_limit(&self, header: &mut ResponseHeader) {
        let tightest = self.exchange.charged.iter().min_by_key(|charged| charged.debit.remaining);
        if let Some(charged) = tightest {
            let policy = &self.route.rates[charged.rate].policy_header;
            let left = refuse::rate_limit(policy, charged.debit.remaining, charged.debit.reset);
            // An upstream that speaks of its own limits keeps its fields; ours come after.
            header.append_header("ratelimit-policy", policy.clone()).unwrap_or_default();
            header.append_header("ratelimit", left).unwrap_or_default();
        }
    }

    async fn write_header(&mut self, header: Box<ResponseHeader>, end: bool) -> Result<(), Stop> {
        if let ServerSession::H2(session) = &mut self.session {
            return session
                .write_response_header(header, end)
                .map_err(|error| client_failed(&error));
        }
        let until = self.latest(self.upstream_at + self.exchange.listener.timeout.write);
        let session = &mut *self.session;
        let written = async {
            session.write_response_header(header).await?;
            if end { session.finish_body().await } else { Ok(()) }
        };
        within(until, written).await
    }

    async fn write_down(&mut self, body: Bytes, end: bool) -> Result<(), Stop> {
        let until = self.latest(self.upstream_at + self.exchange.listener.timeout.write);
        within(until, self.session.write_response_body(body, end)).await
    }

    /// `time`, or the deadline where that comes first and still counts.
    fn latest(&self, time: Time) -> Time {
        if self.streaming { time } else { time.min(self.exchange.deadline.at) }
    }

    /// What the answer so far says of the upstream.
    fn verdict(&self) -> Verdict {
        let took = self.exchange.header_at.map(|at| at.since(self.exchange.forwarded_at));
        match self.exchange.reason() {
            Some(Reason::Ok) if self.streaming => Verdict::Good(None),
            Some(Reason::Ok) => Verdict::Good(took),
            Some(Reason::UpstreamError) => Verdict::Fault,
            _ => Verdict::Nothing,
        }
    }

    /// The upstream is done; gRPC says only now how it went.
    fn upstream_ends(&mut self, trailers: Option<&HeaderMap>) {
        match trailers.and_then(forward::grpc_status) {
            // UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS
            Some(2 | 4 | 13 | 14 | 15) => self.exchange.ends_instead(Reason::UpstreamError),
            // RESOURCE_EXHAUSTED
            Some(8) => self.exchange.ends_instead(Reason::UpstreamPushback),
            _ => {}
        }
        let verdict = self.verdict();
        self.exchange.upstream_done(verdict);
    }
}

/// What the stream of an h1 session has taken and not sent.
pub(super) fn backlog_of(session: &H1Session) -> Backlog {
    let stream = (**session.stream()).as_any().downcast_ref::<WriteBehind>();
    stream.map_or_else(Backlog::default, |stream| stream.backlog().clone())
}

/// Waits until the upstream's window has room; `None` when the stream takes no more.
async fn room(window: &mut Option<SendStream<Bytes>>) -> Option<usize> {
    let stream = window.as_mut()?;
    poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()
}

/// A write to the client that must be through by `until`.
async fn within(until: Time, write: impl Future<Output = pingora::Result<()>>) -> Result<(), Stop> {
    match clock::by(until, write).await {
        Some(written) => written.map_err(|error| client_failed(&error)),
        None => Err(Stop::Gone(Reason::ClientSlow)),
    }
}

fn no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pub(super) fn body_too_large(limit: u64) -> Refusal {
    Refusal::new(
        Reason::BodyTooLarge,
        format!("the body is above the {limit} bytes that this route takes"),
    )
    .input("limit_bytes", limit)
    .would_pass("a smaller body, or a higher limits.body".to_owned())
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
