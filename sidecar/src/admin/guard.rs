//! Who may use the admin address.
//!
//! Three guards, each against another caller. A token, where one is set, against whoever can reach
//! the address. The `Host` field on a loopback address, against pages in a browser on this machine
//! whose own name has been made to resolve to it (DNS rebinding): such a page sends its name. And
//! `Origin` on whatever changes something, against pages that post across sites.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;
use weir_config::Secret;

use super::problem::Problem;
use crate::shared::Shared;

/// What a request has to show.
#[derive(Debug)]
pub(super) struct Guard {
    bound: IpAddr,
    /// The token is in its plan: a reload may bring another.
    shared: Arc<Shared>,
}

/// Lets a request through, or says why not.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.admit(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    /// For an API that listens at `bound`.
    pub(super) fn new(bound: SocketAddr, shared: Arc<Shared>) -> Self {
        Self { bound: bound.ip().to_canonical(), shared }
    }

    fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
        let host = uri.authority().map(Authority::as_str).or(host);
        if self.bound.is_loopback() && !host.is_none_or(|host| self.is_local(host)) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the Host field names another host, as after DNS rebinding; \
                 ask localhost or the address that the admin API listens on",
            ));
        }
        if let Some(token) = &self.shared.plan().config.admin.token
            && !carries(headers, token)
        {
            let detail = "send `Authorization: Bearer` with the token from admin.token";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail)
                .with(header::WWW_AUTHENTICATE, "Bearer realm=\"weir\""));
        }
        let origin = headers.get(header::ORIGIN);
        if !method.is_safe() && origin.is_some_and(|origin| !same(origin.as_bytes(), host)) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the Origin field names another site, and only this one may change something",
            ));
        }
        Ok(())
    }

    /// Whether a `Host` is a name of this machine for itself, or the address that is bound.
    fn is_local(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let host = authority.host();
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback() || address.to_canonical() == self.bound)
    }
}

/// Compares in a time that does not tell how much of a token was right.
fn carries(headers: &HeaderMap, token: &Secret) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return false };
    let Some((scheme, sent)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && sent.ct_eq(token.expose().as_bytes()).into()
}

/// Whether an `Origin` is the site that a `Host` names. The scheme may differ: TLS may end before us.
fn same(origin: &[u8], host: Option<&str>) -> bool {
    let site = std::str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"));
    site.zip(host).is_some_and(|((_, site), host)| site.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use crate::admin::fixture::{Fixture, YAML, ask};

    /// The status of `/live` for a request with these fields.
    async fn get(yaml: &str, fields: &[(&str, &str)]) -> u16 {
        let request = fields
            .iter()
            .fold(Request::get("/live"), |request, (name, value)| request.header(*name, *value));
        ask(Fixture::of(yaml).app(), request).await.status
    }

    #[tokio::test]
    async fn on_loopback_only_names_of_this_machine_are_served() {
        for (host, status) in [
            ("localhost", 200),
            ("LocalHost:9901", 200),
            ("127.0.0.1:9901", 200),
            ("127.1.2.3", 200),
            ("[::1]:9901", 200),
            ("localhost.evil.example", 403),
            ("evil.example:9901", 403),
            ("192.0.2.1:9901", 403),
            ("127.0.0.1.evil.example", 403),
            ("", 403),
        ] {
            assert_eq!(get(YAML, &[("host", host)]).await, status, "{host}");
        }
    }

    #[tokio::test]
    async fn beyond_loopback_any_name_is_served_to_who_has_the_token() {
        let yaml = YAML.replace("127.0.0.1:9901 }", "0.0.0.0:9901, token: \"${TOKEN}\" }");
        let host = ("host", "weir.example:9901");
        assert_eq!(get(&yaml, &[host]).await, 401);
        assert_eq!(get(&yaml, &[host, ("authorization", "Bearer s3cret-token")]).await, 200);
    }

    #[tokio::test]
    async fn a_token_is_asked_for_everywhere_and_compared_whole() {
        let yaml = YAML.replace("9901 }", "9901, token: \"${TOKEN}\" }");
        for (sent, status) in [
            ("Bearer s3cret-token", 200),
            ("bearer s3cret-token", 200),
            ("Bearer s3cret-toke", 401),
            ("Bearer s3cret-token2", 401),
            ("Bearer ", 401),
            ("Basic s3cret-token", 401),
            ("s3cret-token", 401),
        ] {
            assert_eq!(get(&yaml, &[("authorization", sent)]).await, status, "{sent}");
        }
        let fixture = Fixture::of(&yaml);
        for path in ["/", "/live", "/metrics", "/config", "/nothing"] {
            let answer = fixture.get(path).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"weir\"");
            assert!(!answer.body.contains("s3cret"));
        }
    }

    #[tokio::test]
    async fn another_site_may_change_nothing() {
        for (origin, drained) in [
            ("http://localhost:9901", true),
            ("https://localhost:9901", true),
            ("http://localhost:3000", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            let fixture = Fixture::new();
            let request = Request::post("/drain").header("host", "localhost:9901");
            let answer = ask(fixture.app(), request.header("origin", origin)).await;
            assert_eq!(answer.status, if drained { 200 } else { 403 }, "{origin}");
            assert_eq!(fixture.admin.shared.draining.is_cancelled(), drained, "{origin}");
        }
    }
}
