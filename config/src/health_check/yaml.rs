//! `health_check:` as it is written.

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use crate::{
    HealthCheck, Probe, Protocol, Statuses,
    decode::{At, OneOrMany, Reader, optional, section},
    scalar::{Count, Flag, Leaf, Period, ServerName, Text, Time, UrlPath, Wrong},
    tree::NodeId,
};

section! {
    /// Whether endpoints are well, asked without a request: one of `path`, `grpc` and `tcp`, the last of which is asked where none is written.
    struct HealthCheckYaml {
        /// A path that is asked with `GET`, in the upstream's protocol.
        path: Option<At<CheckedPath>>,
        /// A service that `grpc.health.v1.Health/Check` is asked about; `""` for the server as a whole.
        grpc: Option<At<GrpcService>>,
        /// Whether it takes a connection, TLS included.
        tcp: Option<At<Flag>>,
        /// Statuses that are well, one or a list of ranges; goes with `path`.
        statuses: At<OneOrMany<StatusRange>> = OneOrMany(vec![At::of(StatusRange(WELL))]),
        /// The host that is named in the question; the endpoint's own by default. Goes with `path` and `grpc`.
        host: Option<At<ServerName>>,
        /// From the end of one check of an endpoint to the next, give or take a tenth.
        interval: At<Period> = Period::seconds(10),
        /// How long a check may take; lowered to `interval` where it is not written.
        timeout: At<Period> = Period::seconds(1),
        /// Checks in a row that must go well before an unhealthy endpoint is used again.
        healthy_after: At<Count<1, 1_000>> = Count(2),
        /// Checks in a row that must fail before a healthy endpoint is passed over.
        unhealthy_after: At<Count<1, 1_000>> = Count(3),
    }
}

const WELL: Statuses = Statuses { first: 200, last: 299 };

/// A path with its query, as it is sent.
#[derive(Clone, Serialize)]
pub(crate) struct CheckedPath(String);

/// The full name of a gRPC service, or nothing.
#[derive(Clone, Serialize)]
pub(crate) struct GrpcService(String);

/// `200`, or `200-299`.
#[derive(Clone, Copy)]
pub(crate) struct StatusRange(Statuses);

impl Leaf for CheckedPath {
    const EXPECTED: &'static str = "a path such as /healthz";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let whole = text.string()?;
        let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
        let path = Text { text: path.to_owned(), plain: text.plain, written: text.written.clone() };
        UrlPath::parse(&path)?;
        match query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            true => Ok(Self(whole.to_owned())),
            false => Err(Wrong::new(
                "has a query with characters that no request has",
                "write the query percent-encoded",
            )),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "path", "type": "string", "pattern": r#"^/[!"$-)+->@-~]*(\?[!"$-~]*)?$"# })
    }
}

impl Leaf for GrpcService {
    const EXPECTED: &'static str = "the full name of a gRPC service, or \"\"";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        const LONGEST: usize = 256;
        let service = text.text.as_str();
        let help =
            "write its full name, such as `trials.v1.Trials`, or `\"\"` for the server as a whole";
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.plain && matches!(service, "true" | "yes" | "on") {
            Err(Wrong::new("is not a service", help).instead("\"\""))
        } else if service.len() <= LONGEST && service.bytes().all(letter) {
            Ok(Self(text.string()?.to_owned()))
        } else {
            Err(Wrong::new("is not the name of a gRPC service", help))
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "name of a gRPC service", "type": "string", "pattern": "^[0-9A-Za-z._-]*$", "maxLength": 256 })
    }
}

impl Leaf for StatusRange {
    const EXPECTED: &'static str = "a status such as 200, or a range such as 200-299";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let help = "write a status from 100 to 599, or a range such as `200-299`";
        let written = text.text.trim();
        let hundred = |written: &str| match written.as_bytes() {
            [digit @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => {
                let digit = char::from(*digit);
                Some(format!("{digit}00-{digit}99"))
            }
            _ => None,
        };
        if let Some(range) = hundred(written) {
            return Err(Wrong::new("is not a range of statuses", help).instead(range));
        }
        let (first, last) = written.split_once('-').unwrap_or((written, written));
        let status =
            |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(Statuses { first, last })),
            (Some(first), Some(last)) => {
                let wrong = Wrong::new("is a range that ends before it begins", help);
                Err(wrong.instead(format!("{last}-{first}")))
            }
            _ => Err(Wrong::new("is not a status", help)),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "status, or range of statuses", "type": ["string", "integer"], "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$", "minimum": 100, "maximum": 599, "examples": ["200-299"] })
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.first == self.0.last {
            true => serializer.serialize_u16(self.0.first),
            false => serializer.collect_str(&self.0),
        }
    }
}

