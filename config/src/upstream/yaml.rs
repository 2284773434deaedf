//! `upstreams:` as they are written.

use std::collections::HashSet;

use crate::{
    Balance, Endpoint, Mode, Outlier, Protocol, Tls, Upstream,
    concurrency::yaml::ConcurrencyYaml,
    decode::{At, List, Reader, Section, optional, section},
    health_check::yaml::HealthCheckYaml,
    outlier::yaml::OutlierYaml,
    scalar::{Delay, FilePath, Period, ServerName, Time, Url, word},
    scope::Scope,
    tree::NodeId,
};

section! {
    /// A service with one or more endpoints.
    struct UpstreamYaml {
        /// Where it listens: `host:port` or `unix:/path`; every address of a name becomes an endpoint.
        endpoints: At<List<Endpoint, 1>>,
        /// How an endpoint is chosen.
        balance: At<Balance> = Balance::RoundRobin,
        /// How many at once, over all routes that have no limit of their own.
        concurrency: Section<ConcurrencyYaml>,
        /// How endpoints are asked whether they are well; they are not by default.
        health_check: Option<At<HealthCheckYaml>>,
        /// When one is passed over because it fails where others do not.
        outlier: Section<OutlierYaml>,
        /// How long the share of an endpoint grows that is new, or is used again after it was unhealthy or ejected; zero gives it its whole share at once.
        slow_start: At<Delay> = Delay::seconds(30),
        /// What is spoken: HTTP/1.1 or HTTP/2.
        protocol: At<Protocol> = Protocol::H1,
        /// How TLS is spoken; cleartext by default.
        tls: Option<At<TlsYaml>>,
        /// How long an idle connection is kept; the default is below the 5 s at which Node and uvicorn close theirs.
        keepalive: At<Period> = Period::seconds(3),
        /// How often DNS names are resolved again.
        dns_refresh: At<Period> = Period::seconds(10),
        /// Where the service shows what it is doing.
        runtime: Section<RuntimeYaml>,
    }
}

section! {
    /// TLS towards an upstream.
    struct TlsYaml {
        /// The name asked for and verified; by default the one name that all endpoints share.
        sni: Option<At<ServerName>>,
        /// A PEM file of the authorities that are believed; the system's by default.
        ca: Option<At<FilePath>>,
    }
}

section! {
    /// Where a service shows what it is doing.
    struct RuntimeYaml {
        /// Where Go's profiles are served, such as `http://127.0.0.1:6060/debug/pprof/`.
        go_pprof: Option<At<Url>>,
    }
}

word! {
    Balance is "a way to balance" {
        "round_robin" ["rr"] => RoundRobin,
        "least_requests" ["leastconn", "leastconnections", "leastrequest", "p2c"] => LeastRequests,
        "peak_ewma" ["ewma", "leasttime", "latency", "leastlatency"] => PeakEwma,
    }
}

word! {
    Protocol is "a protocol" {
        "h1" ["http", "http1", "http1.1", "http/1", "http/1.1"] => H1,
        "h2" ["http2", "http/2", "h2c", "grpc"] => H2,
    }
}

impl UpstreamYaml {
    pub(crate) fn value(
        self,
        name: String,
        scope: &mut Scope,
        reader: &mut Reader<'_>,
    ) -> Option<Upstream> {
        let endpoints = self.endpoints.take().and_then(|list| endpoints(list, reader));
        let tls = match self.tls {
            None => Some(None),
            Some(at) => {
                let node = at.node();
                at.take().and_then(|yaml| yaml.value(node, endpoints.as_deref(), reader)).map(Some)
            }
        };
        let concurrency_at = self.concurrency.0.node();
        let concurrency = self.concurrency.0.take();
        let concurrency = concurrency.and_then(|yaml| yaml.value(&name, concurrency_at, reader));
        if let Some(limit) = &concurrency {
            let what = "the concurrency limit's name";
            let help = "give this one a `name` of its own";
            scope.shared_limits.claim(limit.name.clone(), concurrency_at, what, help, reader);
        }
        let protocol = self.protocol.take();
        let health_check = match self.health_check {
            None => Some(None),
            Some(at) => {
                let node = at.node();
                at.take().and_then(|yaml| yaml.value(node, protocol, reader)).map(Some)
            }
        };
        let outlier = outlier(self.outlier.0, endpoints.as_deref(), reader);
        Some(Upstream {
            name,
            concurrency: concurrency?,
            endpoints: endpoints?,
            balance: self.balance.take()?,
            health_check: health_check?,
            outlier: outlier?,
            slow_start: self.slow_start.take()?.0,
            protocol: protocol?,
            tls: tls?,
            keepalive: self.keepalive.take()?.0,
            dns_refresh: self.dns_refresh.take()?.0,
            go_pprof: optional(self.runtime.0.take()?.go_pprof)?.map(|url| url.0),
        })
    }

