//! The generic worker pool: fixed workers, a bounded queue, an ordered drain.
//!
//! A [`Pool`] runs one handler over jobs that are plain values. Values, not futures, because a
//! job that could not be queued is handed back whole, and a drain that ran out of time can say
//! which jobs it never began.
//!
//! ```
//! # use std::{num::NonZeroUsize, time::Duration};
//! # use tokio::time::Instant;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let size = weir_pool::Size { workers: NonZeroUsize::MIN, queue: 8 };
//! let pool = weir_pool::Pool::new(size, |page: &'static str| async move { page.len() });
//! let job = pool.try_submit("a scanned page").expect("the queue is empty");
//! assert_eq!(job.await, Ok(14));
//! let unfinished = pool.drain(Instant::now() + Duration::from_secs(1)).await;
//! assert!(unfinished.is_empty());
//! # }
//! ```

mod handle;
mod ledger;
mod pool;
mod refused;
mod worker;

pub use handle::{Failure, JobHandle};
pub use ledger::{Counts, JobId};
pub use pool::{Pool, Size, Unfinished};
pub use refused::Refused;
