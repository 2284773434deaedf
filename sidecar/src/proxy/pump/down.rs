//! The answer, on its way to the client.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::{
    http::ResponseHeader,
    protocols::http::{HttpTask, ServerSession},
};

use super::{
    Answer, Pump, Upload,
    answer::{judge, upstream_stop},
    client_failed,
    outlet::{Outlet, Shut},
};
use crate::{
    clock,
    proxy::{
        again,
        connections::UpstreamSession,
        deadline::Asked,
        exchange::Verdict,
        forward,
        refuse::{self, Refusal},
        stop::Stop,
    },
    reason::Reason,
};

/// How many 1xx answers an upstream may send before its answer.
const INFORMATIONAL_MAX: u32 = 16;

impl Pump<'_> {
    /// Passes a piece of the answer on.
    pub(super) async fn down(&mut self, task: HttpTask) -> Result<(), Stop> {
        self.upstream_at = clock::now();
        self.check_total(self.upstream_at)?;
        match task {
            HttpTask::Header(header, end)
                if header.status.is_informational() && header.status != 101 =>
            {
                self.informational(header, end).await?;
            }
            HttpTask::Header(header, end) => self.header(header, end).await?,
            HttpTask::Body(body, end) | HttpTask::UpgradedBody(body, end) => {
                if end {
                    self.upstream_ends(None);
                }
                self.give_down(body.unwrap_or_default(), end).await?;
            }
            HttpTask::Trailer(trailers) => {
                self.upstream_ends(trailers.as_deref());
                match (trailers, self.to_client.window()) {
                    (Some(trailers), Some(window)) => {
                        window.give_trailers(trailers);
                        self.answer = Answer::Whole;
                    }
                    _ => self.give_down(Bytes::new(), true).await?,
                }
            }
            HttpTask::Done => {
                self.upstream_ends(None);
                self.give_down(Bytes::new(), true).await?;
            }
            HttpTask::Failed(error) => return Err(upstream_stop(&error)),
        }
        self.to_client.note_progress(self.upstream_at);
        Ok(())
    }

    async fn informational(
        &mut self,
        mut header: Box<ResponseHeader>,
        end: bool,
    ) -> Result<(), Stop> {
        self.informational += 1;
        if end || self.informational > INFORMATIONAL_MAX {
            let detail = format!("more than {INFORMATIONAL_MAX} informational answers");
            return Err(Stop::Upstream(Refusal::new(Reason::UpstreamProtocol, detail)));
        }
        if self.session.req_header().version == http::Version::HTTP_10 {
            return Ok(());
        }
        forward::response(&mut header, self.session.req_header(), true);
        self.say(header).await
    }

    /// Tells a client that waits to be told to send its body.
    pub(super) async fn go_on(&mut self) -> Result<(), Stop> {
        // The status is a valid one.
        let Ok(header) = ResponseHeader::build(StatusCode::CONTINUE, Some(0)) else {
            return Ok(());
        };
        self.say(Box::new(header)).await
    }

    /// Sends a header that is not the answer's.
    async fn say(&mut self, header: Box<ResponseHeader>) -> Result<(), Stop> {
        // Pingora takes a 100 for an answer that came before the body, and would close for it.
        self.session.set_close_on_response_before_downstream_finish(false);
        let said = self.session.write_response_header(header).await;
        self.session.set_close_on_response_before_downstream_finish(true);
        said.map_err(|error| client_failed(&error))
    }

    async fn header(&mut self, mut header: Box<ResponseHeader>, end: bool) -> Result<(), Stop> {
        let upgraded = header.status == StatusCode::SWITCHING_PROTOCOLS;
        if upgraded && !(self.upgrades() && header.version == Version::HTTP_11) {
            let detail = "the upstream switched protocols unasked".to_owned();
            return Err(Stop::Upstream(Refusal::new(Reason::UpstreamProtocol, detail)));
        }
        if !forward::is_plainly_framed(&header.headers) {
            let detail =
                "the upstream's answer has a transfer coding other than chunked, or not one length";
            return Err(Stop::Upstream(Refusal::new(Reason::UpstreamProtocol, detail)));
        }
        let judged = judge(&header);
        self.again = again::after_answer(self.exchange, self.route, self.session, &header, judged);
        if self.again.is_some() {
            return Ok(());
        }
        self.exchange.header_at = Some(self.upstream_at);
        if upgraded {
            // A WebSocket outlives the request that it began with.
            self.exchange.asked = Asked::default();
        }
        if upgraded || self.route.stream {
            self.exchange.streams();
        }
        self.exchange.ends(judged);
        if end {
            // gRPC that fails at once says so in this header (Trailers-Only).
            self.upstream_ends(Some(&header.headers));
        } else if self.exchange.streamed {
            let verdict = self.verdict();
            self.exchange.stream_begins(verdict);
        } else if self.exchange.drips.is_some() {
            // How long our drip holds the answer up says nothing of the upstream; that it has begun does.
            let verdict = self.verdict();
            self.exchange.settle(verdict);
        }
        if self.exchange.reason() == Some(Reason::Ok) {
            self.exchange.answered_well(self.upstream_at);
        }
        let bodiless = upgraded
            || end && self.session.req_header().method == Method::HEAD
            || no_body(header.status);
        let delimited = forward::response(&mut header, self.session.req_header(), bodiless);
        if !delimited || self.exchange.worker.draining.is_cancelled() {
            self.session.set_keepalive(None);
        }
        self.add_rate_limit(&mut header);
        self.exchange.answered(header.status.as_u16());
        self.answer = if end { Answer::Whole } else { Answer::Begun };
        self.give_header(header, end).await?;
        if upgraded {
            self.upgrade();
        }
        Ok(())
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
        let charged = self.exchange.charged.iter();
        let left = charged.filter_map(|charged| Some((charged.rate, charged.taken.left()?)));
        if let Some((rate, (remaining, reset))) = left.min_by_key(|(_, (remaining, _))| *remaining)
        {
            let policy = &self.route.rates[rate].policy_header;
            let left = refuse::rate_limit(policy, remaining, reset);
            // An upstream that speaks of its own limits keeps its fields; ours come after.
            header.append_header("ratelimit-policy", policy.clone()).unwrap_or_default();
            header.append_header("ratelimit", left).unwrap_or_default();
        }
    }

    async fn give_header(&mut self, header: Box<ResponseHeader>, end: bool) -> Result<(), Stop> {
        let session = &mut *self.session;
        let given = async {
            match session {
                ServerSession::H2(session) => session.write_response_header(header, end),
                session => {
                    session.write_response_header(header).await?;
                    if end { session.finish_body().await } else { Ok(()) }
                }
            }
        };
        given.await.map_err(|error| client_failed(&error))?;
        if let (ServerSession::H2(session), false) = (&mut *self.session, end) {
            self.to_client = Outlet::h2(session.take_response_body_writer(), self.upstream_at);
        }
        Ok(())
    }

    async fn give_down(&mut self, body: Bytes, end: bool) -> Result<(), Stop> {
        match self.hold(body, end) {
            Some(body) => self.give(body, end).await,
            None => Ok(()),
        }
    }

    pub(super) async fn give(&mut self, body: Bytes, end: bool) -> Result<(), Stop> {
        if end {
            self.answer = Answer::Whole;
        }
        match self.to_client.window() {
            Some(window) => window.give(body, end),
            None => {
                let given = self.session.write_response_body(body, end).await;
                given.map_err(|error| client_failed(&error))?;
            }
        }
        Ok(())
    }

    /// The client has taken some of what was on its way, or takes no more.
    pub(super) fn client_took(&mut self, moved: Result<(), Shut>) -> Result<(), Stop> {
        // The upstream was not listened to meanwhile: the time that a slow client took is not its own.
        self.upstream_at = clock::now();
        self.to_client.note_progress(self.upstream_at);
        moved.map_err(|Shut| Stop::Gone(Reason::ClientCancel))
    }

    /// What the answer so far says of the upstream.
    fn verdict(&self) -> Verdict {
        let took = self.exchange.latency();
        match self.exchange.reason() {
            Some(Reason::Ok) if self.exchange.streamed => Verdict::Good(None),
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

fn no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
