//! How a request ended.

/// How a request ended, as its caller saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer, read to its end.
    Answered {
        /// Its status.
        status: u16,
        /// The word for it in `Proxy-Status`, if a proxy said one.
        reason: Option<String>,
    },
    /// The caller gave up.
    TimedOut,
    /// There was no connection to be had.
    Unconnected,
    /// The connection ended before the answer did.
    Cut,
    /// The generator had as many on their way as it may.
    Unsent,
}

impl Outcome {
    /// Whether it is what the caller asked for.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Answered { status: 200, .. })
    }

    /// What outcomes like it are counted as.
    #[must_use]
    pub fn class(&self) -> String {
        match self {
            Self::Answered { status, reason: None } => status.to_string(),
            Self::Answered { status, reason: Some(reason) } => format!("{status} {reason}"),
            Self::TimedOut => "timed out".into(),
            Self::Unconnected => "unconnected".into(),
            Self::Cut => "cut".into(),
            Self::Unsent => "unsent".into(),
        }
    }
}

/// The word in `details` of a `Proxy-Status` field (RFC 9209): `weir; details="overloaded"`.
#[must_use]
pub fn reason(proxy_status: &str) -> Option<String> {
    let (_, rest) = proxy_status.split_once("details=\"")?;
    let (word, _) = rest.split_once('"')?;
    Some(word.chars().take(REASON_LENGTH_MAX).collect())
}

/// A class is a key that is held and printed.
const REASON_LENGTH_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_names_its_reason() {
        let field = "weir; error=http_request_denied; details=\"overloaded\"";
        assert_eq!(reason(field).as_deref(), Some("overloaded"));
        for other in ["", "weir", "weir; details=bare", "weir; details=\"open"] {
            assert_eq!(reason(other), None, "{other}");
        }
        assert_eq!(
            reason(&format!("details=\"{}\"", "a".repeat(500))).map(|word| word.len()),
            Some(40)
        );
    }
}
