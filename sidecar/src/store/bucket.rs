//! A bucket at the store: what is sent for it, and what comes back.
//!
//! All of it is one script, so that a round trip is one decision, whole, and the clock is the server's:
//! those of the sidecars need not agree.

use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, aio::MultiplexedConnection};
use weir_policy::{Ask, Grant, StoreReceipt};

const SCRIPT: &str = include_str!("bucket.lua");

/// What every sidecar of a limit has to agree on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    /// Microseconds that a request is worth.
    pub(super) interval: f64,
    pub(super) burst: u32,
}

/// The script at a server, by the name that the server has for it.
#[derive(Clone, Debug)]
pub(super) struct Script {
    digest: String,
}

impl Script {
    /// Has the server keep the script.
    pub(super) async fn load(connection: &mut MultiplexedConnection) -> RedisResult<Self> {
        let mut command = redis::cmd("SCRIPT");
        let digest = command.arg("LOAD").arg(SCRIPT).query_async(connection).await?;
        Ok(Self { digest })
    }

    /// Asks for a bucket. A server that has forgotten the script since, because it was started anew or
    /// told to, is sent it again.
    pub(super) async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        key: &str,
        terms: Terms,
        ask: &Ask,
    ) -> RedisResult<Grant> {
        let by_name = command("EVALSHA", &self.digest, key, terms, ask);
        let answer: RedisResult<String> = by_name.query_async(connection).await;
        let forgotten =
            |error: &RedisError| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript);
        let answer = match answer {
            Err(error) if forgotten(&error) => {
                command("EVAL", SCRIPT, key, terms, ask).query_async(connection).await?
            }
            answer => answer?,
        };
        read(&answer).ok_or_else(|| (ErrorKind::Parse, "the bucket's answer is none").into())
    }
}

fn command(verb: &str, script: &str, key: &str, terms: Terms, ask: &Ask) -> Cmd {
    let StoreReceipt { after, given, born } = ask.receipt;
    let mut command = redis::cmd(verb);
    command.arg(script).arg(1).arg(key);
    command.arg(terms.interval).arg(terms.burst).arg(ask.want);
    command.arg(ask.back).arg(after).arg(given).arg(born);
    command
}

fn read(answer: &str) -> Option<Grant> {
    let numbers =
        answer.split(' ').map(|number| number.parse().ok().filter(|n: &f64| n.is_finite()));
    let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
    let &[granted, remaining, next, reset, after, given, born] = numbers.as_slice() else {
        return None;
    };
    let micros = |micros: f64| Duration::from_micros(micros as u64);
    Some(Grant {
        granted: granted as u32,
        remaining: remaining as u32,
        next: micros(next),
        reset: micros(reset),
        receipt: StoreReceipt { after, given, born },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let grant = read("3 7 0 1500000 60000000000000.125 0.500 59999998500000").unwrap();
        assert_eq!((grant.granted, grant.remaining), (3, 7));
        assert_eq!(grant.reset, Duration::from_millis(1_500));
        assert_eq!(grant.receipt.after, 60_000_000_000_000.125);
        for other in ["", "3", "3 7 0 1 2 3", "3 7 0 1 2 3 4 5", "3 7 0 nan 2 3 4", "a b c d e f g"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
