//! Many requests at once, by h2load: each is answered, and each is in the ledger.

use super::{process::tool, servers};
use crate::weir::{Weir, until};

const REQUESTS: u32 = 20_000;

#[test]
fn twenty_thousand_requests_over_either_protocol_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    let nginx = servers::nginx(folder.path());
    for protocol in ["--h1", "--no-tls-proto=h2c"] {
        let weir = weir_that_keeps_connections(&nginx.endpoint);
        let counted = REQUESTS.to_string();
        let ran = tool("h2load")
            .args([
                protocol,
                "-n",
                &counted,
                "-c",
                "32",
                "-m",
                if protocol == "--h1" { "1" } else { "8" },
            ])
            .arg(weir.url("/hello.txt"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(
            said.contains(&format!("status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx")),
            "{said}"
        );
        assert!(
            said.contains(&format!("{REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout")),
            "{said}"
        );
        until("the ledger is settled", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
        let all = f64::from(REQUESTS);
        assert_eq!(weir.metric("weir_requests_received_total", &[]), all);
        assert_eq!(weir.metric("weir_requests_total", &[]), all);
        assert_eq!(weir.metric("weir_requests_total", &["reason=\"ok\""]), all);
        assert_eq!(weir.metric("weir_responses_total", &["status=\"2xx\""]), all);
    }
}

fn weir_that_keeps_connections(endpoint: &str) -> Weir {
    Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, limits: {{ requests_per_connection: 1000000 }}, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"], concurrency: {{ limit: 1000 }} }} }}\n"
    ))
}
