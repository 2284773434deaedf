//! The messages of `grpc.health.v1`: two fields of protobuf, written and read by hand.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use bytes::{BufMut, Bytes, BytesMut};

pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// What precedes a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A `HealthCheckRequest` for this service, framed.
pub(super) fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        // Field 1, a text. The configuration holds names to 256 bytes, which is two bytes of length.
        message.put_u8(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    frame.freeze()
}

/// What a framed `HealthCheckResponse` says is wrong.
pub(super) fn judge(frame: &[u8]) -> Result<(), String> {
    let message = match frame {
        [0, length @ ..] => length.split_first_chunk::<4>(),
        _ => None,
    };
    let Some((length, message)) = message else { return Err("it sent no message".to_owned()) };
    let message = message.get(..u32::from_be_bytes(*length) as usize);
    match message.and_then(status) {
        Some(1) => Ok(()),
        Some(0) => Err("it says UNKNOWN".to_owned()),
        Some(2) => Err("it says NOT_SERVING".to_owned()),
        Some(3) => Err("it says SERVICE_UNKNOWN".to_owned()),
        Some(other) => Err(format!("it says status {other}, which is none")),
        None => Err("its message is not a health check's answer".to_owned()),
    }
}

/// Field 1, a number; zero where it is left out. Other fields are passed over.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = take_varint(&mut message)?,
            (_, 0) => drop(take_varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_varint(message: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        message.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    message.put_u8(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_framed() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("a.B")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        assert_eq!(question(&"a".repeat(200))[5..8], [0x0a, 0xc8, 0x01]);
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        let framed = |message: &[u8]| {
            let length = (message.len() as u32).to_be_bytes();
            [&[0][..], &length, message].concat()
        };
        for (message, expected) in [
            (&[8, 1][..], None),
            (&[0x12, 2, 7, 7, 8, 1, 0x1d, 0, 0, 0, 0], None),
            (&[], Some("UNKNOWN")),
            (&[8, 2], Some("NOT_SERVING")),
            (&[8, 3], Some("SERVICE_UNKNOWN")),
            (&[8, 9], Some("status 9")),
            (&[8], Some("not a health check's")),
            (&[0x12, 9, 1], Some("not a health check's")),
            (
                &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Some("not a health"),
            ),
        ] {
            let judged = judge(&framed(message));
            match expected {
                None => assert_eq!(judged, Ok(()), "{message:?}"),
                Some(part) => assert!(judged.unwrap_err().contains(part), "{message:?}"),
            }
        }
        for frame in [&[][..], &[0], &[0, 0, 0, 0], &[1, 0, 0, 0, 2, 8, 1]] {
            assert!(judge(frame).is_err(), "{frame:?}");
        }
        assert!(judge(&[0, 0, 0, 0, 3, 8, 1]).is_err(), "it is cut short");
    }
}
