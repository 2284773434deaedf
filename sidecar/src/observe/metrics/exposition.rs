//! The two text formats: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! prometheus-client writes OpenMetrics text alone. The older format differs in what it says *about*
//! samples, never in the samples: there a family is named as its samples are (`requests_total`, not
//! `requests`), an info is a gauge, what is unknown is untyped, and nothing marks the end. So it is
//! made from the newer one, line by line.
//!
//! Sources: prometheus.io, "Exposition formats"; the OpenMetrics 1.0 specification, "Text format".

use std::fmt;

use prometheus_client::{encoding::text, registry::Registry};

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus text, version 0.0.4.
    Prometheus,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The `Content-Type` of an answer in it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn render(registry: &Registry, format: Format) -> Result<String, fmt::Error> {
    let mut text = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut text, registry)?,
        Format::Prometheus => {
            text::encode_registry(&mut text, registry)?;
            text = to_prometheus(&text);
        }
    }
    Ok(text)
}

fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 16);
    // Which name a family has is known one line after its help.
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with("# UNIT ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_named_as_its_samples_are() {
        let open_metrics = "\
# HELP requests Requests.
# TYPE requests counter
requests_total{route=\"a # TYPE b\"} 1
# HELP build What runs.
# TYPE build info
build_info{version=\"1\"} 1
# HELP took_seconds How long.
# TYPE took_seconds gauge
# UNIT took_seconds seconds
took_seconds 0.5
";
        let prometheus = "\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route=\"a # TYPE b\"} 1
# HELP build_info What runs.
# TYPE build_info gauge
build_info{version=\"1\"} 1
# HELP took_seconds How long.
# TYPE took_seconds gauge
took_seconds 0.5
";
        assert_eq!(to_prometheus(open_metrics), prometheus);
    }
}
