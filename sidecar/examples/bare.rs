//! The measure of the benchmark: the smallest pass-through that Pingora allows.
//!
//! Pingora's proxy with nothing but the address of the upstream, everything else as it comes: one
//! thread, work stealing, 64 KiB read buffers, no policy, no metric. What Weir costs is told against
//! this, because it is what Weir's users would otherwise have written; a baseline tuned by us, or
//! one that leaves out half of HTTP, would flatter.

use std::{env, net::SocketAddr, process::ExitCode};

use async_trait::async_trait;
use pingora::{
    Result,
    server::{RunArgs, Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

const USAGE: &str = "usage: bare LISTEN UPSTREAM, both as ADDRESS:PORT";

/// Sends every request to one address.
struct PassThrough {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() -> ExitCode {
    let addresses: Vec<_> = env::args().skip(1).map(|argument| argument.parse()).collect();
    let [Ok(listen), Ok(upstream)] = addresses[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    serve(listen, upstream);
    ExitCode::SUCCESS
}

fn serve(listen: SocketAddr, upstream: SocketAddr) {
    let mut server = Server::new_with_opt_and_conf(None, ServerConf::default());
    let mut proxy = http_proxy_service(&server.configuration, PassThrough { upstream });
    proxy.add_tcp(&listen.to_string());
    server.add_service(proxy);
    server.run(RunArgs::default());
}
