//! Single values: text -> a number with its unit, an address, a word.
//!
//! A leaf says what is wrong with a value as the rest of a sentence (`is above 100%`); who reports it
//! puts the value before it, or the variable's name when the value came from one. So no leaf can give
//! a secret away.

mod address;
mod count;
mod decimal;
mod either;
mod endpoint;
mod flag;
mod http;
mod name;
mod path;
mod percent;
mod period;
mod size;
mod store;
mod token;
mod version;
mod word;

pub(crate) use address::{Bind, Cidr};
pub(crate) use count::Count;
pub(crate) use decimal::Decimal;
pub(crate) use either::Or;
pub(crate) use flag::Flag;
pub(crate) use http::{HeaderName, HeaderValue, Host, Method, Param, ServerName, Url};
pub(crate) use name::Name;
pub(crate) use path::{FilePath, Pattern, UrlPath};
pub(crate) use percent::Percent;
pub(crate) use period::{Delay, Period, Time};
pub(crate) use size::Size;
pub(crate) use store::StoreUrl;
pub(crate) use token::Token;
pub(crate) use version::Version;
pub(crate) use word::{Spelling, Word, word};

use schemars::Schema;

use crate::diagnostics::cut;

/// A scalar with its variables put in.
pub(crate) struct Text {
    pub(crate) text: String,
    /// Without quotes.
    pub(crate) plain: bool,
    /// As the file has it, when a variable took part.
    pub(crate) written: Option<String>,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The rest of a sentence that begins with the value.
    pub(crate) what: String,
    /// How to mend any such value; never holds the value.
    pub(crate) help: String,
    /// How to mend this one; may hold the value, and is dropped when it came from a variable.
    pub(crate) fix: Option<String>,
    /// What to write in its place, where that is known; goes the way of `fix`.
    pub(crate) instead: Option<String>,
}

/// A value that one scalar holds.
pub(crate) trait Leaf: Sized {
    /// What it is, after "a list where ... is expected".
    const EXPECTED: &'static str;
    /// What a message calls the value when it may never be shown.
    const HIDDEN: Option<&'static str> = None;

    fn parse(text: &Text) -> Result<Self, Wrong>;

    /// The JSON schema of the value when no variable takes part.
    fn describe() -> Schema;
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into(), fix: None, instead: None }
    }

    pub(crate) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// With the value that was probably meant; the help is to write it, unless a `fix` says more.
    pub(crate) fn instead(self, value: impl Into<String>) -> Self {
        let value = value.into();
        let fix = self.fix.unwrap_or_else(|| format!("write `{value}`"));
        Self { fix: Some(fix), instead: Some(value), ..self }
    }
}

impl Text {
    /// The value as a message names it.
    pub(crate) fn shown(&self) -> String {
        match &self.written {
            Some(written) => of_variable(written),
            None => quoted(&self.text),
        }
    }

    /// The text, unless YAML reads it as something else.
    pub(crate) fn string(&self) -> Result<&str, Wrong> {
        let literal = self.plain && self.written.is_none();
        let kind = match self.text.as_str() {
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => "a truth value",
            text if is_number(text) => "a number",
            text => return Ok(text),
        };
        match literal {
            true => Err(Wrong::new(format!("is {kind} to YAML"), "put it in quotes")),
            false => Ok(&self.text),
        }
    }

    /// The text of a number or a truth value, which stands without quotes.
    pub(crate) fn bare(&self) -> Result<&str, Wrong> {
        match self.plain || self.written.is_some() {
            true => Ok(&self.text),
            false => Err(Wrong::new("is text, because of its quotes", "leave the quotes out")),
        }
    }
}

/// A value from the file in a message.
pub(crate) fn quoted(text: &str) -> String {
    match text {
        "" => "an empty text".to_owned(),
        text => format!("`{}`", cut(text)),
    }
}

/// A value from the environment in a message.
pub(crate) fn of_variable(written: &str) -> String {
    format!("the value of `{}`", cut(written))
}

/// Whether YAML's core schema reads a plain scalar as a number.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix, radix| {
        unsigned
            .strip_prefix(prefix)
            .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    let starts =
        unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit());
    (starts && unsigned.parse::<f64>().is_ok())
        || radix("0x", 16)
        || radix("0o", 8)
        || matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}
