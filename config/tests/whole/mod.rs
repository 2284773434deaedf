//! Fragments made whole files.

#![allow(dead_code, reason = "no test needs them all")]

/// A file whose first route has `fragment` beside its upstream.
pub(crate) fn route(fragment: &str) -> String {
    let fragment = fragment.replace('\n', "\n    ");
    listener(&format!("routes:\n  - upstream: app\n    {fragment}"))
}

/// A file whose first listener has `fragment` beside its address.
pub(crate) fn listener(fragment: &str) -> String {
    let fragment = fragment.replace('\n', "\n    ");
    file(&format!("listeners:\n  - address: 0.0.0.0:8080\n    {fragment}"))
}

/// A file whose upstream is `fragment`.
pub(crate) fn upstream(fragment: &str) -> String {
    format!(
        "version: 1\nlisteners: [{{ address: 0.0.0.0:8080, upstream: app }}]\nupstreams:\n  app: {fragment}\n"
    )
}

/// A file with an upstream and `fragment`.
pub(crate) fn file(fragment: &str) -> String {
    format!("version: 1\n{fragment}\nupstreams:\n  app: {{ endpoints: [\"127.0.0.1:3000\"] }}\n")
}

/// A file that is whole but for `fragment`.
pub(crate) fn beside(fragment: &str) -> String {
    format!("{fragment}\n{}", file("listeners: [{ address: 0.0.0.0:8080, upstream: app }]"))
}
