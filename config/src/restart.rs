//! What cannot change while the process runs.

use crate::{Config, Diagnostics, Document, Listener, Objection};

/// Keys that are read at the start alone, each with the reason.
pub const NEEDS_RESTART: [(&str, &str); 4] = [
    ("threads", "each worker has its thread from the start"),
    ("admin.address", "its socket is bound at the start"),
    ("admin.health_address", "its socket is bound at the start"),
    ("listeners[].address", "sockets are bound at the start, so listeners neither come nor go"),
];

/// What `after` says that a process which runs by `before` could only do after a restart; `Ok` when
/// there is nothing, with a default that depends on the machine as it was at the start.
///
/// # Errors
/// Each such key with its place, what it is and what it would be.
pub fn without_restart(before: &Document, mut after: Document) -> Result<Document, Diagnostics> {
    if !before.has("threads") && !after.has("threads") {
        after.config.threads = before.config.threads;
    }
    let objections = objections(&before.config, &after.config);
    if objections.is_empty() { Ok(after) } else { Err(after.objected(&objections)) }
}

fn objections(before: &Config, after: &Config) -> Vec<Objection> {
    let health = |config: &Config| config.admin.health_address.map(|address| address.to_string());
    let fixed = |path: &str, was: String, is: String| changed(path, Some(was), Some(is));
    let mut found = vec![
        fixed("threads", before.threads.to_string(), after.threads.to_string()),
        fixed("admin.address", before.admin.address.to_string(), after.admin.address.to_string()),
        changed("admin.health_address", health(before), health(after)),
    ];
    for (index, listener) in after.listeners.iter().enumerate() {
        let path = format!("listeners[{index}]");
        found.push(match named(&before.listeners, &listener.name) {
            Some(was) => {
                let (was, is) = (was.address.to_string(), listener.address.to_string());
                fixed(&format!("{path}.address"), was, is)
            }
            None => Some(Objection {
                path,
                what: format!("listener `{}` is new, which takes a restart", listener.name),
                help: "restart the process, or leave the listener out".to_owned(),
            }),
        });
    }
    let gone = before.listeners.iter().filter(|one| named(&after.listeners, &one.name).is_none());
    found.extend(gone.map(|listener| {
        Some(Objection {
            path: "listeners".to_owned(),
            what: format!(
                "listener `{}` at `{}` is gone, which takes a restart",
                listener.name, listener.address
            ),
            help: "restart the process, or put the listener back".to_owned(),
        })
    }));
    found.into_iter().flatten().collect()
}

fn changed(path: &str, was: Option<String>, is: Option<String>) -> Option<Objection> {
    let shown =
        |value: &Option<String>| value.as_ref().map_or("none".to_owned(), |one| format!("`{one}`"));
    let leave =
        was.as_ref().map_or("leave it out".to_owned(), |was| format!("leave it at `{was}`"));
    (was != is).then(|| Objection {
        path: path.to_owned(),
        what: format!("it is {} and would be {}, which takes a restart", shown(&was), shown(&is)),
        help: format!("restart the process, or {leave}"),
    })
}

fn named<'a>(listeners: &'a [Listener], name: &str) -> Option<&'a Listener> {
    listeners.iter().find(|listener| listener.name == name)
}
