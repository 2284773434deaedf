//! `/metrics`: every metric, in the format that the caller prefers.

#[cfg(test)]
mod documented;
#[cfg(test)]
mod parsed;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Admin, problem::Problem};
use crate::observe::metrics::Format;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/metrics", get(scrape))
}

async fn scrape(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, Problem> {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let format = preferred(lines);
    let text = admin.metrics.render(format).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written")
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

/// OpenMetrics for callers that name it and do not name plain text with a higher weight.
///
/// A wildcard does not count as naming: whoever takes anything gets the older format, unless they
/// also say that they know the newer one. Other versions than 1.0.0 are not ours to write.
fn preferred<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let (mut open_metrics, mut plain) = (0.0, 0.0_f32);
    for range in accept.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let value = |wanted: &str| {
            let found =
                parameters.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim().trim_matches('"'))
        };
        let weight: f32 = value("q").map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        if media.eq_ignore_ascii_case("application/openmetrics-text")
            && value("version").is_none_or(|version| version == "1.0.0")
        {
            open_metrics = weight.max(open_metrics);
        } else if media.eq_ignore_ascii_case("text/plain") {
            plain = weight.max(plain);
        }
    }
    if open_metrics > 0.0 && open_metrics >= plain {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_preferred() {
        use Format::{OpenMetrics, Prometheus};
        for (accept, format) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/html, */*;q=0.8", Prometheus),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\", */*", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0, text/plain;q=0.5", Prometheus),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.5", Prometheus),
            ("application/openmetrics-text;q=0, */*", Prometheus),
            // What Prometheus 3 sends.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
        ] {
            assert_eq!(preferred([accept].into_iter()), format, "{accept}");
        }
    }
}
