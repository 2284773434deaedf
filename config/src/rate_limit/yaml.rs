//! `rate_limit:` as it is written.

use crate::{
    Key, Mode, RateLimit,
    decode::{At, OneOrMany, Reader, WordOr, has_unknown_key, optional, section},
    rate_limit::shared::yaml::SharedForm,
    scalar::{Count, Decimal, Flag, HeaderName, Name, Param, word},
    tree::NodeId,
};

/// An IPv6 customer gets at least this much address space.
const V6_PREFIX: u8 = 64;

/// Requests a second: from about one a day to a million.
type Rate = Decimal<10, 1_000_000_000_000>;

section! {
    /// A sustained rate with a burst, for each value of each of its keys.
    struct RateLimitYaml {
        /// The policy's name; the route's name by default, with `-2`, `-3` on the second and third of a list.
        name: Option<At<Name>>,
        /// Requests a second; fractions are allowed (`0.5` is one in two seconds).
        qps: At<Rate>,
        /// How many may come at once from rest; one second's worth by default, and at least 1.
        burst: Option<At<Count<1, 1_000_000>>>,
        /// What tells one caller from another: one key or a list. Each has buckets of its own; a request is debited on all of them or on none.
        per: At<OneOrMany<KeyForm>> = OneOrMany(vec![At::of(WordOr::Word(KeyWord::Route))]),
        /// How many keys are remembered; further ones share one bucket until others have refilled.
        keys: At<Count<1, 10_000_000>> = Count(100_000),
        /// Keep the token when a later stage refuses the request.
        charge_on_reject: At<Flag> = Flag(false),
        /// One limit for all sidecars that share it: where it is kept. Without, each sidecar has its own.
        shared: Option<At<SharedForm>>,
        /// Refuse, only count, or do nothing.
        mode: At<Mode> = Mode::Enforce,
    }
}

section! {
    /// What tells one caller from another; exactly one of the keys. Requests without the key share one bucket. Services differ in which value they read of a key that is sent more than once, so each of up to four different values is debited; a request with more of them counts as one without the key.
    struct KeyYaml {
        /// The client's address.
        client: Option<At<ClientYaml>>,
        /// The value of a request header, as it is sent.
        header: Option<At<HeaderName>>,
        /// The value of a cookie, decoded and without quotes; the name in any case.
        cookie: Option<At<Param>>,
        /// The value of a query parameter, decoded (`%61pi` is `api`); the name in any case.
        query: Option<At<Param>>,
    }
}

section! {
    /// How clients' addresses are grouped.
    struct ClientYaml {
        /// Leading bits of an IPv6 address that count.
        v6_prefix: At<Count<1, 128>> = Count(V6_PREFIX as u32),
    }
}

/// `per:` in a file.
pub(crate) type KeyForm = WordOr<KeyWord, KeyYaml>;

/// A key that needs no further word.
#[derive(Clone, Copy)]
pub(crate) enum KeyWord {
    Route,
    Client,
}

word! {
    KeyWord is "one of the words `route` and `client`" {
        "route" ["global", "all", "service"] => Route,
        "client" ["ip", "clientip", "address", "remoteaddr", "remoteaddress", "sourceip"] => Client,
    }
}

/// The client's address, as a default.
pub(crate) const fn client() -> KeyForm {
    WordOr::Word(KeyWord::Client)
}

impl RateLimitYaml {
    /// `name` is the one derived from the route.
    pub(crate) fn value(self, name: &str, reader: &mut Reader<'_>) -> Option<RateLimit> {
        let per = keys(self.per, reader);
        let shared = match self.shared {
            Some(form) => form.take().and_then(SharedForm::value).map(Some),
            None => Some(None),
        };
        let qps = self.qps.take()?.0;
        let burst = match optional(self.burst)? {
            Some(burst) => burst.nonzero()?,
            None => a_second_of(qps).nonzero()?,
        };
        Some(RateLimit {
            name: Name::or(self.name, name)?,
            qps,
            burst,
            per: per?,
            keys: self.keys.take()?.nonzero_usize()?,
            charge_on_reject: self.charge_on_reject.take()?.0,
            shared: shared?,
            mode: self.mode.take()?,
        })
    }

    pub(crate) fn of(limit: &RateLimit) -> Self {
        Self {
            name: Some(At::of(Name(limit.name.clone()))),
            qps: At::of(Decimal(limit.qps)),
            burst: Some(At::of(Count(limit.burst.get()))),
            per: At::of(OneOrMany(limit.per.iter().map(|key| At::of(of_key(key))).collect())),
            keys: At::of(Count(u32::try_from(limit.keys.get()).unwrap_or(u32::MAX))),
            charge_on_reject: At::of(Flag(limit.charge_on_reject)),
            shared: limit.shared.as_ref().map(|shared| At::of(SharedForm::of(shared))),
            mode: At::of(limit.mode),
        }
    }
}

/// The burst of a limit that names none.
fn a_second_of(qps: f64) -> Count<1, 1_000_000> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and a million"
    )]
    Count(qps.ceil().clamp(1.0, 1e6) as u32)
}

fn keys(per: At<OneOrMany<KeyForm>>, reader: &mut Reader<'_>) -> Option<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::new();
    let mut whole = true;
    for form in per.take()?.0 {
        let node = form.node();
        match form.take().and_then(|form| key(form, node, reader)) {
            Some(key) if keys.contains(&key) => {
                reader.problem(node, "this key is in the list already", "keep one of the two");
            }
            Some(key) => keys.push(key),
            None => whole = false,
        }
    }
    whole.then_some(keys)
}

/// What is written; `None` when something is wrong with it.
pub(crate) fn key(form: KeyForm, node: NodeId, reader: &mut Reader<'_>) -> Option<Key> {
    let yaml = match form {
        WordOr::Word(KeyWord::Route) => return Some(Key::Route),
        WordOr::Word(KeyWord::Client) => return Some(Key::Client { v6_prefix: V6_PREFIX }),
        WordOr::Mapping(yaml) => yaml,
    };
    match (yaml.client, yaml.header, yaml.cookie, yaml.query) {
        (Some(client), None, None, None) => {
            let v6_prefix = client.take()?.v6_prefix.take()?.0;
            Some(Key::Client { v6_prefix: u8::try_from(v6_prefix).ok()? })
        }
        (None, Some(header), None, None) => header.take().map(|name| Key::Header(name.0)),
        (None, None, Some(cookie), None) => cookie.take().map(|name| Key::Cookie(name.0)),
        (None, None, None, Some(query)) => query.take().map(|name| Key::Query(name.0)),
        (None, None, None, None) if has_unknown_key::<KeyYaml>(node, reader) => None,
        _ => {
            let help =
                "write one of `client`, `header`, `cookie` and `query`; several keys make a list";
            reader.problem(node, "a key is exactly one thing", help);
            None
        }
    }
}

pub(crate) fn of_key(key: &Key) -> KeyForm {
    let none = KeyYaml { client: None, header: None, cookie: None, query: None };
    WordOr::Mapping(match key {
        Key::Route => return WordOr::Word(KeyWord::Route),
        Key::Client { v6_prefix } => {
            let client = ClientYaml { v6_prefix: At::of(Count(u32::from(*v6_prefix))) };
            KeyYaml { client: Some(At::of(client)), ..none }
        }
        Key::Header(name) => KeyYaml { header: Some(At::of(HeaderName(name.clone()))), ..none },
        Key::Cookie(name) => KeyYaml { cookie: Some(At::of(Param(name.clone()))), ..none },
        Key::Query(name) => KeyYaml { query: Some(At::of(Param(name.clone()))), ..none },
    })
}
