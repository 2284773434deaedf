//! The line to a store: whether it stands, and what goes over it.
//!
//! One connection for the process: asks are few, since leases answer for most requests, and go out one
//! behind the other without waiting for each other. An ask that fails or takes too long takes the line
//! down, at once and for all: from then on nobody waits for it, until the store's own task
//! ([`super::watch`]) has found that it answers again. So a store that hangs costs those who wait at
//! that moment their `timeout`, and nobody after them.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError,
    ServerErrorKind, aio::MultiplexedConnection,
};
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::timeout,
};
use weir_config::Endpoint;
use weir_policy::{Ask, Grant};

use super::{
    bucket::{Script, Terms},
    latency::Latency,
    limit::Limit,
};
use crate::clock;

/// A store, as far as asks see it.
pub(crate) struct Link {
    settings: weir_config::Store,
    timeout: Duration,
    line: ArcSwapOption<Line>,
    /// Whether reaching it has been tried, whatever came of it.
    pub(super) tried: AtomicBool,
    /// The line has been taken down, and why the last time.
    down: Notify,
    why: AtomicU8,
    /// Those whose buckets are there.
    pub(super) limits: Mutex<Vec<Weak<Limit>>>,
    asking: Semaphore,
    pub(crate) latency: Latency,
    errors: [AtomicU64; Trouble::ALL.len()],
}

/// A connection that has been tried.
pub(super) struct Line {
    connection: MultiplexedConnection,
    script: Script,
}

/// Why a store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no connection, or it ended.
    Connection,
    /// It took longer than `timeout`.
    Timeout,
    /// It does not let us in, or not do what has to be done.
    Denied,
    /// It answers with an error: it is loading, read-only, out of memory.
    Answer,
}

impl Trouble {
    pub(crate) const ALL: [Self; 4] = [Self::Connection, Self::Timeout, Self::Denied, Self::Answer];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Denied => "denied",
            Self::Answer => "answer",
        }
    }

    fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Self::Denied
            }
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Self::Denied,
            ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::Parse => Self::Answer,
            _ => Self::Connection,
        }
    }
}

/// What a connection needs while it stands: one task, which ends with it and when this is dropped.
pub(super) type Driver = JoinSet<()>;

impl Link {
    pub(super) fn new(shared: &weir_config::Shared) -> Self {
        Self {
            settings: shared.store.clone(),
            timeout: shared.timeout,
            line: ArcSwapOption::empty(),
            tried: AtomicBool::new(false),
            down: Notify::new(),
            why: AtomicU8::new(Trouble::Connection as u8),
            limits: Mutex::default(),
            asking: Semaphore::new(ASKS_MAX),
            latency: Latency::default(),
            errors: Default::default(),
        }
    }

    pub(super) fn is_for(&self, shared: &weir_config::Shared) -> bool {
        self.settings == shared.store && self.timeout == shared.timeout
    }

    /// The store's address, without who asks.
    pub(crate) fn name(&self) -> String {
        self.settings.to_string()
    }

    /// The longest that a request waits for it.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether it is asked at all.
    pub(crate) fn is_up(&self) -> bool {
        self.line.load().is_some()
    }

    /// How often it did not answer, and why.
    pub(crate) fn errors(&self, trouble: Trouble) -> u64 {
        self.errors[trouble as usize].load(Relaxed)
    }

    pub(super) fn count(&self, trouble: Trouble) {
        self.errors[trouble as usize].fetch_add(1, Relaxed);
    }

    /// Asks for a bucket; `None` when the store does not say.
    pub(super) async fn ask(&self, key: &str, terms: Terms, ask: &Ask) -> Option<Grant> {
        let line = self.line.load_full()?;
        // More at once than any store would answer in time: those are not its fault.
        let _permit = self.asking.try_acquire().ok()?;
        let began = clock::now();
        match self.bounded(line.ask(key, terms, ask)).await {
            Ok(grant) => {
                self.latency.record(clock::now().since(began));
                Some(grant)
            }
            Err(trouble) => {
                self.count(trouble);
                self.take_down(Some(&line), trouble);
                None
            }
        }
    }

    async fn bounded<T>(
        &self,
        asked: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Trouble> {
        match timeout(self.timeout, asked).await {
            Ok(answer) => answer.map_err(|error| Trouble::of(&error)),
            Err(_) => Err(Trouble::Timeout),
        }
    }

    /// Asks no more over this line, or over any.
    pub(super) fn take_down(&self, line: Option<&Arc<Line>>, why: Trouble) {
        let stands = self.line.load_full();
        let Some(stands) = stands else { return };
        if line.is_none_or(|line| Arc::ptr_eq(&stands, line)) {
            self.why.store(why as u8, Relaxed);
            self.line.store(None);
            self.down.notify_one();
        }
    }

    /// Waits until the line is down; says why.
    pub(super) async fn is_down(&self) -> Trouble {
        while self.is_up() {
            self.down.notified().await;
        }
        Trouble::ALL[usize::from(self.why.load(Relaxed)) % Trouble::ALL.len()]
    }

    /// Makes a line and tries it, by the very thing that it is for: a server that takes no writes, or
    /// that is slower than `timeout`, is of no use. What it returns is to be kept while it stands.
    pub(super) async fn connect(&self) -> Result<Driver, Trouble> {
        let connecting = timeout(CONNECT_TIMEOUT, self.connection());
        let connected = connecting.await.map_err(|_| Trouble::Timeout)?;
        let (mut connection, driver) = connected.map_err(|error| Trouble::of(&error))?;
        let script = self.bounded(Script::load(&mut connection)).await?;
        let line = Line { connection, script };
        self.bounded(line.ask(PROBE, PROBE_TERMS, &PROBE_ASK)).await?;
        self.line.store(Some(Arc::new(line)));
        Ok(driver)
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, Driver), RedisError> {
        let stream = match &self.settings.endpoint {
            Endpoint::Address(address) => TcpStream::connect(address).await?,
            Endpoint::Name { host, port } => TcpStream::connect((host.as_str(), *port)).await?,
            Endpoint::Unix(_) => return Err((ErrorKind::InvalidClientConfig, "no socket").into()),
        };
        stream.set_nodelay(true)?;
        let mut who = RedisConnectionInfo::default()
            .set_db(i64::from(self.settings.database))
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        if let Some(user) = &self.settings.user {
            who = who.set_username(user);
        }
        if let Some(password) = &self.settings.password {
            who = who.set_password(password.expose());
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (connection, driving) =
            MultiplexedConnection::new_with_config(&who, stream, config).await?;
        let mut driver = Driver::new();
        driver.spawn(driving);
        Ok((connection, driver))
    }

    /// The limits whose buckets are there.
    pub(super) fn limits(&self) -> Vec<Arc<Limit>> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.retain(|limit| limit.strong_count() > 0);
        limits.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Line {
    async fn ask(&self, key: &str, terms: Terms, ask: &Ask) -> Result<Grant, RedisError> {
        self.script.run(&mut self.connection.clone(), key, terms, ask).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("store", &self.settings).finish_non_exhaustive()
    }
}

/// Asks on their way at once.
const ASKS_MAX: usize = 1_024;

/// How long a server may take to be reached, and to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A bucket of nobody's, which is gone after a millisecond or two.
const PROBE: &str = "weir:probe";
const PROBE_TERMS: Terms = Terms { interval: 1_000.0, burst: 1_000 };
const PROBE_ASK: Ask = Ask {
    key: 0,
    want: 1,
    back: 0,
    receipt: weir_policy::StoreReceipt { after: 0.0, given: 0.0, born: 0.0 },
};
