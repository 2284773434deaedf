//! The clinic: a service for clinical trials, as demo and as test target.
//!
//! Each route shows one concurrency pattern as it should be written, and has switches that break
//! it the way such code breaks in production: tasks that never end, deadlines that are ignored,
//! locks left out. With every switch off the clinic leaks nothing and answers in time; `GET
//! /in-flight` proves it. There is no global state: a process may run as many clinics as it likes.

mod accepted;
mod clinic;
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
