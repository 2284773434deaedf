//! Whatever is done to a pool in whatever order, its counters add up, its bounds hold, and jobs
//! begin in the order they were accepted.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use tokio::sync::oneshot;
use weir_pool::{JobHandle, Pool, Size};

#[derive(Clone, Debug)]
enum Step {
    Submit,
    /// Lets the n-th oldest running job return, or panic.
    Finish {
        nth: usize,
        panic: bool,
    },
    Cancel {
        nth: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Submit),
        2 => (0..8_usize, any::<bool>()).prop_map(|(nth, panic)| Step::Finish { nth, panic }),
        1 => (0..16_usize).prop_map(|nth| Step::Cancel { nth }),
    ]
}

/// Jobs that have begun, in that order, and the way to end each.
#[derive(Default)]
struct Begun {
    order: Vec<u64>,
    gates: HashMap<u64, oneshot::Sender<bool>>,
}

struct Model {
    pool: Pool<u64, ()>,
    begun: Arc<Mutex<Begun>>,
    handles: Vec<JobHandle<()>>,
    size: Size,
    next: u64,
    rejected: u64,
}

impl Model {
    fn new(workers: usize, queue: usize) -> Self {
        let begun = Arc::new(Mutex::new(Begun::default()));
        let register = begun.clone();
        let size = Size { workers: NonZeroUsize::new(workers).expect("positive"), queue };
        let pool = Pool::new(size, move |job| {
            let (gate, opened) = oneshot::channel();
            let mut begun = register.lock().expect("unpoisoned");
            begun.order.push(job);
            begun.gates.insert(job, gate);
            async move {
                if opened.await == Ok(true) {
                    std::panic::resume_unwind(Box::new("asked to"));
                }
            }
        });
        Self { pool, begun, handles: Vec::new(), size, next: 0, rejected: 0 }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Submit => match self.pool.try_submit(self.next) {
                Ok(handle) => {
                    self.handles.push(handle);
                    self.next += 1;
                }
                Err(refused) => {
                    assert_eq!(refused.into_job(), self.next);
                    self.rejected += 1;
                }
            },
            Step::Finish { nth, panic } => {
                let mut begun = self.begun.lock().expect("unpoisoned");
                let open = |job: &&u64| begun.gates.get(job).is_some_and(|gate| !gate.is_closed());
                if let Some(job) = begun.order.iter().filter(open).nth(nth).copied() {
                    let gate = begun.gates.remove(&job).expect("it was just seen");
                    gate.send(panic).expect("the job listens");
                }
            }
            Step::Cancel { nth } => {
                if let Some(handle) = self.handles.get(nth) {
                    handle.cancel();
                }
            }
        }
    }

    fn check(&self) {
        let counts = self.pool.counts();
        let ended = counts.completed + counts.panicked + counts.cancelled;
        assert_eq!(counts.submitted, ended + (counts.queued + counts.running) as u64);
        assert_eq!((counts.submitted, counts.rejected), (self.next, self.rejected));
        assert!(counts.running <= self.size.workers.get(), "{counts:?}");
        let held = counts.queued + counts.running;
        assert!(held <= self.size.workers.get() + self.size.queue, "{counts:?}");
        assert!(self.begun.lock().expect("unpoisoned").order.is_sorted());
    }
}

proptest! {
    #[test]
    fn the_ledger_adds_up(
        workers in 1..4_usize,
        queue in 0..4_usize,
        steps in prop::collection::vec((step(), any::<bool>()), 0..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new(workers, queue);
            for (step, settle) in &steps {
                model.take(step);
                model.check();
                if *settle {
                    tokio::task::yield_now().await;
                    model.check();
                }
            }
            let left = model.pool.close_now();
            prop_assert!(left.queued.is_sorted());
            for handle in model.handles.drain(..) {
                drop(handle.await);
            }
            model.check();
            let counts = model.pool.counts();
            prop_assert_eq!((counts.queued, counts.running), (0, 0));
            Ok(())
        })?;
    }
}