impl HealthCheckYaml {
    pub(crate) fn value(
        self,
        node: NodeId,
        protocol: Option<Protocol>,
        reader: &mut Reader<'_>,
    ) -> Option<HealthCheck> {
        self.check(reader);
        let timeout = match self.timeout.written() {
            true => self.timeout.take()?.0,
            false => self.timeout.take()?.0.min(self.interval.get()?.0),
        };
        let (interval, healthy_after) = (self.interval.take()?.0, self.healthy_after.take()?);
        let unhealthy_after = self.unhealthy_after.take()?;
        let statuses =
            self.statuses.take()?.0.into_iter().map(|range| range.take().map(|range| range.0));
        let statuses: Option<Vec<_>> = statuses.collect();
        let host = optional(self.host)?.map(|host| host.0);
        let probe = match (self.path, self.grpc, self.tcp) {
            (Some(path), None, None) => {
                Probe::Http { path: path.take()?.0, host, statuses: statuses? }
            }
            (None, Some(grpc), None) => {
                if protocol == Some(Protocol::H1) && grpc.get().is_some() {
                    let help = "write `protocol: h2` on the upstream, or check a `path`";
                    reader.problem(
                        grpc.node(),
                        "gRPC is spoken over HTTP/2, and `protocol` is h1",
                        help,
                    );
                }
                Probe::Grpc { service: grpc.take()?.0, host }
            }
            (None, None, Some(tcp)) => {
                let tcp_node = tcp.node();
                if !tcp.take()?.0 {
                    reader.problem(
                        tcp_node,
                        "nothing would be checked",
                        "write `true`, or leave `health_check` out",
                    );
                }
                Probe::Tcp
            }
            (None, None, None) => Probe::Tcp,
            (path, grpc, _) => {
                let places = [path.map(|at| at.node()), grpc.map(|at| at.node())];
                let first = places.into_iter().flatten().next().unwrap_or(node);
                let help = "keep one of them; one that gets an answer has connected too";
                reader.problem(first, "a check asks one thing: `path`, `grpc` or `tcp`", help);
                return None;
            }
        };
        Some(HealthCheck {
            probe,
            interval,
            timeout,
            healthy_after: healthy_after.nonzero()?,
            unhealthy_after: unhealthy_after.nonzero()?,
        })
    }

    /// What contradicts itself.
    fn check(&self, reader: &mut Reader<'_>) {
        if self.path.is_none() && self.statuses.written() {
            let help = "leave it out, or check a `path`";
            reader.problem(self.statuses.node(), "only a `path` is answered with a status", help);
        }
        if let (Some(host), None, None) = (&self.host, &self.path, &self.grpc) {
            let help = "leave it out, or check a `path`";
            reader.problem(host.node(), "a connection alone names no host", help);
        }
        if let (Some(timeout), Some(interval)) = (self.timeout.get(), self.interval.get())
            && self.timeout.written()
            && timeout.0 > interval.0
        {
            let what = format!(
                "{} is longer than `interval`, {}",
                reader.shown(self.timeout.node()),
                match self.interval.written() {
                    true => reader.shown(self.interval.node()),
                    false => format!("which is {interval} by default"),
                }
            );
            reader.problem(self.timeout.node(), what, "raise `interval`, or make this shorter");
        }
    }

    pub(crate) fn of(check: &HealthCheck) -> Self {
        let (mut path, mut grpc, mut tcp) = (None, None, None);
        let (mut named, mut well) = (None, At::absent());
        match &check.probe {
            Probe::Http { path: asked, host, statuses } => {
                path = Some(At::of(CheckedPath(asked.clone())));
                named.clone_from(host);
                well = At::of(OneOrMany(
                    statuses.iter().map(|range| At::of(StatusRange(*range))).collect(),
                ));
            }
            Probe::Grpc { service, host } => {
                grpc = Some(At::of(GrpcService(service.clone())));
                named.clone_from(host);
            }
            Probe::Tcp => tcp = Some(At::of(Flag(true))),
        }
        Self {
            path,
            grpc,
            tcp,
            statuses: well,
            host: named.map(|host| At::of(ServerName(host))),
            interval: At::of(Time(check.interval)),
            timeout: At::of(Time(check.timeout)),
            healthy_after: At::of(Count(check.healthy_after.get())),
            unhealthy_after: At::of(Count(check.unhealthy_after.get())),
        }
    }
}
