//! The request's body, on its way to the upstream.

use bytes::Bytes;
use http::{Version, header};

use super::{Pump, Upload, outlet::Shut};
use crate::{
    clock,
    proxy::{connections::UpstreamSession, refuse::Refusal, stop::Stop},
    reason::Reason,
};

impl Pump<'_> {
    /// An upstream of h1 sends its own `100 Continue`, which is passed on. One of h2 cannot be heard to:
    /// Pingora skips what is informational there. So the client is told to go on by us.
    pub(super) async fn continue_for_h2(&mut self) -> Result<(), Stop> {
        let request = self.session.req_header();
        let waits = request.version == Version::HTTP_11
            && request
                .headers
                .get(header::EXPECT)
                .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        if !waits || self.upload != Upload::Open || matches!(self.upstream, UpstreamSession::H1(_))
        {
            return Ok(());
        }
        self.go_on().await
    }

    /// Passes a piece of the request on, or its end.
    pub(super) async fn up(&mut self, body: Option<Bytes>) -> Result<(), Stop> {
        self.client_at = clock::now();
        self.check_total(self.client_at)?;
        let last = !self.upgraded() && (body.is_none() || self.session.is_body_done());
        let body = body.unwrap_or_default();
        let limit = self.route.limits.body.get();
        let uploaded = self.uploaded + body.len() as u64;
        if !self.exchange.streamed && !self.route.stream && uploaded > limit {
            return Err(Stop::Refused(body_too_large(limit)));
        }
        self.exchange.replay.keep(&body);
        self.give_up(body, last).await;
        Ok(())
    }

    /// Gives a piece of the body to the upstream; of a request that is tried again, what went up before
    /// is the first.
    pub(super) async fn give_up(&mut self, body: Bytes, last: bool) {
        self.uploaded += body.len() as u64;
        if last {
            self.upload = Upload::Done;
            self.exchange.handed_over_at = Some(clock::now());
        }
        match self.to_upstream.window() {
            Some(window) => window.give(body, last),
            None => self.give_h1(&body, last).await,
        }
        self.upstream_at = clock::now();
        self.to_upstream.note_progress(self.upstream_at);
    }

    /// An upstream that has answered and closed is heard before it is blamed.
    async fn give_h1(&mut self, body: &[u8], last: bool) {
        let UpstreamSession::H1(upstream) = &mut self.upstream else {
            self.upload = Upload::Abandoned;
            return;
        };
        let given = async {
            if !body.is_empty() {
                upstream.write_body(body).await?;
            }
            if last {
                upstream.finish_body().await?;
            }
            pingora::Result::<()>::Ok(())
        };
        if given.await.is_err() {
            self.upload = Upload::Abandoned;
        }
    }

    /// The upstream has taken some of what was on its way, or takes no more.
    pub(super) fn upstream_took(&mut self, moved: Result<(), Shut>) {
        if moved.is_err() {
            self.upload = Upload::Abandoned;
            self.to_upstream.close();
        }
        self.upstream_at = clock::now();
        self.to_upstream.note_progress(self.upstream_at);
        // The client could not say anything meanwhile.
        self.client_at = self.upstream_at;
    }
}

pub(in crate::proxy) fn body_too_large(limit: u64) -> Refusal {
    Refusal::new(
        Reason::BodyTooLarge,
        format!("the body is above the {limit} bytes that this route takes"),
    )
    .threshold("limit_bytes", limit)
    .would_pass("a smaller body, or a higher limits.body".to_owned())
}
