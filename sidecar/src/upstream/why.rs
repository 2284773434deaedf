//! Why requests to an endpoint become what they do, in words for operators.

use weir_policy::{Cause, EndpointState, View};

use super::{Endpoint, Upstream};

impl Upstream {
    /// Why an endpoint is in its state; nothing where that needs no reason.
    pub(crate) fn why(&self, endpoint: &Endpoint, view: &View) -> Option<String> {
        match view.state {
            EndpointState::Healthy => None,
            EndpointState::SlowStart => Some("it is new, or used again".to_owned()),
            EndpointState::Unchecked => {
                Some("it joined others, and waits for its first check".to_owned())
            }
            EndpointState::Unhealthy => {
                let wrong = endpoint.checked.last().and_then(|(_, found)| found.err());
                Some(wrong.unwrap_or_else(|| "its checks have failed".to_owned()))
            }
            EndpointState::Ejected => {
                let (ejection, settings) = (view.last_ejection?, self.outlier()?);
                Some(match ejection.cause {
                    Cause::Consecutive => "failures in a row, while others did better".to_owned(),
                    Cause::ErrorRatio => format!(
                        "a share of failures of {}% or more, while others did better",
                        settings.error_ratio.get() * 100.0
                    ),
                })
            }
        }
    }
}
