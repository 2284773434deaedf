//! A timer that is right to some microseconds.
//!
//! The runtime's timers step in milliseconds: an arrival would go out up to a millisecond late, and a
//! service time of 10 ms would take 11, which is a tenth of the capacity that is to be known. The
//! kernel's timer descriptors step in nanoseconds and need neither a thread nor spinning.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// One timer, for one wait at a time.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// A timer that is not set.
    ///
    /// # Errors
    ///
    /// When the process may have no more descriptors.
    #[expect(
        deprecated,
        reason = "what took its place is unsafe, for types that may close their descriptor"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: AsyncFd::with_interest(timer, Interest::READABLE)? })
    }

    /// Waits for so long; a wait that was given up is forgotten with the next one.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the timer, which it does for no wait that a [`Duration`] below some
    /// centuries can hold.
    pub(crate) async fn after(&self, wait: Duration) -> io::Result<()> {
        if wait.is_zero() {
            // For the kernel zero is no timer at all.
            return Ok(());
        }
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once(wait)?)?;
        loop {
            let mut guard = self.timer.readable().await?;
            let mut fired = [0; 8];
            match guard.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut fired)?)) {
                Ok(read) => return read.map(|_| ()),
                Err(_not_yet) => {}
            }
        }
    }
}

fn once(wait: Duration) -> io::Result<Itimerspec> {
    let seconds = i64::try_from(wait.as_secs()).map_err(io::Error::other)?;
    Ok(Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() },
    })
}