    pub(crate) fn of(upstream: &Upstream) -> Self {
        let tls = |tls: &Tls| TlsYaml {
            sni: Some(At::of(ServerName(tls.sni.clone()))),
            ca: tls.ca.clone().map(|path| At::of(FilePath(path))),
        };
        Self {
            endpoints: At::of(List(upstream.endpoints.iter().cloned().map(At::of).collect())),
            balance: At::of(upstream.balance),
            concurrency: Section(At::of(ConcurrencyYaml::of(&upstream.concurrency))),
            health_check: upstream
                .health_check
                .as_ref()
                .map(|check| At::of(HealthCheckYaml::of(check))),
            outlier: Section(match &upstream.outlier {
                Some(outlier) => At::of(OutlierYaml::of(outlier)),
                None => At::absent(),
            }),
            slow_start: At::of(Time(upstream.slow_start)),
            protocol: At::of(upstream.protocol),
            tls: upstream.tls.as_ref().map(|value| At::of(tls(value))),
            keepalive: At::of(Time(upstream.keepalive)),
            dns_refresh: At::of(Time(upstream.dns_refresh)),
            runtime: Section(At::of(RuntimeYaml {
                go_pprof: upstream.go_pprof.clone().map(|url| At::of(Url(url))),
            })),
        }
    }
}

impl TlsYaml {
    fn value(
        self,
        node: NodeId,
        endpoints: Option<&[Endpoint]>,
        reader: &mut Reader<'_>,
    ) -> Option<Tls> {
        let sni = match self.sni {
            Some(sni) => sni.take()?.0,
            None => match shared_name(endpoints?) {
                Some(host) => host.to_owned(),
                None => {
                    reader.missing(node, "sni", "<the name in the service's certificate>");
                    return None;
                }
            },
        };
        Some(Tls { sni, ca: optional(self.ca)?.map(|path| path.0) })
    }
}

/// The only endpoint there ever is has no others to differ from: to write when it is ejected is a mistake.
fn outlier(
    at: At<OutlierYaml>,
    endpoints: Option<&[Endpoint]>,
    reader: &mut Reader<'_>,
) -> Option<Option<Outlier>> {
    let (node, written) = (at.node(), at.written());
    let outlier = at.take()?.value(reader)?;
    if !endpoints.is_some_and(Upstream::is_single) {
        return Some(Some(outlier));
    }
    if written && outlier.mode != Mode::Disabled {
        let help = "leave `outlier` out, or add the other endpoints; on a route, `breaker` is for a service that fails";
        reader.problem(node, "the only endpoint is never ejected, so this does nothing", help);
    }
    Some(None)
}

fn endpoints(list: List<Endpoint, 1>, reader: &mut Reader<'_>) -> Option<Vec<Endpoint>> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut seen = HashSet::new();
    let mut whole = true;
    for at in list.0 {
        let node = at.node();
        match at.take() {
            Some(endpoint) if !seen.insert(endpoint.clone()) => {
                reader.problem(node, "this endpoint is in the list already", "keep one of the two");
            }
            Some(endpoint) => endpoints.push(endpoint),
            None => whole = false,
        }
    }
    whole.then_some(endpoints)
}

/// The host when it is one and the same, and a name.
fn shared_name(endpoints: &[Endpoint]) -> Option<&str> {
    fn host(endpoint: &Endpoint) -> Option<&str> {
        match endpoint {
            Endpoint::Name { host, .. } => Some(host),
            _ => None,
        }
    }
    let first = host(endpoints.first()?)?;
    endpoints.iter().all(|endpoint| host(endpoint) == Some(first)).then_some(first)
}
