//! Where a head ends, while it is still coming in.
//!
//! A head is judged whole, but a client may take as long as the header's deadline for it. What can
//! be told from a byte alone is told at once: no control byte, no CR without LF and no LF without CR
//! has a place anywhere in a head, and a head of bare LFs would never end. Each byte is looked at
//! once, however the head is cut, and nothing that is said depends on the cut.

use weir_config::{ByteSize, ListenerLimits};

use super::{Fault, bad, class::value_span};

/// How far a head has been looked at.
#[derive(Debug, Default)]
pub(in crate::proxy) struct HeadEnd {
    /// Bytes that need no second look.
    seen: usize,
    /// Where the line that is coming in begins.
    line: usize,
    past_request_line: bool,
}

impl HeadEnd {
    /// Looks at what has come since the last call; `bytes` begins where the head does. Gives the
    /// head's length once its empty line is there.
    ///
    /// # Errors
    /// The first byte that no head may hold; or [`Fault::HeaderTooLarge`] when `limits.header_bytes`
    /// have passed without an end, [`Fault::UriTooLong`] when not even the request line has ended.
    pub(in crate::proxy) fn find(
        &mut self,
        bytes: &[u8],
        limits: &ListenerLimits,
    ) -> Result<Option<usize>, Fault> {
        let limit = in_memory(limits.header_bytes);
        let within = &bytes[..bytes.len().min(limit)];
        loop {
            self.seen += value_span(&within[self.seen..]);
            match &within[self.seen..] {
                [b'\r', b'\n', ..] => {
                    let is_empty = self.seen == self.line;
                    self.seen += 2;
                    // One empty line may come before the request line.
                    if is_empty && self.line > 0 {
                        return Ok(Some(self.seen));
                    }
                    self.past_request_line |= !is_empty;
                    self.line = self.seen;
                }
                [] | [b'\r'] if bytes.len() <= limit => return Ok(None),
                [] | [b'\r'] if self.past_request_line => return Err(Fault::HeaderTooLarge),
                [] | [b'\r'] => return Err(Fault::UriTooLong),
                [b'\r', ..] => return bad("a CR without LF"),
                [b'\n', ..] => return bad("an LF without CR"),
                [_, ..] => return bad("a control character"),
            }
        }
    }
}

fn in_memory(size: ByteSize) -> usize {
    usize::try_from(size.get()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{
        super::tests::{limits, valid_head},
        *,
    };

    /// What is found when `bytes` come in pieces that end at these places.
    fn found(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> Result<Option<usize>, Fault> {
        let mut end = HeadEnd::default();
        for cut in cuts {
            if let Some(found) = end.find(&bytes[..cut], &limits())? {
                return Ok(Some(found));
            }
        }
        end.find(bytes, &limits())
    }

    #[test]
    fn what_no_head_may_hold_is_refused_before_the_end() {
        for (bytes, said) in [
            ("GET / HTTP/1.1\n", "LF without CR"),
            ("\n", "LF without CR"),
            ("GET / HTTP/1.1\r\nHost: a\n", "LF without CR"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", "LF without CR"),
            ("GET / HTTP/1.1\rX", "CR without LF"),
            ("GET / HTTP/1.1\r\r", "CR without LF"),
            ("GET /\0", "control"),
            ("\x16\x03", "control"),
            ("GET / HTTP/1.1\r\nX: \x7f", "control"),
        ] {
            let Err(Fault::BadRequest(detail)) = found(bytes.as_bytes(), 0..bytes.len()) else {
                panic!("{bytes:?} is let pass");
            };
            assert!(detail.contains(said), "{bytes:?}: {detail:?} says nothing of {said:?}");
        }
    }

    #[test]
    fn an_endless_head_is_refused_by_what_is_endless_in_it() {
        let endless = |start: &str| {
            let bytes = format!("{start}{}", "a".repeat(2049 - start.len()));
            assert_eq!(
                found(&bytes.as_bytes()[..2048], 0..2048),
                Ok(None),
                "{start:?} at the limit"
            );
            found(bytes.as_bytes(), 0..2049)
        };
        assert_eq!(endless("GET /"), Err(Fault::UriTooLong));
        assert_eq!(endless("\r\nGET /"), Err(Fault::UriTooLong));
        assert_eq!(endless("GET / HTTP/1.1\r\n"), Err(Fault::HeaderTooLarge));
        assert_eq!(endless("GET / HTTP/1.1\r\nX: y\r\nX: "), Err(Fault::HeaderTooLarge));
    }

    #[test]
    fn a_head_may_end_at_the_limit_and_no_later() {
        let head = |length: usize| {
            let start = "GET / HTTP/1.1\r\nX: ";
            format!("{start}{}\r\n\r\n", "y".repeat(length - start.len() - 4))
        };
        for cuts in [0..0, 0..2048] {
            assert_eq!(found(head(2048).as_bytes(), cuts.clone()), Ok(Some(2048)));
            assert_eq!(found(head(2049).as_bytes(), cuts), Err(Fault::HeaderTooLarge));
        }
    }

    proptest! {
        #[test]
        fn every_valid_head_ends_where_it_ends(
            head in valid_head(),
            empty_line in any::<bool>(),
            next in vec(any::<u8>(), 0..20),
            mut cuts in vec(0..400_usize, 0..9),
        ) {
            let head = format!("{}{head}", if empty_line { "\r\n" } else { "" });
            let bytes = [head.as_bytes(), &next].concat();
            cuts.sort_unstable();
            let cuts = cuts.into_iter().map(|cut| cut.min(bytes.len()));
            prop_assert_eq!(found(&bytes, cuts), Ok(Some(head.len())));
        }

        #[test]
        fn the_cut_changes_nothing(
            bytes in vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()], 0..60),
        ) {
            prop_assert_eq!(found(&bytes, 0..bytes.len()), found(&bytes, []));
        }
    }
}
