/// Why a job was not taken; the job comes back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused<J> {
    /// Every worker is busy and the queue has no room (for [`submit`](crate::Pool::submit): had
    /// none until the deadline).
    #[error("the pool's queue is full; try again later or give the pool a longer queue")]
    Full(J),
    /// The pool is draining or closed and takes no more work.
    #[error("the pool is closed and takes no more work")]
    Closed(J),
}

impl<J> Refused<J> {
    /// The job, as it was submitted.
    pub fn into_job(self) -> J {
        match self {
            Self::Full(job) | Self::Closed(job) => job,
        }
    }
}
