//! JSON as a person at a terminal reads it: indented, and ended by a line end.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::problem::Problem;

/// An answer that is true at this moment and not to be kept.
pub(super) fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let mut body = serde_json::to_vec_pretty(value).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written as JSON")
    })?;
    body.push(b'\n');
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}
