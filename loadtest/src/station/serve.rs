//! The station over HTTP/1.1.
//!
//! `GET /station` tells what it did and takes no slot; everything else is a request for service.

use std::{convert::Infallible, io, sync::Arc, sync::Mutex, sync::MutexGuard, sync::PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinSet,
};

use super::{
    Station,
    series::Series,
    slots::{Advanced, Slots},
};
use crate::{alarm::Alarm, clock::Clock};

/// Serves until this future is dropped.
///
/// # Errors
///
/// When this process cannot have a timer.
pub async fn serve(listener: TcpListener, station: Station) -> io::Result<()> {
    let shared = Arc::new(Shared {
        status: station.status,
        state: Mutex::new(State { clock: None, slots: Slots::new(station), series: Series::new() }),
        begun: Notify::new(),
    });
    let alarm = Alarm::new()?;
    let mut connections = JoinSet::new();
    let ends = shared.ends(&alarm);
    tokio::pin!(ends);
    loop {
        tokio::select! {
            failed = &mut ends => return failed,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&shared)))),
                Err(error) => return Err(error),
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Refused, answers are late by the peer's delayed acknowledgement, which a measurement shows.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| answer(request, &shared));
    // How a connection ends is the client's affair.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/station" {
        return Ok(shared.told());
    }
    let Err(_over) = shared.arrives().await;
    let mut response = Response::new(Full::from("served\n"));
    *response.status_mut() = shared.status;
    Ok(response)
}

struct Shared {
    status: StatusCode,
    state: Mutex<State>,
    /// The next end may be sooner than the alarm is set for.
    begun: Notify,
}

struct State {
    /// Starts with the first request, so that a run and its station have one time.
    clock: Option<Clock>,
    slots: Slots<oneshot::Sender<Infallible>>,
    series: Series,
}

impl Shared {
    /// Takes a place in the queue; what it gives is closed when the service is over.
    fn arrives(&self) -> oneshot::Receiver<Infallible> {
        let (over, ended) = oneshot::channel();
        let mut state = self.state();
        let now = state.clock.get_or_insert_with(Clock::start).now();
        state.series.arrived(now);
        state.slots.arrives(now, over);
        state.advance();
        self.begun.notify_one();
        ended
    }

    /// Ends each service when it is over.
    async fn ends(&self, alarm: &Alarm) -> io::Result<()> {
        loop {
            let wait = {
                let mut state = self.state();
                state.advance();
                let now = state.clock.as_ref().map(Clock::now).unwrap_or_default();
                state.slots.next_end().map(|end| end.saturating_sub(now))
            };
            match wait {
                Some(wait) => tokio::select! {
                    fired = alarm.after(wait) => fired?,
                    () = self.begun.notified() => {}
                },
                None => self.begun.notified().await,
            }
        }
    }

    fn told(&self) -> Response<Full<Bytes>> {
        let series = serde_json::to_vec(&self.state().series).unwrap_or_default();
        let mut response = Response::new(Full::from(series));
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn advance(&mut self) {
        let Some(now) = self.clock.as_ref().map(Clock::now) else { return };
        let Advanced { ended, begun } = self.slots.advance(now);
        for begun in begun {
            self.series.begun(begun);
        }
        self.series.ended(now, ended.len());
        // To drop the sender is to say so; a caller that has left was served all the same.
        drop(ended);
    }
}
