//! Answers that are broken: never taken for whole, told apart, and nothing of them left on a
//! connection that another request gets.

use super::{
    RUNTIME, Speaks,
    backend::{Backend, Step, answer},
    client::{Ask, Upload},
    ended, settled,
};
use crate::weir::Weir;

/// What a broken answer looks like to the client.
enum Expected {
    /// The sidecar answers in its place.
    Said(u16, &'static str),
    /// It is cut; or said, where the end overtook the header.
    Cut(&'static str),
    /// It is passed on.
    Passed(u16),
}
use Expected::{Cut, Passed, Said};

const H1: &[(&str, Expected)] = &[
    ("/reset", Said(502, "upstream_reset")),
    ("/close", Said(502, "upstream_reset")),
    ("/close-in-header", Said(502, "upstream_reset")),
    ("/reset-in-body", Cut("upstream_reset")),
    ("/close-in-body", Cut("upstream_reset")),
    ("/close-in-chunk", Cut("upstream_reset")),
    ("/bad-chunk", Cut("upstream_protocol")),
    ("/not-http", Said(502, "upstream_protocol")),
    ("/bad-status", Said(502, "upstream_protocol")),
    ("/two-lengths", Said(502, "upstream_protocol")),
    ("/cr-in-header", Said(502, "upstream_protocol")),
    ("/header-2MiB", Said(502, "upstream_protocol")),
    ("/101-unasked", Said(502, "upstream_protocol")),
    ("/103-storm", Said(502, "upstream_protocol")),
    ("/103-twice", Passed(200)),
    ("/bytes-after", Passed(200)),
    ("/500", Passed(500)),
    ("/ok", Passed(200)),
];

const H2: &[(&str, Expected)] = &[
    ("/reset", Said(502, "upstream_reset")),
    ("/close", Said(502, "upstream_reset")),
    ("/reset-in-body", Cut("upstream_reset")),
    ("/close-in-body", Cut("upstream_reset")),
    ("/short-body", Cut("upstream_reset")),
    ("/500", Passed(500)),
    ("/ok", Passed(200)),
];

fn broken(path: &str) -> Vec<Step> {
    let raw = |text: &str| Step::Raw(text.as_bytes().to_vec());
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let steps = match path {
        "/reset" => vec![Step::Reset],
        "/close" => vec![Step::Close],
        "/close-in-header" => vec![raw("HTTP/1.1 200 OK\r\ncontent-le"), Step::Close],
        "/reset-in-body" => vec![Step::Head(200, 100), Step::Body(10), Step::Reset],
        "/close-in-body" => vec![Step::Head(200, 100), Step::Body(10), Step::Close],
        "/short-body" => vec![Step::Head(200, 100), Step::Body(10)],
        "/close-in-chunk" => vec![raw(CHUNKED), raw("a\r\nxxxx"), Step::Close],
        "/bad-chunk" => vec![raw(CHUNKED), raw("4\r\nxxxx\r\nzz\r\n"), Step::Silence],
        "/not-http" => vec![raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Step::Silence],
        "/bad-status" => vec![raw("HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n"), Step::Silence],
        "/two-lengths" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc";
            vec![raw(head), Step::Silence]
        }
        "/cr-in-header" => {
            vec![raw("HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 0\r\n\r\n"), Step::Silence]
        }
        "/header-2MiB" => {
            let head = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "a".repeat(2 << 20));
            vec![raw(&head), Step::Silence]
        }
        "/101-unasked" => {
            let head =
                "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            vec![raw(head), Step::Silence]
        }
        "/103-storm" => vec![raw(&early.repeat(1000)), Step::Silence],
        "/103-twice" => vec![raw(&early.repeat(2)), Step::Head(200, 2), Step::Body(2)],
        "/bytes-after" => vec![Step::Head(200, 2), raw("xxHTTP/1.1 200 OK\r\n\r\n"), Step::Silence],
        "/500" => vec![Step::Head(500, 2), Step::Body(2)],
        _ => vec![Step::Head(200, 2), Step::Body(2)],
    };
    [vec![Step::Read], steps].concat()
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn before(backend: &Backend, speaks: Speaks) -> Weir {
    Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, breaker: {{ mode: disabled }}, \
         timeout: {{ total: 20s, first_byte: 10s }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {} }} }}\n",
        backend.address,
        speaks.word()
    ))
}

fn check(upstream: Speaks, rows: &[(&str, Expected)]) {
    let backend = Backend::start(upstream, broken);
    let weir = before(&backend, upstream);
    for (path, expected) in rows {
        for client in Speaks::BOTH {
            let what = format!("{path} from {upstream:?} to {client:?}");
            let count = |reason: &&str| ended(&weir, reason);
            let reason = match expected {
                Said(_, reason) | Cut(reason) => reason,
                Passed(500) => &"upstream_error",
                Passed(_) => &"ok",
            };
            // The client of the request before this one heard its end before it was counted.
            settled(&weir, &[]);
            let before = count(reason);
            // A POST is never made twice, so that each request is one at the service too.
            let answer =
                RUNTIME.block_on(Ask::post(*path, Upload::Bytes(3)).of(weir.address(), client));
            match expected {
                Said(status, reason) => {
                    assert_eq!(
                        (answer.status, &*answer.reason),
                        (*status, *reason),
                        "{what}: {answer:?}"
                    );
                    assert!(answer.whole, "{what}: {answer:?}");
                }
                Cut(reason) if answer.whole => {
                    assert_eq!(
                        (answer.status, &*answer.reason),
                        (502, *reason),
                        "{what}: {answer:?}"
                    );
                }
                Cut(_) => assert!(matches!(answer.status, 0 | 200), "{what}: {answer:?}"),
                Passed(status) => {
                    assert_eq!(
                        (answer.status, answer.whole),
                        (*status, true),
                        "{what}: {answer:?}"
                    );
                    assert_eq!(answer.reason, "", "{what}");
                }
            }
            settled(&weir, &[]);
            assert_eq!(count(reason), before + 1, "{what} is counted as {reason}");
            if !matches!(expected, Passed(_)) {
                let told = weir.last_explained();
                assert_eq!(told["reason"], *reason, "{what}: {told}");
                assert_eq!(told["cut"], !answer.whole, "{what}: {told}");
            }
            let next = RUNTIME.block_on(Ask::get("/ok").of(weir.address(), client));
            assert_eq!((next.status, next.whole, next.body), (200, true, 2), "after {what}");
        }
    }
    settled(&weir, &[&backend]);
    assert_eq!(backend.whole(), rows.len() * 4);
}

