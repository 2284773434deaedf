//! The script over HTTP/2.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{Error, Reason, RecvStream, SendStream, server::SendResponse};
use http::{Request, Response};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::sleep};

use super::{InFlight, Script, Seen, Step};

/// Serves a connection until a script or the other side ends it.
pub(super) async fn serve(socket: TcpStream, script: Script, seen: Arc<Seen>) -> Result<(), Error> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(10_000)
        .handshake::<_, Bytes>(socket)
        .await?;
    let (close, mut closing) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(accepted) = accepted else { return Ok(()) };
                let (request, respond) = accepted?;
                let request_in_flight = InFlight::begin(&seen);
                let stream = Stream { request, respond, sending: None, ended: false, close: close.clone() };
                // A stream that was cut is the other side's to judge.
                streams.spawn(async move { drop(stream.run(script, request_in_flight).await) });
            }
            Some(()) = closing.recv() => connection.abrupt_shutdown(Reason::NO_ERROR),
        }
        while streams.try_join_next().is_some() {}
    }
}

struct Stream {
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    sending: Option<SendStream<Bytes>>,
    ended: bool,
    close: mpsc::UnboundedSender<()>,
}

impl Stream {
    async fn run(mut self, script: Script, counted: InFlight) -> Result<(), Error> {
        for step in script(self.request.uri().path()) {
            match step {
                Step::Read => counted.whole(read(self.request.body_mut()).await?),
                Step::Both(length) => {
                    let body = self.request.body_mut();
                    let reads = async { read(body).await.map(|body| counted.whole(body)) };
                    let sending = self.sending.as_mut().expect("a header comes first");
                    tokio::try_join!(reads, write(sending, length))?;
                }
                step => self.take(step).await?,
            }
        }
        self.send(Bytes::new(), true)
    }

    async fn take(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Wait(time) => self.unless_left(time).await?,
            Step::Head(status, length) => {
                let response = Response::builder().status(status).header("content-length", length);
                let response = response.body(()).expect("a valid response");
                self.ended = length == 0;
                self.sending = Some(self.respond.send_response(response, self.ended)?);
            }
            Step::Body(length) => self.send(Bytes::from(vec![b'x'; length]), false)?,
            Step::Echo => self.echo().await?,
            Step::Drip(pause) => loop {
                self.send(Bytes::from_static(b"x"), false)?;
                self.unless_left(pause).await?;
            },
            Step::Silence => drop(self.left().await?),
            Step::Freeze => std::future::pending().await,
            Step::Reset => match &mut self.sending {
                Some(sending) => sending.send_reset(Reason::INTERNAL_ERROR),
                None => self.respond.send_reset(Reason::INTERNAL_ERROR),
            },
            Step::Close => {
                // The connection may be gone already.
                let _ = self.close.send(());
                self.left().await?;
            }
            Step::Read | Step::Both(_) | Step::Raw(_) | Step::DripHeader(_) => {
                panic!("{step:?} is not h2")
            }
        }
        Ok(())
    }

    fn send(&mut self, data: Bytes, end: bool) -> Result<(), Error> {
        match &mut self.sending {
            Some(sending) if !self.ended => sending.send_data(data, end),
            _ => Ok(()),
        }
    }

    async fn echo(&mut self) -> Result<(), Error> {
        while let Some(data) = self.request.body_mut().data().await {
            let data = data?;
            let Some(sending) = &mut self.sending else { return Ok(()) };
            sending.reserve_capacity(data.len());
            let mut left = data.clone();
            while !left.is_empty() {
                let Some(room) = poll_fn(|cx| sending.poll_capacity(cx)).await else {
                    return Ok(());
                };
                let now = room?.min(left.len());
                sending.send_data(left.split_to(now), false)?;
            }
            self.request.body_mut().flow_control().release_capacity(data.len())?;
        }
        Ok(())
    }

    async fn unless_left(&mut self, time: Duration) -> Result<(), Error> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            left = self.left() => Err(left?.into()),
        }
    }

    /// Waits until the other side resets the stream or the connection ends.
    async fn left(&mut self) -> Result<Reason, Error> {
        match &mut self.sending {
            Some(sending) => poll_fn(|cx| sending.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        }
    }
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, Error> {
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// Sends as fast as the other side takes it.
async fn write(sending: &mut SendStream<Bytes>, mut left: usize) -> Result<(), Error> {
    while left > 0 {
        sending.reserve_capacity(left.min(0x4000));
        let Some(room) = poll_fn(|cx| sending.poll_capacity(cx)).await else { return Ok(()) };
        let now = room?.min(left);
        sending.send_data(Bytes::from(vec![b'x'; now]), false)?;
        left -= now;
    }
    Ok(())
}
