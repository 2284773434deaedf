//! Real clients and real servers with the sidecar between them, and nothing of the exchange lost.
//!
//! curl, h2load, grpcio and Python's websockets on one side; the clinic, nginx, Python's http.server,
//! nghttpd, grpcio and OpenSSL on the other. Where the order of bytes matters, the test holds a plain
//! socket on either side and says each of them itself ([`wire`]).

mod bodies;
mod breakers;
pub(crate) mod clinic;
mod concurrency;
pub(crate) mod curl;
mod deadlines;
mod endpoints;
mod explained;
mod faults;
mod forwarding;
mod grpc;
mod health_checks;
mod http1;
mod listeners;
mod load;
pub(crate) mod message;
mod methods;
mod names;
mod outliers;
mod priority;
pub(crate) mod process;
mod rate_limits;
mod retries;
mod routes;
mod servers;
mod streams;
pub(crate) mod tls;
mod uploads;
mod websocket;
pub(crate) mod wire;
