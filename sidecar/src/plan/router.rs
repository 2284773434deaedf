//! Which route takes a request: the first that matches, in file order.
//!
//! Tables of tens of routes are walked in order, because order is what the file promises; a trie
//! would have to rebuild that order for hosts, methods and headers.

use std::sync::Arc;

use http::{HeaderMap, Method};
use weir_config::{HeaderMatch, Match, PathMatch};

use super::{Route, path::normalised};

/// The routes of a listener.
#[derive(Debug)]
pub(crate) struct Router {
    entries: Vec<(Match, Arc<Route>)>,
}

impl Router {
    pub(crate) fn new(mut entries: Vec<(Match, Arc<Route>)>) -> Self {
        for (matches, _) in &mut entries {
            // Else one that is written as callers send it would never meet what it is matched on.
            if let PathMatch::Exact(path) | PathMatch::Prefix(path) = &mut matches.path {
                *path = normalised(path).into_owned();
            }
        }
        Self { entries }
    }

    /// The route of a request; `host` without its port, `path` as it was sent, without its query.
    pub(crate) fn route(
        &self,
        method: &Method,
        host: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<&Arc<Route>> {
        let path = normalised(path);
        self.entries
            .iter()
            .find(|(matches, _)| takes(matches, method, host, &path, headers))
            .map(|(_, route)| route)
    }

    /// Of a request that no route takes: which route misses the least of it, and what that is. Values that
    /// may be secrets are not named.
    pub(crate) fn nearest(
        &self,
        method: &Method,
        host: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<String> {
        let path = normalised(path);
        let missed = |(matches, route): &(Match, Arc<Route>)| {
            let missed = misses(matches, method, host, &path, headers);
            (missed.len(), missed, route.name.clone())
        };
        let (_, missed, name) = self.entries.iter().map(missed).min_by_key(|(count, ..)| *count)?;
        Some(format!("{}, as route {name} takes it", missed.join(" and ")))
    }
}

/// What of a request is not as a route has it.
fn misses(
    matches: &Match,
    method: &Method,
    host: &str,
    path: &str,
    headers: &HeaderMap,
) -> Vec<String> {
    let mut missed = Vec::new();
    if !takes_path(&matches.path, path) {
        missed.push(match &matches.path {
            PathMatch::Exact(exact) => format!("the path {exact}"),
            PathMatch::Prefix(prefix) => format!("a path below {prefix}"),
            PathMatch::Regex(regex) => format!("a path that fits {regex}"),
        });
    }
    if !takes_method(matches, method) {
        missed.push(format!("the method {}", matches.methods.join(" or ")));
    }
    if let Some(pattern) = matches.host.as_deref().filter(|pattern| !takes_host(pattern, host)) {
        missed.push(format!("the host {pattern}"));
    }
    let fields = matches.headers.iter().filter(|header| !takes_header(header, headers));
    missed.extend(fields.map(|header| match header.value {
        Some(_) => format!("the value of {} that the route has", header.name),
        None => format!("a header {}", header.name),
    }));
    missed
}

fn takes_method(matches: &Match, method: &Method) -> bool {
    matches.methods.is_empty() || matches.methods.iter().any(|taken| taken == method.as_str())
}

fn takes(matches: &Match, method: &Method, host: &str, path: &str, headers: &HeaderMap) -> bool {
    takes_path(&matches.path, path)
        && takes_method(matches, method)
        && matches.host.as_deref().is_none_or(|pattern| takes_host(pattern, host))
        && matches.headers.iter().all(|header| takes_header(header, headers))
}

fn takes_path(pattern: &PathMatch, path: &str) -> bool {
    match pattern {
        PathMatch::Exact(exact) => path == exact,
        PathMatch::Prefix(prefix) => path.strip_prefix(prefix.as_str()).is_some_and(|rest| {
            // `/a` is a whole segment: it takes `/a` and `/a/b`, never `/ab`.
            prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
        }),
        PathMatch::Regex(regex) => {
            regex.find(path).is_some_and(|found| found.start() == 0 && found.end() == path.len())
        }
    }
}

fn takes_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => host.eq_ignore_ascii_case(pattern),
        Some(suffix) => host
            .len()
            .checked_sub(suffix.len())
            .filter(|labels| *labels > 0)
            .and_then(|labels| host.get(labels..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
    }
}

fn takes_header(wanted: &HeaderMatch, headers: &HeaderMap) -> bool {
    headers.get_all(wanted.name.as_str()).iter().any(|value| {
        wanted.value.as_ref().is_none_or(|wanted| value.as_bytes() == wanted.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_exactly_as_the_file_says() {
        let prefix = |prefix: &str| PathMatch::Prefix(prefix.into());
        let regex = |pattern: &str| PathMatch::Regex(regex::Regex::new(pattern).unwrap());
        for (pattern, path, taken) in [
            (prefix("/"), "/anything", true),
            (prefix("/a"), "/a", true),
            (prefix("/a"), "/a/b", true),
            (prefix("/a"), "/ab", false),
            (prefix("/a/"), "/a/b", true),
            (prefix("/a/"), "/a", false),
            (PathMatch::Exact("/a".into()), "/a", true),
            (PathMatch::Exact("/a".into()), "/a/", false),
            (regex("/studies/[0-9]+"), "/studies/42", true),
            (regex("/studies/[0-9]+"), "/studies/42/report", false),
            (regex("/studies/[0-9]+"), "/old/studies/42", false),
        ] {
            assert_eq!(takes_path(&pattern, path), taken, "{pattern:?} on {path}");
        }
    }

    #[test]
    fn a_star_takes_labels_and_not_the_bare_domain() {
        for (pattern, host, taken) in [
            ("example.org", "EXAMPLE.org", true),
            ("example.org", "a.example.org", false),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
        ] {
            assert_eq!(takes_host(pattern, host), taken, "{pattern} on {host}");
        }
    }
}
