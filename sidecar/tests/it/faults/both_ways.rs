//! A request and its answer flow at the same time, and neither waits for the other.

use std::time::Duration;

use super::{
    RUNTIME, Speaks,
    backend::{Backend, Step},
    client::{Ask, Upload},
    deadlines::TOTAL,
    ended, settled,
};
use crate::weir::Weir;

/// More than the sockets and windows on the way can hold.
const BIG: usize = 32 << 20;

fn script(path: &str) -> Vec<Step> {
    match path {
        "/both" => vec![Step::Head(200, BIG), Step::Both(BIG)],
        _ => vec![Step::Read],
    }
}

fn before(speaks: Speaks, route: &str) -> (Weir, Backend) {
    let backend = Backend::start(speaks, script);
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, limits: {{ body: 1GiB }}, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {} }} }}\n",
        backend.address,
        speaks.word()
    ));
    (weir, backend)
}

/// A client that reads nothing before it has sent all would wait for ever, and the service with it,
/// were its upload held up by the answer that it does not take.
#[test]
fn an_upload_goes_on_while_its_answer_waits() {
    for upstream in Speaks::BOTH {
        let (weir, backend) = before(upstream, "timeout: { total: 10m }");
        for client in Speaks::BOTH {
            let ask = Ask::post("/both", Upload::Bytes(BIG));
            let answer = RUNTIME.block_on(ask.all_of(weir.address(), client));
            assert_eq!((answer.status, answer.body), (200, BIG), "{client:?} before {upstream:?}");
            assert!(answer.whole, "{client:?} before {upstream:?}");
        }
        settled(&weir, &[&backend]);
        // A client that has its answer may leave before the service has the last of its upload.
        assert_eq!(ended(&weir, "ok") + ended(&weir, "client_cancel"), 2);
    }
}

/// Neither side ever lets us wait, so no timer is ever asked for.
#[test]
fn an_upload_without_end_and_without_a_pause_ends_at_the_total() {
    for upstream in Speaks::BOTH {
        let (weir, backend) =
            before(upstream, "timeout: { total: 500ms }, breaker: { mode: disabled }");
        for client in Speaks::BOTH {
            let answer =
                RUNTIME.block_on(Ask::post("/", Upload::Endless).of(weir.address(), client));
            assert!([0, 504].contains(&answer.status), "{answer:?}");
            assert!(answer.took >= TOTAL, "{client:?} before {upstream:?}: {answer:?}");
            assert!(answer.took < Duration::from_secs(10), "{client:?} before {upstream:?}");
        }
        settled(&weir, &[&backend]);
        // Whether the upstream was behind in that moment is chance.
        assert_eq!(ended(&weir, "deadline") + ended(&weir, "upstream_total_timeout"), 2);
    }
}
