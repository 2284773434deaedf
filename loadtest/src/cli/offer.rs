//! `weir-load offer`.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use weir_load::{
    duration,
    engine::{self, Run, arrivals::Spacing, recorder::Judged, stage::Stage},
    report::Report,
};

/// Offers requests when they are due, whatever became of those before; prints the result as JSON.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The server, as an address and a port.
    #[arg(long)]
    to: SocketAddr,
    /// What is asked for.
    #[arg(long, default_value = "/")]
    path: Uri,
    /// A stage of the run, like warm=400/s,2s; several follow each other.
    #[arg(long = "stage", required = true)]
    stages: Vec<Stage>,
    /// A stream with a header of its own, like high=x-priority:high; several share the arrivals.
    #[arg(long = "stream", value_parser = stream)]
    streams: Vec<engine::Stream>,
    /// How arrivals are apart.
    #[arg(long, value_enum, default_value_t = Arriving::Poisson)]
    arriving: Arriving,
    /// Of the arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An answer that comes later than this after its intended start is no good one.
    #[arg(long, value_parser = duration, default_value = "250ms")]
    deadline: Duration,
    /// When callers give up, after the intended start.
    #[arg(long, value_parser = duration, default_value = "1s")]
    timeout: Duration,
    /// How many requests may be on their way; what is due beyond is not sent, and counted.
    #[arg(long, default_value_t = 15_000)]
    in_flight_max: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Arriving {
    Constant,
    Poisson,
}

#[expect(clippy::print_stdout, reason = "the result is the program's output")]
pub(super) async fn offer(arguments: Arguments) -> Result<(), String> {
    let run = arguments.run();
    let ran = engine::run(&run).await.map_err(super::said)?;
    let report = serde_json::to_string(&Report::new(&run, &ran));
    println!("{}", report.map_err(|error| error.to_string())?);
    Ok(())
}

impl Arguments {
    fn run(self) -> Run {
        let mut streams = self.streams;
        if streams.is_empty() {
            streams.push(engine::Stream { name: "all".into(), headers: HeaderMap::new() });
        }
        Run {
            to: self.to,
            path: self.path,
            stages: self.stages,
            streams,
            spacing: match self.arriving {
                Arriving::Constant => Spacing::Constant,
                Arriving::Poisson => Spacing::Poisson,
            },
            seed: self.seed,
            judged: Judged { deadline: self.deadline, step: STEP },
            timeout: self.timeout,
            in_flight_max: self.in_flight_max,
        }
    }
}

/// The grain of goodput over time.
const STEP: Duration = Duration::from_millis(100);

fn stream(text: &str) -> Result<engine::Stream, String> {
    let header = text.split_once('=').and_then(|(name, header)| {
        let (field, value) = header.split_once(':')?;
        let field: HeaderName = field.trim().parse().ok()?;
        let value: HeaderValue = value.trim().parse().ok()?;
        Some((name, HeaderMap::from_iter([(field, value)])))
    });
    let (name, headers) = header
        .ok_or_else(|| format!("`{text}` is no stream; write one like high=x-priority:high"))?;
    Ok(engine::Stream { name: name.to_owned(), headers })
}
