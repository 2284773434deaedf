//! `shared:` as it is written: a store alone, or with what else there is to say.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{OnStoreLoss, Shared};
use crate::{
    decode::{At, Decode, Reader, section},
    scalar::{Leaf, Period, StoreUrl, Text, Time, Wrong, word},
    tree::{Kind, NodeId},
};

/// Long enough for a server in the same zone, short enough to be lost on nobody's patience.
const TIMEOUT: Wait = Wait(Time(Duration::from_millis(20)));

/// What waits longer is not a limit any more but an outage.
const LONGEST: Duration = Duration::from_secs(1);

/// How long a request may wait for a store.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Wait(Period);

section! {
    /// A limit that several sidecars keep together: those whose policy has the same name at the same store.
    struct SharedYaml {
        /// A Redis or Valkey server and its database. A password comes from the environment: `redis://:${REDIS_PASSWORD}@limits.internal:6379/0`, with percent signs decoded.
        store: At<StoreUrl>,
        /// The longest that a request waits for the store, up to `1s`.
        timeout: At<Wait> = TIMEOUT,
        /// What decides while the store does not: this sidecar alone at the same rate, or nobody, which lets everything pass or refuses it.
        on_store_loss: At<OnStoreLoss> = OnStoreLoss::Local,
    }
}

word! {
    OnStoreLoss is "what decides without the store" {
        "local" ["fallback", "degrade", "sidecar", "instance"] => Local,
        "open" ["failopen", "allow", "pass", "ignore"] => Open,
        "closed" ["failclosed", "close", "deny", "refuse", "reject"] => Closed,
    }
}

impl Leaf for Wait {
    const EXPECTED: &'static str = Period::EXPECTED;

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let help = "write a duration up to `1s`, such as `20ms`";
        if let Some(millis) =
            text.text.parse::<u64>().ok().filter(|millis| (1..=1_000).contains(millis))
        {
            let wrong = Wrong::new("is a duration without its unit", help);
            return Err(wrong.instead(format!("{millis}ms")));
        }
        match Period::parse(text) {
            Ok(Time(wait)) if wait > LONGEST => {
                Err(Wrong::new("is longer than a request may wait for a store", help).instead("1s"))
            }
            Ok(period) => Ok(Self(period)),
            Err(wrong) => Err(Wrong { help: help.to_owned(), ..wrong }),
        }
    }

    fn describe() -> Schema {
        let mut schema = Period::describe();
        schema.insert("title".to_owned(), "duration, above 0s to 1s".into());
        schema
    }
}

/// `shared:` in a file.
pub(crate) struct SharedForm(SharedYaml);

impl Decode for SharedForm {
    const KEYS: &'static [&'static str] = SharedYaml::KEYS;

    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::Scalar(_) = &reader.node(node).kind else {
            return SharedYaml::decode(node, reader).map(Self);
        };
        let store = At::placed(StoreUrl::decode(node, reader)?, node);
        let (timeout, on_store_loss) = (At::of(TIMEOUT), At::of(OnStoreLoss::default()));
        Some(Self(SharedYaml { store, timeout, on_store_loss }))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let store = StoreUrl::schema(generator);
        let mapping = SharedYaml::schema(generator);
        json_schema!({ "anyOf": [store, mapping] })
    }
}

impl Serialize for SharedForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl SharedForm {
    pub(crate) fn value(self) -> Option<Shared> {
        let Self(yaml) = self;
        Some(Shared {
            store: yaml.store.take()?.0,
            timeout: yaml.timeout.take()?.0.0,
            on_store_loss: yaml.on_store_loss.take()?,
        })
    }

    pub(crate) fn of(shared: &Shared) -> Self {
        Self(SharedYaml {
            store: At::of(StoreUrl(shared.store.clone())),
            timeout: At::of(Wait(Time(shared.timeout))),
            on_store_loss: At::of(shared.on_store_loss),
        })
    }
}
