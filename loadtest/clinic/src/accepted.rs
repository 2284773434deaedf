use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::json;

/// 202: the work is taken, here is where to ask for it.
pub(crate) struct Accepted {
    /// The collection the work was posted to, without a trailing slash.
    pub(crate) collection: &'static str,
    pub(crate) id: u64,
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = format!("{}/{}", self.collection, self.id);
        let body = Json(json!({ "id": self.id, "status": location }));
        (StatusCode::ACCEPTED, [(header::LOCATION, location)], body).into_response()
    }
}
