//! Clients that say exactly what came back: the status, whether the answer was whole, and when.

pub(crate) mod h1;
pub(crate) mod h2;

use std::{io, net::SocketAddr, time::Duration};

use tokio::time::{Instant, timeout};

use super::Speaks;
use crate::weir::PATIENCE;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) upload: Upload,
}

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    None,
    /// So many bytes, their number told.
    Bytes(usize),
    /// The number is told and one byte less comes.
    Short(usize),
    /// More and more, until nobody takes it.
    Endless,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Zero when no header came.
    pub(crate) status: u16,
    /// The word in `proxy-status`, where the sidecar answered.
    pub(crate) reason: String,
    /// Bytes of the body.
    pub(crate) body: usize,
    /// The end that the header promised has come.
    pub(crate) whole: bool,
    /// The connection can take another request.
    pub(crate) keeps: bool,
    pub(crate) took: Duration,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), fields: Vec::new(), upload: Upload::None }
    }

    pub(crate) fn post(path: impl Into<String>, upload: Upload) -> Self {
        Self { method: "POST", upload, ..Self::get(path) }
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Asks on a connection of its own.
    pub(crate) async fn of(&self, address: SocketAddr, speaks: Speaks) -> Answer {
        let asked = async {
            match speaks {
                Speaks::H1 => h1::Client::connect(address).await?.ask(self).await,
                Speaks::H2 => h2::Client::connect(address).await?.ask(self).await,
            }
        };
        Self::timed(asked).await
    }

    /// Asks on a connection of its own, and reads nothing of the answer before all is sent.
    pub(crate) async fn all_of(&self, address: SocketAddr, speaks: Speaks) -> Answer {
        let asked = async {
            match speaks {
                Speaks::H1 => h1::Client::connect(address).await?.ask_first(self).await,
                Speaks::H2 => h2::Client::connect(address).await?.ask_first(self).await,
            }
        };
        Self::timed(asked).await
    }

    async fn timed(asked: impl Future<Output = io::Result<Answer>>) -> Answer {
        let started = Instant::now();
        let answer = timeout(PATIENCE, asked).await.expect("an answer, or the connection's end");
        Answer { took: started.elapsed(), ..answer.unwrap_or_default() }
    }
}

/// The `details` of `proxy-status`.
fn reason(proxy_status: &str) -> String {
    proxy_status.split('"').nth(1).unwrap_or_default().to_owned()
}
