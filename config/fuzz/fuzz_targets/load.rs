//! Any text is a configuration that survives being shown, or a list of problems.
//!
//! `cargo +nightly fuzz run load ../examples` from `config/fuzz`, with the examples as first inputs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_config::{load, show};

const SECRET: &str = "hunter2";

fuzz_target!(|text: &str| {
    // Text that holds the secret itself may show it.
    if text.contains(SECRET) {
        return;
    }
    let env = |_: &str| Some(SECRET.to_owned());
    match load(text, "fuzz.yaml", &env) {
        Ok(config) => assert_eq!(load(&show(&config), "shown", &env).as_ref(), Ok(&config)),
        Err(diagnostics) => assert!(!diagnostics.to_string().contains(SECRET)),
    }
});
