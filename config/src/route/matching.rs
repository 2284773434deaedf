//! `match:` as it is written, and the name that a route derives from it.

use crate::{
    HeaderMatch, Match, PathMatch,
    decode::{At, Decode, List, Reader, optional, section},
    scalar::{HeaderName, HeaderValue, Host, Leaf as _, Method, Name, Pattern, Text, UrlPath},
    tree::{Kind, NodeId},
};

section! {
    /// Which requests a route takes; at most one of the three kinds of path. A request's path is compared with its percent signs decoded, slashes merged and dot segments resolved.
    struct MatchYaml {
        /// This path and no other.
        path: Option<At<UrlPath>>,
        /// All paths that start like this; `/a/` takes `/a/b`, `/a` takes `/a`, `/a/b` and not `/ab`.
        path_prefix: Option<At<UrlPath>>,
        /// All paths that the expression fits from start to end.
        path_regex: Option<At<Pattern>>,
        /// The host without its port; `*.example.org` takes any one or more labels before it.
        host: Option<At<Host>>,
        /// Methods, in upper case; every one by default.
        methods: Option<At<List<Method, 1>>>,
        /// Headers with their exact values, each of which must hold; `""` takes any value, and a variable must not be empty.
        headers: Option<At<Headers>>,
    }
}

/// Header names with the values they must have.
pub(crate) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Decode for Headers {
    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::Mapping(entries) = &reader.node(node).kind else {
            reader.unexpected(node, "a mapping of header names to values", None);
            return None;
        };
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        let mut whole = true;
        for entry in entries {
            let key = Text { text: entry.key.clone(), plain: false, written: None };
            let value = HeaderValue::decode(entry.value, reader);
            match (HeaderName::parse(&key), value) {
                (Err(wrong), _) => {
                    reader.key_problem(
                        node,
                        entry,
                        format!("{} {}", key.shown(), wrong.what),
                        wrong.help,
                    );
                    whole = false;
                }
                (Ok(name), _) if headers.iter().any(|(other, _)| *other == name) => {
                    let what = "this header is in the mapping already, in other letters".to_owned();
                    reader.key_problem(node, entry, what, "keep one of the two".to_owned());
                }
                (Ok(name), Some(value)) => headers.push((name, value)),
                (Ok(_), None) => whole = false,
            }
        }
        // A mapping has no order; sorted, two files that mean the same are the same.
        headers.sort_by(|(a, _), (b, _)| a.0.cmp(&b.0));
        whole.then_some(Self(headers))
    }

    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let value = HeaderValue::schema(generator);
        schemars::json_schema!({
            "type": "object",
            "propertyNames": HeaderName::describe(),
            "additionalProperties": value
        })
    }
}

impl serde::Serialize for Headers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl MatchYaml {
    pub(crate) fn value(self, node: NodeId, reader: &mut Reader<'_>) -> Option<Match> {
        let kinds = usize::from(self.path.is_some())
            + usize::from(self.path_prefix.is_some())
            + usize::from(self.path_regex.is_some());
        if kinds > 1 {
            reader.problem(
                node,
                "a route matches the path in one way",
                "keep one of `path`, `path_prefix` and `path_regex`",
            );
        }
        let path =
            match (optional(self.path)?, optional(self.path_prefix)?, optional(self.path_regex)?) {
                (Some(path), _, _) => PathMatch::Exact(path.0),
                (None, Some(prefix), _) => PathMatch::Prefix(prefix.0),
                (None, None, Some(pattern)) => PathMatch::Regex(pattern.0),
                (None, None, None) => PathMatch::Prefix("/".to_owned()),
            };
        let methods = optional(self.methods)?.map_or(Vec::new(), |list| list.0);
        let headers = optional(self.headers)?.map_or(Vec::new(), |headers| headers.0);
        let header = |(name, value): (HeaderName, HeaderValue)| HeaderMatch {
            name: name.0,
            value: (!value.value.is_empty()).then_some(value.value),
            written: value.written,
        };
        Some(Match {
            path,
            host: optional(self.host)?.map(|host| host.0),
            methods: methods
                .into_iter()
                .map(|method| method.take().map(|method| method.0))
                .collect::<Option<_>>()?,
            headers: headers.into_iter().map(header).collect(),
        })
    }

    pub(crate) fn of(matches: &Match) -> Self {
        let methods =
            matches.methods.iter().map(|method| At::of(Method(method.clone()))).collect::<Vec<_>>();
        let header = |header: &HeaderMatch| {
            let (value, written) =
                (header.value.clone().unwrap_or_default(), header.written.clone());
            (HeaderName(header.name.clone()), HeaderValue { value, written })
        };
        let headers = matches.headers.iter().map(header).collect::<Vec<_>>();
        let (mut path, mut path_prefix, mut path_regex) = (None, None, None);
        match &matches.path {
            PathMatch::Exact(text) => path = Some(At::of(UrlPath(text.clone()))),
            PathMatch::Prefix(text) => path_prefix = Some(At::of(UrlPath(text.clone()))),
            PathMatch::Regex(regex) => path_regex = Some(At::of(Pattern(regex.clone()))),
        }
        Self {
            path,
            path_prefix,
            path_regex,
            host: matches.host.clone().map(|host| At::of(Host(host))),
            methods: (!methods.is_empty()).then(|| At::of(List(methods))),
            headers: (!headers.is_empty()).then(|| At::of(Headers(headers))),
        }
    }
}

/// A variable's default may hold what no header and no name may.
fn is_plain(text: &&str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

impl Match {
    /// `ingress:/partner/`; methods, host and headers appear where they are matched on.
    ///
    /// An exact path has `=` before it and an expression `~`, as nginx writes them.
    pub(crate) fn name(&self, listener: &str) -> String {
        let mut name = format!("{listener}:");
        if !self.methods.is_empty() {
            name = name + &self.methods.join(",") + " ";
        }
        name += self.host.as_deref().unwrap_or_default();
        match &self.path {
            PathMatch::Exact(path) => name = name + "=" + path,
            PathMatch::Prefix(path) => name += path,
            PathMatch::Regex(regex) => name = name + "~" + Pattern::written(regex),
        }
        for header in &self.headers {
            name = name + " " + &header.name + "=" + header.shown().filter(is_plain).unwrap_or("*");
        }
        // All of it is ASCII, so that any cut is between characters.
        name.truncate(Name::LONGEST);
        name.trim_end().to_owned()
    }
}
