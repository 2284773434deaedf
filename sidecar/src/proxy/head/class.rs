//! Which bytes may stand where.
//!
//! One table for all classes: a byte is looked up once, whatever it is asked for. Values are most of
//! a head and nearly always clean, so they are gone through in blocks that the compiler turns into
//! vector instructions.

/// `tchar` (RFC 9110, section 5.6.2).
pub(in crate::proxy) const TOKEN: u8 = 1;
/// What a target may hold.
pub(in crate::proxy) const TARGET: u8 = 2;
/// What the name of a host, or an IPv4 address, may hold.
pub(in crate::proxy) const HOST: u8 = 4;
/// What a field value may hold: all but controls; HTAB and the bytes above ASCII are fine (section 5.5).
pub(in crate::proxy) const VALUE: u8 = 8;

/// Whether a byte belongs to `class`.
pub(in crate::proxy) fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// How many bytes at the start belong to `class`.
pub(in crate::proxy) fn span(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| !is(byte, class)).unwrap_or(bytes.len())
}

/// How many bytes at the start a value may hold: `span` of [`VALUE`], in less time.
pub(in crate::proxy) fn value_span(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<16>();
    let clean = 16 * blocks.iter().take_while(|block| !has_control(block)).count();
    clean + span(&bytes[clean..], VALUE)
}

/// Without a way out early, so that all bytes are compared at once. HTAB counts; it is rare.
fn has_control(block: &[u8; 16]) -> bool {
    block.iter().fold(false, |found, byte| found | (*byte < b' ') | (*byte == 0x7f))
}

/// Takes optional white space off: SP and HTAB only, where `trim_ascii` would take more.
pub(in crate::proxy) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Which classes each byte belongs to.
const CLASS: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        let mut class = 0;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            class |= TOKEN | HOST;
        }
        if matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|'
        ) {
            class |= TOKEN;
        }
        if byte.is_ascii_graphic() && byte != b'#' {
            class |= TARGET;
        }
        if byte == b'\t' || !byte.is_ascii_control() {
            class |= VALUE;
        }
        classes[byte as usize] = class;
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn blocks_see_what_single_bytes_see(bytes in vec(prop_oneof![9 => b' '..=0x7e, 1 => any::<u8>()], 0..80)) {
            prop_assert_eq!(value_span(&bytes), span(&bytes, VALUE));
        }
    }
}
