//! The chunks of a request's body, held to their grammar (RFC 9112, section 7.1).
//!
//! Pingora takes the chunks apart, and lets pass what is not one: an empty size counts as 0, a space
//! may follow a size, an extension may hold a bare LF. Each of these has been a way to smuggle a
//! request past a proxy, since another reader ends the chunk elsewhere. This reader only looks: it
//! runs over the bytes as they come from the socket, before Pingora has them, says where the body
//! ends, and stops there, because what follows is the next request. Data is skipped, so the cost is
//! that of the lines between.

use super::head::class::{self, TOKEN, VALUE};

/// Hex digits of a size, leading zeros counted: all sizes stay below 2^60, far from any overflow.
const DIGITS_MAX: u8 = 15;
/// Bytes of one chunk's extension. Below what Pingora's reader holds of an incomplete line, so that
/// the verdict does not depend on how the line is cut.
const EXTENSION_MAX: usize = 1024;
/// Bytes of all extensions of a body; hyper has the same bound. Nobody reads them.
const EXTENSIONS_MAX: usize = 16 * 1024;
/// Bytes of the trailer section. It is not forwarded.
const TRAILERS_MAX: usize = 8 * 1024;

/// Why a body is refused; the words complete "the request has ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A chunked body, as far as it has come in.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    /// Bytes of this chunk's extension.
    extension: usize,
    /// Bytes of all extensions.
    extensions: usize,
    /// Bytes of the trailer section.
    trailers: usize,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A digit of a size, or what ends it when there are digits.
    Size {
        digits: u8,
        size: u64,
    },
    /// The rest of an extension.
    Extension {
        size: u64,
    },
    /// The LF of a size's line.
    SizeLf {
        size: u64,
    },
    /// This many bytes; never 0.
    Data {
        left: u64,
    },
    /// The CR after the data.
    DataCr,
    /// The LF after the data.
    DataLf,
    /// A trailer field, or the empty line.
    Trailer,
    TrailerName,
    TrailerValue,
    /// The LF of a trailer field's line.
    TrailerLf,
    /// The very last LF.
    LastLf,
    Ended,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// Looks at the next bytes. `Some` once the body has ended: so many of `bytes` belonged to it.
    ///
    /// # Errors
    /// The first violation; after one, the body has no meaning, and asking on has none either.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Ended => return Ok(Some(at)),
                State::Data { left } => {
                    let here = left.min((bytes.len() - at) as u64);
                    self.state = match left - here {
                        0 => State::DataCr,
                        left => State::Data { left },
                    };
                    // No more than what is in memory.
                    at += here as usize;
                }
                state => {
                    self.state = self.step(state, byte)?;
                    at += 1;
                }
            }
        }
        Ok((self.state == State::Ended).then_some(at))
    }

    /// What follows a byte that is not data.
    fn step(&mut self, state: State, byte: u8) -> Result<State, Malformed> {
        match state {
            State::Size { digits, size } => size_goes_on(digits, size, byte),
            State::Extension { size } => self.extension_goes_on(size, byte),
            State::SizeLf { size } => {
                self.extension = 0;
                match size {
                    0 => lf(byte, State::Trailer),
                    left => lf(byte, State::Data { left }),
                }
            }
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataCr => Err(Malformed("chunk data that does not end where its size says")),
            State::DataLf => lf(byte, State::default()),
            State::LastLf => lf(byte, State::Ended),
            State::Data { .. } | State::Ended => Ok(state),
            State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                self.trailers += 1;
                if self.trailers > TRAILERS_MAX {
                    return Err(Malformed("trailers that are too long"));
                }
                trailer_goes_on(state, byte)
            }
        }
    }

    fn extension_goes_on(&mut self, size: u64, byte: u8) -> Result<State, Malformed> {
        self.extension += 1;
        self.extensions += 1;
        if self.extension > EXTENSION_MAX || self.extensions > EXTENSIONS_MAX {
            return Err(Malformed("chunk extensions that are too long"));
        }
        match byte {
            b'\r' => Ok(State::SizeLf { size }),
            _ if class::is(byte, VALUE) => Ok(State::Extension { size }),
            _ => Err(Malformed("a control character in a chunk extension")),
        }
    }
}

fn size_goes_on(digits: u8, size: u64, byte: u8) -> Result<State, Malformed> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' | b';' if digits == 0 => return Err(Malformed("an empty chunk size")),
        b'\r' => return Ok(State::SizeLf { size }),
        b';' => return Ok(State::Extension { size }),
        _ => return Err(Malformed("a chunk size that is not a hexadecimal number")),
    };
    if digits == DIGITS_MAX {
        return Err(Malformed("a chunk size of too many digits"));
    }
    Ok(State::Size { digits: digits + 1, size: size * 16 + u64::from(value) })
}

