//! `routes:` which requests, to where, under which policies.

pub(crate) mod matching;
pub(crate) mod yaml;

use std::fmt;

use regex::Regex;

use crate::{
    Breaker, Concurrency, Deadline, Faults, Priorities, RateLimit, Retry, RouteLimits, Timeout,
};

/// A route with all its policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name, unique in the file; `<listener>:<match>` where none was written.
    pub name: String,
    /// Which requests it takes.
    pub matches: Match,
    /// The name of an upstream that exists.
    pub upstream: String,
    /// Responses are streams (server-sent events, gRPC streams): `total` ends at the response header, and bodies have no limit.
    pub stream: bool,
    /// Rate limits, all or none debited; empty by default.
    pub rate_limits: Vec<RateLimit>,
    /// The breaker; adaptive by default.
    pub breaker: Breaker,
    /// What becomes of a request that cannot make it.
    pub deadline: Deadline,
    /// A concurrency limit of its own; `None` leaves it to that of the upstream.
    pub concurrency: Option<Concurrency>,
    /// How its requests get their class.
    pub priority: Priorities,
    /// What is made to go wrong; nothing by default.
    pub faults: Option<Faults>,
    /// What is tried again; nothing by default but connections that had ended in the pool.
    pub retry: Retry,
    /// The times.
    pub timeout: Timeout,
    /// The sizes.
    pub limits: RouteLimits,
}

/// All of what is set must hold; what is not set holds for every request.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// On the path, without the query; exactly one of three kinds, a prefix of `/` by default.
    pub path: PathMatch,
    /// The host without its port, in lower case; `*.example.org` takes any one or more labels before it.
    pub host: Option<String>,
    /// Methods, in upper case; empty takes every one.
    pub methods: Vec<String>,
    /// Headers by name, each of which must hold.
    pub headers: Vec<HeaderMatch>,
}

/// On what a path must fit.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// `path:` this one and no other.
    Exact(String),
    /// `path_prefix:` all that start like this; `/a/` takes `/a/b`, `/a` takes `/a`, `/a/b` and not `/ab`.
    Prefix(String),
    /// `path_regex:` all that the expression fits from start to end (it is anchored on both sides).
    Regex(Regex),
}

impl PartialEq for PathMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) | (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

/// `headers: { x-tenant: acme }`; an empty value takes any request that has the header.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// The exact value, or `None` when it is enough that the header is there.
    pub value: Option<String>,
    /// As the file has it, when a variable took part: it may be a secret, so this is what names and dumps
    /// show.
    pub written: Option<String>,
}

impl HeaderMatch {
    /// The value, or the variable that it came from.
    pub(crate) fn shown(&self) -> Option<&str> {
        self.written.as_deref().or(self.value.as_deref())
    }
}

impl fmt::Debug for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderMatch")
            .field("name", &self.name)
            .field("value", &self.shown())
            .finish()
    }
}
