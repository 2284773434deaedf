//! Every vector of `tests/vectors`, against a running sidecar with a service behind it that counts:
//! what is answered, whether the connection goes on, and what reaches the service.
//!
//! Each HTTP/1 vector is sent twice, whole and cut in three, because its outcome must not depend on
//! how the stream is cut. The HTTP/2 vectors are sent by `h2_client.py`, a process for each, so that
//! the service's count belongs to that vector alone.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use serde::Deserialize;
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::{Backend, answer},
        client::{Answer, Ask, h1},
        settled,
    },
    weir::Weir,
};

/// Of h1.yaml, which describes each field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    #[serde(rename = "rfc")]
    _rfc: String,
    send: Vec<Piece>,
    answers: Vec<Expected>,
    closed: bool,
    seen: usize,
    bodies: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Times { times: usize, of: String },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expected {
    Status(u16),
    Word(String),
}

/// Of h2.yaml, what the client does not judge itself.
#[derive(Debug, Deserialize)]
struct H2Vector {
    name: String,
    seen: Seen,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Seen {
    Exactly(usize),
    AtMost { at_most: usize },
}

/// The h2 crate cuts a fragment off before anyone can see it: the service gets the path without it.
const CUT_BEFORE_US: &str = "fragment-in-the-path";
/// Far beyond the timeouts of the listener.
const ANSWERED: Duration = Duration::from_secs(10);
/// How many sidecars share the HTTP/2 vectors.
const LANES: usize = 2;

#[test]
fn every_h1_vector_comes_out_as_written() {
    let vectors: Vec<Vector> = read("h1.yaml");
    let (weir, backend) = start();
    let mut wrong = Vec::new();
    for vector in &vectors {
        for cuts in [1, 3] {
            let found = RUNTIME.block_on(async {
                let exchanged = timeout(ANSWERED, exchange(&weir, vector, cuts)).await;
                exchanged.unwrap_or_else(|_| Err("neither an answer nor the end came".to_owned()))
            });
            settled(&weir, &[&backend]);
            let mut bodies = backend.take_bodies();
            let found = found.and_then(|asked_again| {
                if asked_again {
                    bodies.pop();
                }
                seen(vector, &bodies)
            });
            if let Err(found) = found {
                wrong.push(format!("{} in {cuts}: {found}", vector.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

#[test]
fn every_h2_vector_comes_out_as_written() {
    let vectors: Vec<H2Vector> = read("h2.yaml");
    let lane = vectors.len().div_ceil(LANES);
    let wrong: Vec<String> = thread::scope(|scope| {
        let lanes: Vec<_> =
            vectors.chunks(lane).map(|vectors| scope.spawn(|| run_h2(vectors))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("a lane")).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

fn start() -> (Weir, Backend) {
    let backend = Backend::start(Speaks::H1, |_| answer(200, 2));
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, timeout: {{ request_header: 1s }}, \
         routes: [{{ upstream: app, timeout: {{ request_body: 1s }}, breaker: {{ mode: disabled }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        backend.address
    ));
    (weir, backend)
}

fn read<T: for<'de> Deserialize<'de>>(file: &str) -> Vec<T> {
    let text = std::fs::read_to_string(folder().join(file)).expect("the vectors");
    serde_yaml::from_str(&text).expect("vectors as their head describes them")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Sends a vector and compares the answers; whether one more request was made.
async fn exchange(weir: &Weir, vector: &Vector, cuts: usize) -> Result<bool, String> {
    let bytes = vector.send.iter().flat_map(Piece::bytes).collect::<Vec<u8>>();
    let mut client = h1::Client::connect(weir.address()).await.expect("a connection");
    for piece in bytes.chunks(bytes.len().div_ceil(cuts)) {
        // The other side may answer and close before it has read everything.
        if client.socket.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    for expected in &vector.answers {
        let answer = client.answer().await.map_err(|error| error.to_string())?;
        let status = match expected {
            Expected::Status(status) => *status,
            Expected::Word(word) => {
                assert_eq!(word, "ok", "{}", vector.name);
                200
            }
        };
        if answer.status != status || !answer.whole {
            return Err(format!("expected {status}, got {answer:?}"));
        }
    }
    if vector.closed {
        return match client.is_closed().await {
            true => Ok(false),
            false => Err("the connection goes on".to_owned()),
        };
    }
    match client.ask(&Ask::get("/")).await {
        Ok(Answer { status: 200, whole: true, .. }) => Ok(true),
        other => Err(format!("one more request got {other:?}")),
    }
}

fn seen(vector: &Vector, bodies: &[Vec<u8>]) -> Result<(), String> {
    if bodies.len() != vector.seen {
        return Err(format!("the service saw {} requests, not {}", bodies.len(), vector.seen));
    }
    let Some(expected) = &vector.bodies else { return Ok(()) };
    let expected: Vec<Vec<u8>> = expected.iter().map(|body| latin1(body)).collect();
    if bodies != expected {
        return Err(format!("the service saw the bodies {bodies:?}"));
    }
    Ok(())
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => latin1(text),
            Self::Times { times, of } => latin1(of).repeat(*times),
        }
    }
}

/// Each character is one byte.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(letter).expect("a byte")).collect()
}

/// Runs vectors one after the other on a sidecar of their own; what went wrong.
fn run_h2(vectors: &[H2Vector]) -> Vec<String> {
    let (weir, backend) = start();
    let mut wrong = Vec::new();
    for vector in vectors {
        let said = Command::new(python())
            .arg(folder().join("h2_client.py"))
            .args([weir.address().ip().to_string(), weir.address().port().to_string()])
            .arg(folder().join("h2.yaml"))
            .arg(&vector.name)
            .output()
            .expect("python runs");
        settled(&weir, &[&backend]);
        // The client asks once more, on a new connection.
        let seen = backend.take_bodies().len().saturating_sub(1);
        let as_written = match vector.seen {
            Seen::Exactly(expected) => seen == expected,
            Seen::AtMost { at_most } => seen <= at_most,
        };
        if vector.name == CUT_BEFORE_US {
            assert_eq!(seen, 1, "{CUT_BEFORE_US} is refused now: take the exception out");
        } else if !said.status.success() || !as_written {
            let said = [said.stdout, said.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            wrong.push(format!("{}: the service saw {seen} requests; {said}", vector.name));
        }
    }
    wrong
}

/// With the packages of `tests/clients/requirements.txt`.
fn python() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    let python = std::env::var_os("WEIR_PYTHON").map_or(ours, PathBuf::from);
    assert!(python.exists(), "{} is missing: `make setup` installs it", python.display());
    python
}