/// Trailers are field lines, and are held to the shape that fields of a head have.
fn trailer_goes_on(state: State, byte: u8) -> Result<State, Malformed> {
    match (state, byte) {
        (State::Trailer, b'\r') => Ok(State::LastLf),
        (State::Trailer | State::TrailerName, _) if class::is(byte, TOKEN) => {
            Ok(State::TrailerName)
        }
        (State::TrailerName, b':') => Ok(State::TrailerValue),
        (State::Trailer, b' ' | b'\t') => Err(Malformed("a folded trailer")),
        (State::Trailer | State::TrailerName, _) => {
            Err(Malformed("an invalid character in the name of a trailer"))
        }
        (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
        (State::TrailerValue, _) if class::is(byte, VALUE) => Ok(State::TrailerValue),
        (State::TrailerValue, _) => Err(Malformed("a control character in a trailer")),
        _ => lf(byte, State::Trailer),
    }
}

/// The only byte that may follow a CR.
fn lf(byte: u8, next: State) -> Result<State, Malformed> {
    match byte {
        b'\n' => Ok(next),
        _ => Err(Malformed("a CR without LF in its chunks")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    fn verdict(bytes: impl AsRef<[u8]>) -> Result<Option<usize>, Malformed> {
        Chunks::default().read(bytes.as_ref())
    }

    #[test]
    fn what_the_grammar_allows_passes() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "0A\r\n0123456789\r\na\r\n0123456789\r\n00\r\n\r\n",
            "5;name=value;quoted=\"a b\"\r\nhello\r\n0;last\r\n\r\n",
            "5;\u{e9}\r\nhello\r\n0\r\n\r\n",
            "4\r\n\r\n\r\n\r\n0\r\n\r\n",
            "0\r\nX-Checksum: 1\r\nX:\r\nX:\ta b\r\n\r\n",
            "000000000000005\r\nhello\r\n0\r\n\r\n",
        ] {
            assert_eq!(verdict(body), Ok(Some(body.len())), "{body:?}");
        }
    }

    #[test]
    fn what_it_does_not_is_refused_at_the_byte() {
        // The refused byte is the last of each row.
        for (start, said) in [
            ("\r", "empty chunk size"),
            (";", "empty chunk size"),
            ("\n", "not a hexadecimal"),
            (" ", "not a hexadecimal"),
            ("+", "not a hexadecimal"),
            ("-", "not a hexadecimal"),
            ("0x", "not a hexadecimal"),
            ("1_", "not a hexadecimal"),
            ("5 ", "not a hexadecimal"),
            ("5\t", "not a hexadecimal"),
            ("5\n", "not a hexadecimal"),
            ("5g", "not a hexadecimal"),
            ("0000000000000005", "too many digits"),
            ("FFFFFFFFFFFFFFFF", "too many digits"),
            ("5\rh", "CR without LF"),
            ("5;a\n", "control"),
            ("5;a\0", "control"),
            ("5;a\rb", "CR without LF"),
            ("5\r\nhello0", "does not end"),
            ("5\r\nhello\n", "does not end"),
            ("6\r\nhello\r\n", "does not end"),
            ("5\r\nhello\r0", "CR without LF"),
            ("5\r\nhello\r\n\r", "empty chunk size"),
            ("0\r\n\n", "name of a trailer"),
            ("0\r\n ", "folded"),
            ("0\r\nX: a\r\n\t", "folded"),
            ("0\r\nX ", "name of a trailer"),
            ("0\r\nX\r", "name of a trailer"),
            ("0\r\n:", "name of a trailer"),
            ("0\r\nX: a\n", "control"),
            ("0\r\nX: a\0", "control"),
            ("0\r\nX: a\rb", "CR without LF"),
            ("0\r\n\rX", "CR without LF"),
        ] {
            let (good, _) = start.split_at(start.len() - 1);
            assert_eq!(verdict(good), Ok(None), "{good:?}");
            let Err(Malformed(what)) = verdict(start) else { panic!("{start:?} is let pass") };
            assert!(what.contains(said), "{start:?}: {what:?} says nothing of {said:?}");
        }
    }

    #[test]
    fn each_bound_is_the_last_that_passes() {
        let extension = |length: usize| format!("1;{}\r\nx\r\n", "e".repeat(length - 1));
        assert_eq!(verdict(extension(EXTENSION_MAX)), Ok(None));
        assert_eq!(
            verdict(extension(EXTENSION_MAX + 1)),
            Err(Malformed("chunk extensions that are too long"))
        );
        let all = EXTENSIONS_MAX / EXTENSION_MAX;
        assert_eq!(verdict(extension(EXTENSION_MAX).repeat(all)), Ok(None));
        assert!(verdict(extension(EXTENSION_MAX).repeat(all) + "1;\r").is_err());

        let trailers = |length: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(length - 6));
        assert!(verdict(trailers(TRAILERS_MAX)).is_ok_and(|end| end.is_some()));
        assert!(verdict(trailers(TRAILERS_MAX + 1)).is_err());
    }

    /// Reads in pieces that end at these places.
    fn in_pieces(bytes: &[u8], cuts: &[Index]) -> Result<Option<usize>, Malformed> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut chunks = Chunks::default();
        let mut from = 0;
        for to in cuts {
            if let Some(end) = chunks.read(&bytes[from..to])? {
                return Ok(Some(from + end));
            }
            from = to;
        }
        Ok(None)
    }

    prop_compose! {
        /// A body of the grammar, and the places between the bytes of its lines, data left out.
        fn valid_body()(
            chunks in vec((vec(any::<u8>(), 1..40), any::<bool>(), "(;[ -~\t]{0,9})?"), 0..6),
            zeros in "0{1,3}",
            trailers in vec("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}:[\t -~]{0,9}\r\n", 0..4),
        ) -> (Vec<u8>, Vec<usize>) {
            let mut body = Vec::new();
            let mut places = Vec::new();
            for (data, upper, extension) in chunks {
                let size = if upper { format!("{:X}", data.len()) } else { format!("{:x}", data.len()) };
                let line = format!("{size}{extension}\r\n");
                places.extend(body.len()..body.len() + line.len());
                body.extend_from_slice(line.as_bytes());
                body.extend_from_slice(&data);
                places.extend([body.len(), body.len() + 1]);
                body.extend_from_slice(b"\r\n");
            }
            let end = format!("{zeros}\r\n{}\r\n", trailers.concat());
            places.extend(body.len()..body.len() + end.len());
            body.extend_from_slice(end.as_bytes());
            (body, places)
        }
    }

    proptest! {
        #[test]
        fn a_valid_body_passes_however_it_is_cut(
            (body, _) in valid_body(),
            next in vec(any::<u8>(), 0..20),
            cuts in vec(any::<Index>(), 0..9),
        ) {
            let bytes = [&body[..], &next].concat();
            prop_assert_eq!(in_pieces(&bytes, &cuts), Ok(Some(body.len())));
        }

        #[test]
        fn a_stray_control_in_its_lines_never_passes(
            (body, places) in valid_body(),
            place in any::<Index>(),
            stray in prop::sample::select(&b"\0\x0b\r\n\x1f\x7f"[..]),
            cuts in vec(any::<Index>(), 0..3),
        ) {
            let at = places[place.index(places.len())];
            // An LF before the last LF ends the body as well, and belongs to the next request.
            prop_assume!((at, stray) != (body.len() - 1, b'\n'));
            let mut broken = body;
            broken.insert(at, stray);
            prop_assert!(in_pieces(&broken, &cuts).is_err(), "{}", broken.escape_ascii());
        }

        #[test]
        fn half_a_line_end_never_passes((body, places) in valid_body(), place in any::<Index>()) {
            let ends: Vec<_> = places.into_iter().filter(|&at| matches!(body[at], b'\r' | b'\n')).collect();
            let mut broken = body;
            broken.remove(ends[place.index(ends.len())]);
            let next = b"GET / HTTP/1.1\r\n";
            prop_assert!(in_pieces(&[&broken[..], next].concat(), &[]).is_err(), "{}", broken.escape_ascii());
        }

        #[test]
        fn a_wrong_size_never_passes(
            data in vec(b'g'..=b'z', 1..40),
            wrong in 1..40_usize,
        ) {
            prop_assume!(wrong != data.len());
            let body = [format!("{wrong:x}\r\n").as_bytes(), &data, b"\r\n0\r\n\r\n", &[b'g'; 80]].concat();
            prop_assert!(in_pieces(&body, &[]).is_err(), "{}", body.escape_ascii());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200), cuts in vec(any::<Index>(), 0..9)) {
            prop_assert_eq!(in_pieces(&bytes, &cuts), in_pieces(&bytes, &[]));
        }
    }
}
