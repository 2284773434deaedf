//! What someone wrote, in our spelling.
//!
//! Nothing is offered here that was not read on trial: a fix that is refused in its turn is worse than
//! none.

use super::{
    Decode, Reader,
    suggest::{example, normal, spelling},
};
use crate::{
    diagnostics::cut,
    tree::{Entry, Kind, NodeId},
};

/// Where one value stands for a whole section and several keys would take it, one of these is meant.
const MEANT: [&str; 9] =
    ["limit", "total", "deadline", "path_prefix", "qps", "error_ratio", "header", "address", "sni"];

/// A value as the section that it stands for: `64` as `{ limit: 64 }`; `None` when that is not clear.
pub(super) fn section<T: Decode>(node: NodeId, reader: &Reader<'_>) -> Option<String> {
    let value = inline(node, reader).filter(|value| !is_unit_of_time(value))?;
    let keys = || T::KEYS.iter().copied().filter(|key| *key != "name");
    let named: Vec<_> =
        keys().filter(|key| **key == value).map(|key| (key, example(key, reader))).collect();
    let alone: Vec<_> = keys().map(|key| (key, value.clone())).collect();
    let listed: Vec<_> = keys().map(|key| (key, format!("[{value}]"))).collect();
    let mut corrected = Vec::new();
    for pairs in [named, alone, listed] {
        let mut accepted = Vec::new();
        for (key, value) in pairs {
            match tried::<T>(key, &value, reader) {
                Ok(block) => accepted.push((key, block)),
                Err(instead) => corrected.extend(instead.map(|instead| (key, instead))),
            }
        }
        if !accepted.is_empty() {
            return clear(accepted);
        }
    }
    let tried = |(key, value): (_, String)| Some((key, tried::<T>(key, &value, reader).ok()?));
    clear(corrected.into_iter().filter_map(tried).collect())
}

/// `true` as the section with nothing but defaults.
pub(super) fn switched_on<T: Decode>(node: NodeId, reader: &Reader<'_>) -> Option<String> {
    let on = switched(&inline(node, reader)?) == Some(true) && reader.tried::<T>("{}").is_ok();
    on.then(|| "{}".to_owned())
}

/// The section with that key, and with an upstream where nothing leads anywhere without.
fn tried<T: Decode>(key: &str, value: &str, reader: &Reader<'_>) -> Result<String, Option<String>> {
    let leads = key == "upstream" || !T::KEYS.contains(&"upstream");
    let block = match leads {
        true => format!("{{ {key}: {value} }}"),
        false => format!("{{ {key}: {value}, upstream: {} }}", example("upstream", reader)),
    };
    reader.tried::<T>(&block).map(|()| block)
}

/// The only one, or the one that is meant among several.
fn clear(mut accepted: Vec<(&str, String)>) -> Option<String> {
    let at = accepted.iter().position(|(key, _)| MEANT.contains(key));
    let at = at.or((accepted.len() == 1).then_some(0))?;
    Some(accepted.swap_remove(at).1)
}

/// A value as the list of it: `GET` as `[GET]`.
pub(super) fn list<T: Decode>(node: NodeId, reader: &Reader<'_>) -> Option<String> {
    let list = format!("[{}]", inline(node, reader)?);
    match reader.tried::<T>(&list) {
        Ok(()) => Some(list),
        Err(instead) => {
            instead.map(|one| format!("[{one}]")).filter(|list| reader.tried::<T>(list).is_ok())
        }
    }
}

/// A host and a port under keys of their own, where one key takes both.
pub(super) struct Joined {
    /// Which entries they are.
    pub(super) host: usize,
    pub(super) port: usize,
    pub(super) key: &'static str,
    /// The key with its value.
    pub(super) pair: String,
}

