//! Where a store is, and the password that never stands in the file.

use percent_encoding::percent_decode_str;
use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};
use crate::{Endpoint, Secret, Store};

/// `redis://user:password@host:port/database`; all but the host may be left out.
pub(crate) struct StoreUrl(pub(crate) Store);

const HELP: &str = "write a store such as `redis://127.0.0.1:6379/0`";
const HIDDEN_HELP: &str =
    "keep it in the environment and write `redis://:${REDIS_PASSWORD}@127.0.0.1:6379/0`";
/// Redis and Valkey listen there.
const PORT: u16 = 6379;
/// Servers have sixteen unless they are told otherwise, and none has more than this.
const DATABASE_MAX: u16 = 9999;

/// What stands before and behind the `@`, and whether there is one.
struct Parts<'a> {
    user: &'a str,
    password: &'a str,
    place: &'a str,
}

impl<'a> Parts<'a> {
    /// Of a URL without its scheme. A password may hold anything, so it ends at the last `@`.
    fn of(rest: &'a str) -> Self {
        let (who, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        Self { user, password, place }
    }
}

impl Leaf for StoreUrl {
    const EXPECTED: &'static str = "a store such as redis://127.0.0.1:6379/0";
    // It may hold a password that its author has forgotten to take out.
    const HIDDEN: Option<&'static str> = Some("the store");

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let Some(rest) = text.text.strip_prefix("redis://") else {
            return Err(why_no_scheme(&text.text));
        };
        let Parts { user, password, place } = Parts::of(rest);
        // A variable that is empty is no password, and most likely a mistake.
        if password.is_empty() && rest.rsplit_once('@').is_some_and(|(who, _)| who.ends_with(':')) {
            let help =
                "set the variable that has the password, or leave the `:` before the `@` out";
            return Err(Wrong::new("has no password behind its `:`", help));
        }
        let (endpoint, database) = place_of(place)?;
        let password = match password {
            "" => None,
            _ => Some(secret(password, text)?),
        };
        let user = (!user.is_empty()).then(|| decoded(user));
        Ok(Self(Store { endpoint, database, user, password }))
    }

    fn describe() -> Schema {
        json_schema!({ "title": "`redis://host:port/database`", "type": "string", "pattern": r"^(redis://|.*\$\{)" })
    }
}

/// The password, where all of it came from the environment.
fn secret(password: &str, text: &Text) -> Result<Secret, Wrong> {
    let Some(written) = &text.written else {
        return Err(Wrong::new("has its password in the file itself", HIDDEN_HELP));
    };
    match is_one_variable(written) || is_one_variable(written_password(written)) {
        true => Ok(Secret { value: decoded(password), written: written.clone() }),
        false => Err(Wrong::new("has its password in the file in part", HIDDEN_HELP)),
    }
}

/// One variable, without a default that could hold a password.
fn is_one_variable(written: &str) -> bool {
    let inside = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| !inside.contains(['$', '}']) && !inside.contains(":-"))
}

