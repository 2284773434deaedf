//! The configuration of a Weir sidecar: YAML in, values that cannot be wrong out.
//!
//! A file becomes a [`Config`] in one step, [`load`]; nothing downstream validates again. Units live
//! in types, defaults are filled in, names are resolved. Or it becomes [`Diagnostics`]: all that is
//! wrong with it, at once.
//!
//! ```
//! let text = r#"
//! version: 1
//! listeners:
//!   - { address: 0.0.0.0:8080, upstream: ap }
//! upstreams:
//!   app: { endpoints: ["127.0.0.1:3000"] }
//! "#;
//! let diagnostics = weir_config::load(text, "weir.yaml", &|_| None).unwrap_err();
//! assert!(diagnostics.to_string().contains("did you mean `app`?"));
//! ```
//!
//! On the way it is a tree of nodes that know their places (`tree`), then structs that say which keys
//! there are (the `yaml` module beside each section's values, read by `decode`), then values.

mod admin;
mod breaker;
mod changes;
mod concurrency;
mod deadline;
mod decode;
mod diagnostics;
mod document;
mod faults;
mod file;
mod grpc_status;
mod health_check;
mod limits;
mod listener;
mod mode;
mod outlier;
mod priority;
mod rate_limit;
mod read;
mod reference;
mod reload;
mod restart;
mod retry;
mod route;
mod scalar;
mod schema;
mod scope;
mod show;
mod source;
mod timeout;
mod tree;
mod units;
mod upstream;
mod variable;

pub use admin::{Admin, Secret};
pub use breaker::{AdaptiveBreaker, Breaker, BreakerScope, Trip, TripBreaker};
pub use changes::{Changes, Names};
pub use concurrency::{AdaptiveLimit, Concurrency, ConcurrencyLimit, Queue};
pub use deadline::Deadline;
pub use diagnostics::Diagnostics;
pub use document::{Document, Objection};
pub use faults::{Abort, AbortFault, DelayFault, DripFault, FaultHeader, Faults};
pub use file::load;
pub use grpc_status::GrpcStatus;
pub use health_check::{HealthCheck, Probe, Statuses};
pub use limits::{ListenerLimits, RouteLimits};
pub use listener::{Address, Listener, ListenerTimeout};
pub use mode::Mode;
pub use outlier::Outlier;
pub use priority::{Priorities, Priority};
pub use rate_limit::{
    Key, RateLimit,
    shared::{OnStoreLoss, Shared, Store},
};
pub use read::{FILE_BYTES_MAX, read};
pub use reference::reference;
pub use reload::Reload;
pub use restart::{NEEDS_RESTART, without_restart};
pub use retry::{Retry, RetryBudget, RetryOn};
pub use route::{HeaderMatch, Match, PathMatch, Route};
pub use schema::schema;
pub use show::show;
pub use timeout::Timeout;
pub use units::{ByteSize, Ratio, parse_bytes, parse_duration};
pub use upstream::{Balance, Endpoint, Protocol, Tls, Upstream};

use std::{num::NonZeroUsize, time::Duration};

/// Everything a sidecar is told, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The operator's own listener.
    pub admin: Admin,
    /// Worker threads of the data plane; defaults to the number of processors.
    pub threads: NonZeroUsize,
    /// Peers whose forwarding, priority, deadline and fault headers are believed.
    pub trusted: Vec<ipnet::IpNet>,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// When the file is read again.
    pub reload: Reload,
    /// Where requests come in; at least one.
    pub listeners: Vec<Listener>,
    /// Where requests go, sorted by name.
    pub upstreams: Vec<Upstream>,
}

/// How the process ends after a SIGTERM or `POST /drain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long listeners still accept after readiness has failed; zero closes them at once.
    pub drain_delay: Duration,
    /// When what still runs is cut, counted from the signal.
    pub deadline: Duration,
}
