//! A client's connection: which protocol it speaks, and the requests on it.
//!
//! The protocol is told by the first bytes, with a time limit. Every wait between requests is
//! bounded as well; while a connection is idle it holds no buffer.

use std::{net::IpAddr, sync::Arc};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use weir_config::ListenerLimits;
use weir_policy::Time;

use super::{
    exchange::Exchange, head::Fault, refuse::Refusal, stream::ClientStream, worker::Worker,
};
use crate::{clock, plan::Listener, reason::Reason};

mod h1;
mod h2;

/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read at first; a usual head fits.
const FIRST_READ: usize = 4096;

/// A client and the listener it came to.
///
/// It holds no plan: each of its requests is walked by the plan that it finds, however long the
/// connection lives.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) worker: Arc<Worker>,
    /// Its place, the same in every plan.
    pub(super) listener: usize,
    /// `None` on a Unix socket.
    pub(super) peer: Option<IpAddr>,
}

impl Connection {
    /// Serves the connection until it ends.
    pub(super) async fn serve(self, mut client: ClientStream) {
        let started = clock::now();
        let until = started + self.listener().timeout.request_header;
        // A connection that has said nothing yet holds nobody up at the end.
        tokio::select! {
            biased;
            begun = clock::by(until, client.begun()) => if begun.is_none() { return },
            () = self.worker.closing.cancelled() => return,
        }
        let mut first = BytesMut::new();
        match clock::by(until, sniff(&mut client, &mut first)).await {
            Some(Some(Protocol::H1)) => self.serve_h1(client, first, until).await,
            Some(Some(Protocol::H2)) => {
                client.replay(first.freeze());
                Box::pin(self.serve_h2(client)).await;
            }
            // Nobody there, or nothing but the beginning of a preface.
            None if !first.is_empty() => Box::pin(self.too_late(client, started)).await,
            Some(None) | None => {}
        }
    }
}

impl Connection {
    /// The listener as it is set at this moment.
    fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.worker.view().plan.listeners[self.listener])
    }

    /// A request has begun.
    fn begin(&self, started: Time) -> Exchange {
        Exchange::begin(&self.worker, self.listener, self.peer, started)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    H1,
    H2,
}

/// Reads until the first bytes tell the protocol; `None` when the client leaves before.
async fn sniff(client: &mut ClientStream, first: &mut BytesMut) -> Option<Protocol> {
    client.readable().await.ok()?;
    first.reserve(FIRST_READ);
    loop {
        if client.read_buf(first).await.ok()? == 0 {
            return (!first.is_empty()).then_some(Protocol::H1);
        }
        let common = first.len().min(PREFACE.len());
        if first[..common] != PREFACE[..common] {
            return Some(Protocol::H1);
        }
        if common == PREFACE.len() {
            return Some(Protocol::H2);
        }
    }
}

fn refusal(fault: Fault, limits: &ListenerLimits) -> Refusal {
    let above = |reason, detail: &str, name, limit: u64, change: &str| {
        Refusal::new(reason, detail)
            .threshold(name, limit)
            .would_pass(format!("{change}, or limits.{name} above {limit}"))
    };
    match fault {
        Fault::BadRequest(what) => {
            Refusal::new(Reason::BadRequest, format!("the request has {what}"))
                .would_pass(format!("a request that has not {what}"))
        }
        Fault::UriTooLong => above(
            Reason::UriTooLong,
            "the request target is above limits.uri_bytes",
            "uri_bytes",
            limits.uri_bytes.get(),
            "a shorter target",
        ),
        Fault::TooManyHeaders => above(
            Reason::HeaderTooLarge,
            "more fields than limits.headers",
            "headers",
            limits.headers.get().into(),
            "fewer fields",
        ),
        Fault::HeaderTooLarge => above(
            Reason::HeaderTooLarge,
            "the header is above limits.header_bytes",
            "header_bytes",
            limits.header_bytes.get(),
            "a smaller header",
        ),
    }
}