#[test]
fn broken_answers_over_h1_are_told_and_left_behind() {
    check(Speaks::H1, H1);
}

#[test]
fn broken_answers_over_h2_are_told_and_left_behind() {
    check(Speaks::H2, H2);
}

#[test]
fn an_answer_before_the_body_is_read_reaches_a_client_that_is_still_sending() {
    let backend = Backend::start(Speaks::H1, |path| match path {
        "/then-close" => vec![Step::Head(403, 2), Step::Body(2), Step::Close],
        "/then-freeze" => vec![Step::Head(403, 2), Step::Body(2), Step::Freeze],
        _ => vec![Step::Head(403, 2), Step::Body(2), Step::Silence],
    });
    let weir = before(&backend, Speaks::H1);
    for path in ["/then-close", "/then-read-on", "/then-freeze"] {
        for client in Speaks::BOTH {
            let answer =
                RUNTIME.block_on(Ask::post(path, Upload::Endless).of(weir.address(), client));
            assert_eq!(
                (answer.status, answer.whole),
                (403, true),
                "{path} to {client:?}: {answer:?}"
            );
        }
    }
    settled(&weir, &[]);
    assert_eq!(ended(&weir, "ok"), 6);
}

/// Who waits for a write and reads nothing meanwhile stands still with a service that does the same.
#[test]
fn an_echo_flows_while_the_request_is_still_being_sent() {
    const LENGTH: usize = 16 << 20;
    for (service, protocol) in [(Speaks::H1, "h1"), (Speaks::H2, "h2")] {
        let backend = Backend::start(service, |_| vec![Step::Head(200, LENGTH), Step::Echo]);
        let weir = Weir::start(&format!(
            "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, limits: {{ body: 1GiB }}, timeout: {{ total: 5m }} }}] }}]\n\
             upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {protocol} }} }}\n",
            backend.address
        ));
        for client in Speaks::BOTH {
            let ask = Ask::post("/", Upload::Bytes(LENGTH));
            let answer = RUNTIME.block_on(ask.of(weir.address(), client));
            let seen = (answer.status, answer.body);
            assert_eq!(seen, (200, LENGTH), "{client:?} to {protocol}: {answer:?}");
        }
    }
}

#[test]
fn nobody_at_the_address_is_502() {
    let backend = Backend::start(Speaks::H1, |_| answer(200, 2));
    let weir = before(&backend, Speaks::H1);
    drop(backend);
    for client in Speaks::BOTH {
        crate::weir::until("the service is gone", || {
            let answer = RUNTIME.block_on(Ask::get("/").of(weir.address(), client));
            (answer.status, &*answer.reason) == (502, "upstream_connect")
        });
    }
}

#[test]
fn a_pooled_connection_that_closed_is_no_failure_of_a_request_that_can_be_repeated() {
    let backend = Backend::start(Speaks::H1, |path| match path {
        "/last" => [answer(200, 2), vec![Step::Close]].concat(),
        _ => answer(200, 2),
    });
    let weir = before(&backend, Speaks::H1);
    for _ in 0..50 {
        for path in ["/last", "/"] {
            let answer = RUNTIME.block_on(Ask::get(path).of(weir.address(), Speaks::H1));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    // The client of the last one heard its end before it was counted.
    settled(&weir, &[]);
    assert_eq!(ended(&weir, "ok"), 100);
}

/// A stream that is reset says nothing of its connection: the service has heard the request, and hears
/// it once, however safe it is to repeat.
#[test]
fn a_request_whose_stream_an_h2_service_resets_is_not_made_again() {
    let backend = Backend::start(Speaks::H2, |path| match path {
        "/reset" => vec![Step::Read, Step::Reset],
        _ => answer(200, 2),
    });
    let weir = Weir::start(&format!(
        "threads: 1\nlisteners: [{{ address: 127.0.0.1:0, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: h2 }} }}\n",
        backend.address
    ));
    for client in Speaks::BOTH {
        // The connection is one that has been used, as a stale one would be.
        for (path, status) in [("/", 200), ("/reset", 502), ("/", 200)] {
            let answer = RUNTIME.block_on(Ask::get(path).of(weir.address(), client));
            assert_eq!(answer.status, status, "{path} to {client:?}: {answer:?}");
        }
    }
    settled(&weir, &[&backend]);
    assert_eq!((ended(&weir, "ok"), ended(&weir, "upstream_reset")), (4, 2));
    assert_eq!((backend.begun(), backend.connections()), (6, 1));
}
