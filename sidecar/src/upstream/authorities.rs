//! The file of authorities that an upstream's certificates are verified with.
//!
//! Pingora panics on one that it cannot read, so it is read here first; and what is in it may have
//! changed although the configuration has not.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::Unusable;

/// Tells one content from another; nothing where the system's authorities are used.
pub(super) fn of(settings: &weir_config::Upstream) -> Result<Option<u64>, Unusable> {
    let Some(path) = settings.tls.as_ref().and_then(|tls| tls.ca.as_ref()) else { return Ok(None) };
    let unusable = |why: String| Unusable::Authorities {
        upstream: settings.name.clone(),
        path: path.clone(),
        why,
    };
    let mut store = pingora::tls::RootCertStore::empty();
    pingora::tls::load_ca_file_into_store(path.display().to_string(), &mut store)
        .map_err(|error| unusable(error.to_string()))?;
    if store.is_empty() {
        return Err(unusable("there is no certificate in it".to_owned()));
    }
    let mut hasher = DefaultHasher::new();
    fs::read(path).map_err(|error| unusable(error.to_string()))?.hash(&mut hasher);
    Ok(Some(hasher.finish()))
}