/// `host: 127.0.0.1` and `port: 80` as `address: "127.0.0.1:80"`, or as `endpoints`.
pub(super) fn host_and_port<T: Decode>(entries: &[Entry], reader: &Reader<'_>) -> Option<Joined> {
    let port = entries.iter().position(|entry| normal(&entry.key) == "port")?;
    let key = spelling("port", T::KEYS).filter(|key| *key != "port")?;
    let same = |at: &usize| *at != port && spelling(&entries[*at].key, T::KEYS) == Some(key);
    let hosts: Vec<_> = (0..entries.len()).filter(same).collect();
    let [host] = hosts[..] else { return None };
    let (Kind::Scalar(name), Kind::Scalar(number)) =
        (&reader.node(entries[host].value).kind, &reader.node(entries[port].value).kind)
    else {
        return None;
    };
    let whole = match name.text.contains(':') && !name.text.contains('$') {
        true => format!("[{}]:{}", name.text, number.text),
        false => format!("{}:{}", name.text, number.text),
    };
    let whole = format!("{whole:?}");
    let listed = format!("[{whole}]");
    let accepted = |value: &String| tried::<T>(key, value, reader).is_ok();
    let value =
        [whole, listed].into_iter().find_map(|value| match tried::<T>(key, &value, reader) {
            Ok(_) => Some(value),
            Err(instead) => instead.filter(accepted),
        })?;
    Some(Joined { host, port, key, pair: format!("{key}: {value}") })
}

/// A mapping with its keys as we spell them: `{ Enable: false, QPS: 5 }` as `{ mode: disabled, qps: 5 }`.
/// When `whole`, every key must have a spelling; otherwise those without are left out.
pub(super) fn mapping<T: Decode>(
    entries: &[Entry],
    whole: bool,
    reader: &Reader<'_>,
) -> Option<String> {
    let mut pairs = Vec::new();
    for entry in entries {
        match (is_switch(entry, T::KEYS, reader), spelling(&entry.key, T::KEYS)) {
            (Some(true), _) => {}
            (Some(false), _) => pairs.push("mode: disabled".to_owned()),
            (None, Some(key)) => pairs.push(format!("{key}: {}", inline(entry.value, reader)?)),
            (None, None) if whole => return None,
            (None, None) => {}
        }
    }
    let block = format!("{{ {} }}", pairs.join(", "));
    reader.tried::<T>(&block).is_ok().then_some(block)
}

/// What to write for `enabled: false` and the like, where there is a `mode`.
pub(super) fn switch(entry: &Entry, keys: &[&str], reader: &Reader<'_>) -> Option<String> {
    is_switch(entry, keys, reader).map(|on| match on {
        true => "leave it out: what is written is on, unless `mode: disabled` stands beside it"
            .to_owned(),
        false => "write `mode: disabled`".to_owned(),
    })
}

/// Whether a key that switches a policy on and off elsewhere switches it on.
fn is_switch(entry: &Entry, keys: &[&str], reader: &Reader<'_>) -> Option<bool> {
    let on = switched(&inline(entry.value, reader)?).filter(|_| keys.contains(&"mode"))?;
    match normal(&entry.key).as_str() {
        "enable" | "enabled" | "active" => Some(on),
        "disable" | "disabled" => Some(!on),
        _ => None,
    }
}

/// The `second` of "100 per second" is neither a header nor anything else that has a name.
fn is_unit_of_time(value: &str) -> bool {
    matches!(value, "s" | "sec" | "second" | "m" | "min" | "minute" | "h" | "hour" | "day")
}

fn switched(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "enabled" => Some(true),
        "false" | "off" | "no" | "disabled" => Some(false),
        _ => None,
    }
}

/// A value on one line, as it would stand inside `{ }`; `None` when it is long.
pub(super) fn inline(node: NodeId, reader: &Reader<'_>) -> Option<String> {
    const ITEMS_MAX: usize = 8;
    match &reader.node(node).kind {
        Kind::Scalar(scalar) if cut(&scalar.text) != scalar.text => None,
        Kind::Scalar(scalar) if scalar.plain && is_bare(&scalar.text) => Some(scalar.text.clone()),
        Kind::Scalar(scalar) => Some(format!("{:?}", scalar.text)),
        Kind::List(items) if items.len() <= ITEMS_MAX => {
            let items: Option<Vec<_>> = items.iter().map(|item| inline(*item, reader)).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        _ => None,
    }
}

/// Whether text needs no quotes inside `{ }`, and reads well without.
pub(super) fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./%".contains(&byte))
}
