//! A field line: `name ":" OWS value OWS CRLF` and no other shape (RFC 9112, section 5).

use super::{
    Fault, bad,
    class::{TOKEN, span, trim, value_span},
};

/// One field line; the white space around its value is taken off.
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads the line at the start of `head`; gives it back with what follows.
    pub(super) fn read(head: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let (name, rest) = head.split_at(span(head, TOKEN));
        match rest.first() {
            Some(b':') if !name.is_empty() => {}
            Some(b':') => return bad("an empty field name"),
            Some(b' ' | b'\t') if name.is_empty() => return bad("a folded field line"),
            Some(b' ' | b'\t') => return bad("white space in or after a field name"),
            Some(b'\r' | b'\n') if !name.is_empty() => return bad("a field line without a colon"),
            Some(b'\r') => return bad("a CR without LF"),
            Some(b'\n') => return bad("an LF without CR"),
            Some(_) => return bad("an invalid character in a field name"),
            None => return bad("no empty line at its end"),
        }
        let rest = &rest[1..];
        let (value, rest) = rest.split_at(value_span(rest));
        match rest {
            [b'\r', b'\n', rest @ ..] => Ok((Self { name, value: trim(value) }, rest)),
            [b'\r', ..] => bad("a CR without LF"),
            [b'\n', ..] => bad("an LF without CR"),
            [_, ..] => bad("a control character in a field value"),
            [] => bad("no empty line at its end"),
        }
    }
}
