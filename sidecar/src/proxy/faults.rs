//! Faults that are injected, because the route's configuration or a trusted caller asks for them.
//!
//! Their place is between the permit and the try. An upstream that is slow or fails does so after it was
//! admitted, so what such a request would hold is held here too, and what is full because of it refuses
//! others as it would: that is what there is to be seen. Before the limits, a delay would cost nobody
//! anything; inside the try, it would be taken for the upstream's.
//!
//! For nothing of it is the upstream's doing, and breakers and limits hear none of it: an upstream's time
//! begins when it is handed the request, what we abort is a refusal of ours, and of an answer that drips
//! its header is all that is heard. Deadlines bind, and a client that leaves ends a delay at once.

use std::time::Duration;

use http::{HeaderName, StatusCode};
use pingora::{http::RequestHeader, protocols::http::ServerSession};
use weir_config::{Abort, FaultHeader, Faults};
use weir_policy::Injection;

use super::{client, exchange::Exchange, refuse::Refusal, stop::Stop};
use crate::{
    clock,
    observe::ledger::FaultKind,
    plan::Route,
    reason::{Reason, Stage},
};

/// What is injected into a request, and who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Injected {
    what: Injection,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The route's configuration, by lot.
    Route,
    /// The request's caller.
    Caller,
}

impl By {
    const fn word(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Caller => "caller",
        }
    }
}

/// For `/explain`: a request with a fault that ended otherwise may have ended so because of it.
pub(super) fn told(injected: Option<Injected>, refusal: Refusal) -> Refusal {
    let Some(Injected { what, by }) = injected else { return refusal };
    refusal.input("injected", what.to_string()).input("injected_by", by.word())
}

/// Waits, or ends the request, if that is what falls on it; what is to befall its answer is noted.
pub(super) async fn inject(
    exchange: &mut Exchange,
    route: &Route,
    session: &mut ServerSession,
) -> Result<(), Stop> {
    let Some(faults) = &route.faults else { return Ok(()) };
    let injected = chosen(exchange, faults, session.req_header()).map_err(Stop::Refused)?;
    let what = injected.what;
    if what == Injection::default() {
        return Ok(());
    }
    exchange.injected = Some(injected);
    exchange.drips = what.drip;
    if let Some(delay) = what.delay {
        exchange.worker.page().inject(&route.row, FaultKind::Delay);
        wait(exchange, session, delay).await?;
    }
    if let Some(abort) = what.abort {
        exchange.worker.page().inject(&route.row, FaultKind::Abort);
        return Err(aborted(faults, injected, abort));
    }
    Ok(())
}

/// The fields that ask for a fault here, which are not for whoever comes after.
pub(super) fn asks(route: &Route, name: &HeaderName) -> bool {
    let header = route.faults.as_ref().and_then(|faults| faults.header.as_ref());
    header.is_some_and(|header| header.name == name.as_str())
}

/// What the caller asks for, where it may; else what falls on the request by lot.
fn chosen(
    exchange: &Exchange,
    faults: &Faults,
    request: &RequestHeader,
) -> Result<Injected, Refusal> {
    let allowed = faults.header.as_ref().filter(|_| exchange.trusted);
    if let Some((header, asked)) =
        allowed.and_then(|header| Some((header, asked(header, request)?)))
    {
        let asked = Injection::asked(header, &asked).map_err(|objection| {
            let name = &header.name;
            Refusal::new(Reason::BadRequest, format!("{name}: {objection}"))
                .at(Stage::Fault)
                .would_pass(format!(
                    "{name} with what faults.header of the route allows, or without it"
                ))
        });
        return Ok(Injected { what: asked?, by: By::Caller });
    }
    let random = std::array::from_fn(|_| exchange.worker.random());
    Ok(Injected { what: Injection::drawn(faults, random), by: By::Route })
}

/// All that the header says, in however many lines.
fn asked(header: &FaultHeader, request: &RequestHeader) -> Option<String> {
    let lines = request.headers.get_all(&header.name).iter();
    let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

async fn wait(
    exchange: &Exchange,
    session: &mut ServerSession,
    delay: Duration,
) -> Result<(), Stop> {
    let ends = clock::now() + delay;
    let until = ends.min(exchange.deadline.at);
    tokio::select! {
        biased;
        () = client::left(session) => Err(Stop::Gone(Reason::ClientCancel)),
        () = tokio::time::sleep_until(clock::instant(until)) => match until < ends {
            true => Err(Stop::Refused(deadline_in_delay(exchange))),
            false => Ok(()),
        },
    }
}

fn deadline_in_delay(exchange: &Exchange) -> Refusal {
    let (name, whole) = exchange.whole_time();
    let refusal = Refusal::new(
        Reason::Deadline,
        "the deadline passed while the request waited for the end of a delay that was injected",
    );
    told(exchange.injected, refusal)
        .at(Stage::Fault)
        .threshold(name, whole.as_secs_f64())
        .would_pass("a longer deadline, or a shorter delay".to_owned())
}

fn aborted(faults: &Faults, injected: Injected, abort: Abort) -> Stop {
    let refusal = Refusal::new(Reason::FaultInjected, "an abort was injected, as was asked for");
    let refusal = match injected.by {
        By::Route => {
            let share = faults.abort.map_or(0.0, |fault| fault.ratio.get());
            refusal
                .threshold("ratio", share)
                .would_pass("another lot, or a route without faults.abort".to_owned())
        }
        By::Caller => refusal.would_pass("a request that asks for no abort".to_owned()),
    };
    let refusal = told(Some(injected), refusal);
    match abort {
        Abort::Reset => Stop::Reset(refusal),
        Abort::Answer { status, grpc } => {
            let status = StatusCode::from_u16(status).unwrap_or(Reason::FaultInjected.status());
            Stop::Refused(refusal.answered_with(status, grpc.code()))
        }
    }
}
