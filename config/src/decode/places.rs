//! Where a key belongs that stands in the wrong place.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::Value;

use super::suggest::spelling;
use crate::schema;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema::root);

/// Every key with the paths of the sections that have it.
static PLACES: LazyLock<BTreeMap<&'static str, Vec<String>>> = LazyLock::new(|| {
    let mut places: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (path, object) in schema::sections(&SCHEMA) {
        for key in object["properties"].as_object().into_iter().flat_map(|keys| keys.keys()) {
            let paths = places.entry(key.as_str()).or_default();
            if !paths.contains(&path) {
                paths.push(path.clone());
            }
        }
    }
    places
});

/// Whether any section has this key.
pub(crate) fn is_key(word: &str) -> bool {
    PLACES.contains_key(word)
}

/// Where a key that is written elsewhere goes; `None` when there is none like it, or in many places.
pub(super) fn help(written: &str) -> Option<String> {
    const PLACES_MAX: usize = 6;
    let keys: Vec<&'static str> = PLACES.keys().copied().collect();
    let key = spelling(written, &keys)?;
    let places = PLACES.get(key).filter(|places| places.len() <= PLACES_MAX)?;
    let places = match places.as_slice() {
        [top] if top.is_empty() => "at the top of the file".to_owned(),
        places => format!("under `{}`", places.join("` or `")),
    };
    Some(match key == written {
        true => format!("it goes {places}"),
        false => format!("it goes {places}, as `{key}`"),
    })
}
