//! `weir demo`: the clinic, its dependency, a sidecar between them and the world, and a little traffic.
//!
//! Everything runs in this process, on loopback, and writes no file. The traffic tells a story in
//! rounds: a calm minute, a partner that floods, a dependency that fails, a report that is stuck; so
//! that each refusal can be seen where an operator would look for it.

mod traffic;

use std::{io, net::SocketAddr, process::ExitCode, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use weir_clinic::{Clinic, Settings};

use self::traffic::{Phase, Traffic};
use crate::{
    assemble::{self, Sidecar},
    cli,
    lifecycle::{Asked, Signals},
    logging,
    observe::words::NONE,
    reason::Reason,
};

const CONFIG: &str = include_str!("demo.yaml");
/// Where the demo listens when nobody else does.
const INGRESS: &str = "127.0.0.1:8080";
const EGRESS: &str = "127.0.0.1:9001";
const ADMIN: &str = "127.0.0.1:9901";
/// How often a line is printed.
const REPORT: Duration = Duration::from_secs(2);
/// How long the clinic may finish what it accepted.
const GRACE: Duration = Duration::from_secs(2);

/// Run the sidecar, a service behind it and a little traffic, to look at.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// End after this many seconds instead of at Ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

impl Demo {
    pub(crate) fn run(self) -> ExitCode {
        logging::start("error");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        match runtime.and_then(|runtime| runtime.block_on(self.show())) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => cli::failed(&error),
        }
    }

    async fn show(self) -> io::Result<bool> {
        let mut signals = Signals::new()?;
        let scene = Scene::set().await?;
        cli::print(&scene.addresses());
        scene.sidecar.serving();
        let seconds = self.seconds.map_or(Duration::MAX, Duration::from_secs);
        let asked = tokio::select! {
            asked = signals.next(&scene.sidecar.shared) => asked,
            () = time::sleep(seconds) => Asked::Interrupt,
            never = scene.tell() => match never {},
        };
        scene.end(asked, &mut signals).await
    }
}

/// Everything that takes part.
struct Scene {
    sidecar: Sidecar,
    clinic: SocketAddr,
    services: JoinHandle<()>,
    curtain: CancellationToken,
}

impl Scene {
    async fn set() -> io::Result<Self> {
        let clinic_socket = TcpListener::bind("127.0.0.1:0").await?;
        let dependency_socket = TcpListener::bind("127.0.0.1:0").await?;
        let (clinic, dependency) = (clinic_socket.local_addr()?, dependency_socket.local_addr()?);
        let (ingress, egress, admin) = (free(INGRESS), free(EGRESS), free(ADMIN));
        let variables = move |name: &str| {
            Some(match name {
                "INGRESS" => ingress.to_string(),
                "EGRESS" => egress.to_string(),
                "ADMIN" => admin.to_string(),
                "CLINIC" => clinic.to_string(),
                "DRUG_INFO" => dependency.to_string(),
                _ => return None,
            })
        };
        let config =
            weir_config::load(CONFIG, "demo.yaml", &variables).map_err(io::Error::other)?;
        let sidecar = assemble::start(config).await.map_err(io::Error::other)?;
        let drug_info_base =
            format!("http://{}", sidecar.addresses[1]).parse().map_err(io::Error::other)?;
        let curtain = CancellationToken::new();
        let told = curtain.clone();
        let services = tokio::spawn(async move {
            let service = Clinic::new(Settings { drug_info_base, ..Settings::default() });
            let drug_info = service.dependency();
            tokio::join!(
                service.serve(clinic_socket, told.clone().cancelled_owned(), GRACE),
                drug_info.serve(dependency_socket, told.cancelled_owned(), GRACE),
            );
        });
        Ok(Self { sidecar, clinic, services, curtain })
    }

    fn addresses(&self) -> String {
        let (ingress, egress) = (&self.sidecar.addresses[0], &self.sidecar.addresses[1]);
        let admin = self.sidecar.admin.admin;
        format!(
            "A clinic behind a sidecar, its dependency behind another listener, and a little traffic. Ctrl-C ends it.

  the clinic, governed     http://{ingress}/    curl -i -H 'x-api-key: alpha-key' http://{ingress}/partner/trials
  its dependency (egress)  http://{egress}/    curl -i http://{egress}/drug-info/aspirin
  the sidecar's own page   http://{admin}/    /metrics  /explain  /upstreams  /config  /ready
  the clinic's switches    http://{clinic}/faults

",
            clinic = self.clinic,
        )
    }

    /// Plays the rounds and prints what came of them, for ever.
    async fn tell(&self) -> std::convert::Infallible {
        let traffic = Traffic::new(self.sidecar.addresses[0].to_string(), self.clinic);
        cli::print(&heading());
        let mut ticks = time::interval(REPORT);
        let mut shown: Vec<Reason> = Vec::new();
        ticks.tick().await;
        loop {
            for phase in Phase::ALL {
                traffic.begin(*phase).await;
                for _ in 0..phase.reports() {
                    traffic.run_until(ticks.tick()).await;
                    cli::print(&self.report(*phase));
                    cli::print(&self.first_refusals(&mut shown));
                }
            }
        }
    }

    /// A line of the table.
    fn report(&self, phase: Phase) -> String {
        let totals = self.sidecar.shared.ledger.totals();
        let ended = |reason: Reason| {
            totals.routes.iter().map(|(_, route)| route.ended[reason.index()]).sum::<u64>()
        };
        let counts: String = COLUMNS
            .iter()
            .map(|reason| format!("{:>width$}", ended(*reason), width = width(*reason)))
            .collect();
        format!("{:<28}{counts}\n", phase.story())
    }

    /// For the first refusal of each kind, where its explanation is.
    fn first_refusals(&self, shown: &mut Vec<Reason>) -> String {
        let mut lines = String::new();
        for (id, why) in self.sidecar.shared.explain.recent(64) {
            if !shown.contains(&why.reason) {
                shown.push(why.reason);
                let admin = self.sidecar.admin.admin;
                lines.push_str(&format!(
                    "    {} {}: curl http://{admin}/explain/{id}\n",
                    why.status.map_or(NONE.to_owned(), |status| status.to_string()),
                    why.reason.word()
                ));
            }
        }
        lines
    }

    async fn end(self, asked: Asked, signals: &mut Signals) -> io::Result<bool> {
        let in_order = self.sidecar.end(asked, signals).await;
        self.curtain.cancel();
        self.services.await?;
        Ok(in_order)
    }
}

/// What the table counts.
const COLUMNS: [Reason; 5] = [
    Reason::Ok,
    Reason::UpstreamError,
    Reason::RateLimited,
    Reason::BreakerOpen,
    Reason::UpstreamTotalTimeout,
];

fn heading() -> String {
    let names: String = COLUMNS
        .iter()
        .map(|reason| format!("{:>width$}", reason.word(), width = width(*reason)))
        .collect();
    format!("{:<28}{names}\n", "")
}

fn width(reason: Reason) -> usize {
    reason.word().len().max(6) + 2
}

/// The address, or any free port when somebody else has it.
fn free(address: &str) -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let wanted = address.parse().unwrap_or(any);
    std::net::TcpListener::bind(wanted).map_or(any, |_| wanted)
}
