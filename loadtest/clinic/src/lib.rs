//! The clinic: a service for clinical trials, as demo and as test target.
//!
//! Each route shows one concurrency pattern as it should be written, and has switches that break
//! it the way such code breaks in production: tasks that never end, deadlines that are ignored,
//! locks left out. With every switch off the clinic leaks nothing and answers in time; `GET
//! /in-flight` proves it. There is no global state: a process may run as many clinics as it likes.
//!
//! # Faults
//!
//! `POST /faults` takes `{"epro": {"leak": true}, "ocr": {"slow": 200}}` and changes those switches
//! alone; `GET /faults` shows them all, `DELETE /faults` turns them off. Every route has `stall`,
//! `slow` (milliseconds added to each request) and `error_ratio` (the share that fails with 500);
//! where accepted work has a status to ask for, asking is spared the last two.
//!
//! | Route | `leak` | `stall` |
//! |---|---|---|
//! | `epro` | each submission goes to a task that never ends; its work is lost on exit | the workers stand still |
//! | `etl` | the cleaners return early, the store waits for ever | the store stands still |
//! | `report` | ignores deadline and client: the data service is stuck, the task stays | the data service is stuck; the deadline still holds |
//! | `study-config` | the lock is left out: updates are lost | a writer holds the lock |
//! | `drugs` | | a writer holds the lock |
//! | `health-report` | the answer is assembled before the branches have registered | one branch stalls and the wait is never released |
//! | `ocr` | a task is spawned for each page, without bound | the workers stand still |
//! | `partner` | | the answer is held back |
//! | `drug-info` | | the dependency stalls |
//!
//! What stands still goes on when its switch is turned off; what leaked stays until the clinic
//! closes. The switches of `drug-info` act on the dependency that shares the clinic's board
//! ([`Clinic::dependency`]); one in another process has a `/faults` of its own.
//!
//! # Deadlines
//!
//! A request may bring its caller's patience in `x-request-timeout-ms` or, as proxies write it,
//! `x-envoy-expected-rq-timeout-ms`; otherwise each route has a default of one or two seconds.
//! Past it the answer is 504, and the work has stopped. It counts from when the whole request is
//! there: how long a body may take to arrive is for whoever stands before the clinic to say.

mod accepted;
mod body;
mod clinic;
mod controls;
mod deadline;
mod dependency;
mod drug_info;
mod drugs;
mod echo;
mod epro;
mod etl;
mod faults;
mod health_report;
mod in_flight;
mod jobs;
mod ocr;
mod partner;
mod problem;
mod redact;
mod report;
mod route;
mod server;
mod service_time;
mod site;
mod store;
mod study_config;
mod tasks;

pub use clinic::{Clinic, Settings};
pub use dependency::Dependency;
pub use faults::{Fault, Faults};
pub use route::Route;
pub use server::Ended;
