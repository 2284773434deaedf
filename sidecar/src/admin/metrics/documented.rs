//! What is served is what `docs/metrics.md` says, and the other way round.

use std::collections::{BTreeMap, BTreeSet};

use super::parsed::busy;
use crate::{
    observe::metrics::Format,
    reason::{Class, Reason},
};

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// Types and labels of families by name.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// The rows of the page's tables of metrics.
fn documented() -> Families {
    let words = |cell: &str| {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect::<Vec<_>>()
    };
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, _, labels, _, _] = cells[..] else { return None };
        let name = words(name).pop()?;
        Some((name, (kind.to_owned(), words(labels).into_iter().collect())))
    };
    PAGE.lines().filter_map(row).collect()
}

/// What a scrape has.
fn served() -> Families {
    let text = busy().admin.metrics.render(Format::Prometheus).unwrap();
    let mut served = Families::new();
    for line in text.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let kind = if name.ends_with("_info") { "info" } else { kind };
            served.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, labels)) = line.split_once('{') {
            // Of a histogram the samples have names of their own; `le` is the format's.
            let family = name.trim_end_matches("_bucket");
            let Some((_, found)) = served.get_mut(family) else { continue };
            let names = labels.split("=\"").filter_map(|part| part.rsplit(['"', ',']).next());
            let known =
                |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            found.extend(names.filter(known).filter(|name| *name != "le").map(str::to_owned));
        }
    }
    served
}

#[test]
fn every_metric_has_its_row_and_every_row_its_metric() {
    assert_eq!(documented(), served());
}

#[test]
fn every_reason_has_its_row() {
    for &reason in Reason::ALL {
        let status = match (reason.class(), reason) {
            (Class::Cancelled, _) => "none".to_owned(),
            (_, Reason::Ok | Reason::UpstreamError | Reason::UpstreamPushback) => {
                "its own".to_owned()
            }
            _ => reason.status().as_u16().to_string(),
        };
        let row = format!("| `{}` | `{}` | {status} |", reason.word(), reason.class().word());
        assert!(PAGE.contains(&row), "{row}");
    }
}
