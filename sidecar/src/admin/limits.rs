//! The concurrency limits before an upstream, for `/upstreams`: where each stands, and why it is there.

use serde::Serialize;
use weir_config::Mode;
use weir_policy::{Learned, Point, Stance};

use crate::{observe::words::NONE, plan::Concurrency};

#[derive(Serialize)]
pub(super) struct ShownLimit<'a> {
    /// Of a limit that routes share there is none.
    route: &'a str,
    policy: &'a str,
    mode: Mode,
    limit: u32,
    in_flight: u32,
    queued: u32,
    queue_length: u32,
    overloaded: bool,
    /// Of a limit that is written there is nothing.
    learned: Option<ShownLearned>,
}

#[derive(Serialize)]
struct ShownLearned {
    stance: &'static str,
    /// With which limit it compares; only while it does.
    compared_with: Option<u32>,
    base_seconds: Option<f64>,
    knee: Option<u32>,
    curve: Vec<ShownPoint>,
}

#[derive(Serialize)]
struct ShownPoint {
    in_flight: u32,
    latency_seconds: f64,
    error: f64,
    in_doubt: bool,
}

pub(super) fn show(limit: &Concurrency) -> ShownLimit<'_> {
    let in_flight = limit.in_flight();
    ShownLimit {
        route: limit.route.as_deref().unwrap_or(NONE),
        policy: &limit.settings.name,
        mode: limit.settings.mode,
        limit: in_flight.limit(),
        in_flight: in_flight.in_flight(),
        queued: in_flight.queued(),
        queue_length: in_flight.queue_length(),
        overloaded: in_flight.is_standing(),
        learned: in_flight.learned().map(learned),
    }
}

fn learned(learned: Learned) -> ShownLearned {
    let (stance, compared_with) = match learned.stance {
        Stance::Learning => ("learning", None),
        Stance::AtEase => ("at_ease", None),
        Stance::AtKnee => ("at_knee", None),
        Stance::Exploring => ("exploring", None),
        Stance::Comparing { with } => ("comparing", Some(with)),
    };
    let point = |point: Point| ShownPoint {
        in_flight: point.in_flight,
        latency_seconds: point.latency.as_secs_f64(),
        error: point.error,
        in_doubt: point.in_doubt,
    };
    ShownLearned {
        stance,
        compared_with,
        base_seconds: learned.base.map(|base| base.as_secs_f64()),
        knee: learned.knee,
        curve: learned.points.into_iter().map(point).collect(),
    }
}
