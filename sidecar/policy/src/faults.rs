//! Which faults a request gets: by lot, or because its caller asks for them.
//!
//! A caller asks as in `delay=200ms, drip=64B`: durations and sizes as in the configuration, each fault at
//! most once, `none` for none at all. What is not allowed, or not understood, is an objection and not
//! passed over: whoever tests with faults must not take a request without for one that withstood them.

use std::{fmt, num::NonZeroU64, time::Duration};

use weir_config::{Abort, FaultHeader, Faults, GrpcStatus, Ratio, parse_bytes, parse_duration};

use crate::{Time, lot};

/// The faults of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// A wait before the upstream is asked.
    pub delay: Option<Duration>,
    /// An end instead of the upstream's answer.
    pub abort: Option<Abort>,
    /// Bytes a second of the answer's body.
    pub drip: Option<NonZeroU64>,
}

/// Why a caller does not get what it asks for; a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection(String);

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Injection {
    /// Draws a lot for each fault of the route; `random` are bits for each.
    pub fn drawn(faults: &Faults, random: [u64; 3]) -> Self {
        let [delay, abort, drip] = random;
        let delay = faults.delay.filter(|fault| falls(fault.ratio, delay));
        let abort = faults.abort.filter(|fault| falls(fault.ratio, abort));
        let drip = faults.drip.filter(|fault| falls(fault.ratio, drip));
        Self {
            delay: delay.map(|fault| fault.duration),
            abort: abort.map(|fault| fault.end),
            drip: drip.and_then(|fault| NonZeroU64::new(fault.rate.get())),
        }
    }

    /// What a caller asks for, within what it may ask for.
    ///
    /// # Errors
    /// When it may not, or asks for nothing that there is.
    pub fn asked(allowed: &FaultHeader, text: &str) -> Result<Self, Objection> {
        let mut injection = Self::default();
        if text.trim() == "none" {
            return Ok(injection);
        }
        for part in text.split(',').map(str::trim) {
            let (kind, value) = part.split_once('=').unwrap_or((part, ""));
            let twice = match kind {
                "delay" => injection.delay.replace(delay(allowed, value)?).is_some(),
                "abort" => injection.abort.replace(abort(allowed, value)?).is_some(),
                "drip" => injection.drip.replace(drip(allowed, value)?).is_some(),
                _ => return Err(Objection(format!("{HELP}, not {}", shown(part)))),
            };
            if twice {
                return Err(Objection(format!("{kind} is asked for twice")));
            }
        }
        Ok(injection)
    }
}

/// As a caller would ask for it.
impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delay = self.delay.map(|delay| format!("delay={}ms", delay.as_millis()));
        let abort = self.abort.map(|abort| match abort {
            Abort::Reset => "abort=reset".to_owned(),
            Abort::Answer { status, grpc } if grpc == Abort::GRPC_STATUS => {
                format!("abort={status}")
            }
            Abort::Answer { grpc, .. } => format!("abort={}", grpc.name()),
        });
        let drip = self.drip.map(|rate| format!("drip={rate}B"));
        let faults: Vec<_> = [delay, abort, drip].into_iter().flatten().collect();
        match faults.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&faults.join(", ")),
        }
    }
}

const HELP: &str = "a fault is written delay=200ms, abort=503, drip=64B or none";

fn delay(allowed: &FaultHeader, value: &str) -> Result<Duration, Objection> {
    let longest = allowed.delay_max.ok_or_else(|| not_allowed("delay"))?;
    match parse_duration(value) {
        Some(delay) if delay > longest => Err(Objection(format!(
            "delay={} is above {longest:?}, the longest that is allowed",
            shown(value)
        ))),
        Some(delay) => Ok(delay),
        None => {
            Err(Objection(format!("a delay is a duration such as 200ms, not {}", shown(value))))
        }
    }
}

fn abort(allowed: &FaultHeader, value: &str) -> Result<Abort, Objection> {
    if !allowed.abort {
        return Err(not_allowed("abort"));
    }
    let status = value.parse().ok().filter(|status| (400..600).contains(status));
    match (status, GrpcStatus::named(value)) {
        _ if value == "reset" => Ok(Abort::Reset),
        (Some(status), _) => Ok(Abort::Answer { status, grpc: Abort::GRPC_STATUS }),
        (_, Some(grpc)) => Ok(Abort::Answer { status: Abort::STATUS, grpc }),
        _ => Err(Objection(format!(
            "an abort is a status from 400 to 599, one of gRPC such as UNAVAILABLE, or reset, not {}",
            shown(value)
        ))),
    }
}

fn drip(allowed: &FaultHeader, value: &str) -> Result<NonZeroU64, Objection> {
    let slowest = allowed.drip_min.ok_or_else(|| not_allowed("drip"))?.get();
    match parse_bytes(value).and_then(|rate| NonZeroU64::new(rate.get())) {
        Some(rate) if rate.get() < slowest => Err(Objection(format!(
            "drip={} is below {slowest} bytes a second, the slowest that is allowed",
            shown(value)
        ))),
        Some(rate) => Ok(rate),
        None => {
            Err(Objection(format!("a drip is bytes a second such as 64B, not {}", shown(value))))
        }
    }
}

fn not_allowed(kind: &str) -> Objection {
    Objection(format!("{kind} may not be asked for on this route"))
}

/// As much of a caller's words as a sentence has room for.
fn shown(text: &str) -> String {
    const SHOWN: usize = 32;
    let text: String = text.chars().take(SHOWN).collect();
    format!("{text:?}")
}

/// Whether the lot falls on a request.
fn falls(ratio: Ratio, random: u64) -> bool {
    lot::unit(random) < ratio.get()
}

/// The pace at which a body drips: a piece ten times a second, or each second's bytes one by one where
/// they are fewer. Never more than the rate allows since the first piece: whoever comes late is not paid
/// for it.
#[derive(Clone, Copy, Debug)]
pub struct Drip {
    rate: NonZeroU64,
    next: Time,
}

impl Drip {
    /// The first piece is due at `now`.
    pub fn new(rate: NonZeroU64, now: Time) -> Self {
        Self { rate, next: now }
    }

    /// When the next piece is due.
    pub fn next(&self) -> Time {
        self.next
    }

    /// How many bytes may go at `now`, which then have gone.
    pub fn take(&mut self, now: Time) -> usize {
        if now < self.next {
            return 0;
        }
        let piece = (self.rate.get() / PIECES_A_SECOND).max(1);
        let nanos = u128::from(piece) * 1_000_000_000 / u128::from(self.rate.get());
        self.next = now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        usize::try_from(piece).unwrap_or(usize::MAX)
    }
}

const PIECES_A_SECOND: u64 = 10;
