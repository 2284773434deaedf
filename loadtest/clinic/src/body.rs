use serde::de::DeserializeOwned;

use crate::problem::{Problem, Reason};

/// What a JSON body says; the caller of one that cannot be read is told to write `like`.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8], like: &str) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(Reason::Invalid, format!("{error}; write {like}")))
}