/// The password as the file has it; what variables have in their braces parts nothing.
fn written_password(written: &str) -> &str {
    let mut depth = false;
    let blank = |letter: char| {
        depth = (depth || letter == '{') && letter != '}';
        if depth && letter != '{' { "\0".repeat(letter.len_utf8()) } else { letter.to_string() }
    };
    let blanked: String = written.chars().map(blank).collect();
    let rest = blanked.strip_prefix("redis://").unwrap_or(&blanked);
    let from = blanked.len() - rest.len() + Parts::of(rest).user.len() + 1;
    let length = Parts::of(rest).password.len();
    written.get(from..from + length).unwrap_or_default()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn place_of(place: &str) -> Result<(Endpoint, u16), Wrong> {
    if place.contains(['?', '#']) {
        let place = place.split(['?', '#']).next().unwrap_or_default();
        return Err(Wrong::new("has options, which are not read", HELP).instead(url(place)));
    }
    let (address, database) = place.split_once('/').unwrap_or((place, ""));
    let Some(endpoint) = endpoint(address) else {
        return Err(Wrong::new("names no host", HELP));
    };
    let number = match database.trim_end_matches('/') {
        "" => Some(0),
        digits => digits.parse().ok().filter(|number| *number <= DATABASE_MAX),
    };
    let of = |database| Store { endpoint: endpoint.clone(), database, user: None, password: None };
    let no_number = || Wrong::new("names no database, which is a number", HELP);
    let number = number.ok_or_else(|| no_number().instead(of(0).to_string()))?;
    Ok((endpoint, number))
}

/// `host`, `host:port` or `[v6]:port`.
fn endpoint(address: &str) -> Option<Endpoint> {
    let parse = |address: String| {
        Endpoint::parse(&Text { text: address, plain: false, written: None }).ok()
    };
    let found = parse(address.to_owned()).or_else(|| parse(format!("{address}:{PORT}")));
    found.filter(|endpoint| !matches!(endpoint, Endpoint::Unix(_)))
}

fn url(place: &str) -> String {
    place_of(place).map_or_else(
        |_| "redis://127.0.0.1:6379/0".to_owned(),
        |(endpoint, database)| format!("redis://{endpoint}/{database}"),
    )
}

/// What is wrong with a store that is no `redis://`.
fn why_no_scheme(text: &str) -> Wrong {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    // Without who asks: a fix is shown.
    let meant = url(Parts::of(rest).place);
    let wrong = match scheme {
        "valkey" | "Redis" | "REDIS" => Wrong::new("has another scheme than `redis`", HELP),
        "" if endpoint(rest).is_some() && !is_switch(rest) => Wrong::new("has no scheme", HELP),
        "" => return Wrong::new("is not named", HELP).instead(url("")),
        "rediss" | "valkeys" => {
            let help = format!("end TLS in a tunnel on this machine, and write `{}`", url(""));
            let wrong = Wrong::new("asks for TLS, which is not spoken to stores", HELP);
            return wrong.fix(help).instead(url(""));
        }
        _ => return Wrong::new("is neither Redis nor Valkey", HELP).instead(url("")),
    };
    wrong.instead(meant)
}

fn is_switch(text: &str) -> bool {
    ["true", "yes", "on", "enabled", "false", "no", "off", "disabled"].contains(&text)
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Store { endpoint, database, user, .. } = &self.0;
        match user {
            Some(user) => serializer
                .collect_str(&format_args!("redis://{}@{endpoint}/{database}", encoded(user))),
            None => serializer.collect_str(&self.0),
        }
    }
}

/// As [`decoded`] takes it back.
fn encoded(user: &str) -> String {
    percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, written: Option<&str>) -> Result<Store, String> {
        let text = Text { text: text.to_owned(), plain: true, written: written.map(str::to_owned) };
        StoreUrl::parse(&text).map(|url| url.0).map_err(|wrong| wrong.what)
    }

    #[test]
    fn stores_as_people_write_them() {
        for (text, shown, user) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379/0", None),
            ("redis://limits.internal:1/7", "redis://limits.internal:1/7", None),
            ("redis://[::1]:6380/", "redis://[::1]:6380/0", None),
            ("redis://[::1]/2", "redis://[::1]:6379/2", None),
            ("redis://weir@app", "redis://app:6379/0", Some("weir")),
            ("redis://a%40b@app", "redis://app:6379/0", Some("a@b")),
        ] {
            let store = parse(text, None).unwrap();
            assert_eq!((store.to_string().as_str(), store.user.as_deref()), (shown, user));
            let back = serde_yaml::to_string(&StoreUrl(store.clone())).unwrap();
            assert_eq!(parse(back.trim(), None).unwrap(), store);
        }
    }

    #[test]
    fn a_password_comes_from_the_environment_alone() {
        let (url, password) = ("redis://u:p%40@/1@app", "p@@/1");
        for (written, taken) in [
            (None, false),
            (Some("${URL}"), true),
            (Some("${URL:?it is needed}"), true),
            (Some("${URL:-redis://:p@app}"), false),
            (Some("redis://u:${PASSWORD}@app"), true),
            (Some("redis://u:${PASSWORD:?a:b@c}@${HOST}"), true),
            (Some("redis://${USER:-a:b}:${PASSWORD}@${HOST:-x@y}"), true),
            (Some("redis://u:${PASSWORD:-p}@app"), false),
            (Some("redis://u:p${PASSWORD}@app"), false),
            (Some("redis://u:p@${HOST}"), false),
            (Some("redis://u:${A}${B}@app"), false),
        ] {
            let store = parse(url, written);
            assert_eq!(store.is_ok(), taken, "{written:?}");
            if let Ok(store) = store {
                assert_eq!(store.password.as_ref().map(Secret::expose), Some(password));
                assert!(!format!("{store} {store:?} {:?}", store.password).contains("p@"));
            }
        }
    }
}
