//! A request or an answer as it came over the wire.

use serde_json::Value;

/// A head and its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) first_line: String,
    /// Names in lower case, in order of arrival.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Reads a head, with or without the empty line at its end.
    pub(crate) fn of_head(head: &str) -> Self {
        let mut lines = head.trim_end().lines();
        let first_line = lines.next().unwrap_or_default().trim_end().to_owned();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a field has a colon");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { first_line, fields: fields.collect(), body: Vec::new() }
    }

    /// Of an answer.
    pub(crate) fn status(&self) -> u16 {
        let word = self.first_line.split(' ').nth(1);
        word.and_then(|status| status.parse().ok()).expect("a status line")
    }

    /// The only value of a field; `None` when there is none.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name);
        let value = values.next();
        assert!(values.next().is_none(), "more than one {name}: {:?}", self.fields);
        value
    }

    /// Every value of a field.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.fields.iter().filter(move |(field, _)| field == name);
        named.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}: {}", self.first_line, self.text()))
    }

    /// The status, and the `reason` of a refusal or nothing.
    pub(crate) fn verdict(&self) -> (u16, String) {
        let problem = self.field("content-type") == Some("application/problem+json");
        let reason = if problem { self.json()["reason"].as_str().map(str::to_owned) } else { None };
        (self.status(), reason.unwrap_or_default())
    }
}

/// What a request's fields were when they reached the clinic's `/echo`.
pub(crate) fn echoed(answer: &Message, name: &str) -> Vec<String> {
    let seen = answer.json();
    let fields = seen["headers"].as_array().expect("an echo lists headers").iter();
    let named = fields.filter(|field| field[0] == name);
    named.map(|field| field[1].as_str().expect("a value").to_owned()).collect()
}
