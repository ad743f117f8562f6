//! libFuzzer on one of the guest's parsers: the one that the environment names.
#![no_main]

use std::sync::OnceLock;

use firstlight_guest::fuzzing::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

/// Name of a target; `cargo xtask fuzz` sets it.
const VARIABLE: &str = "FIRSTLIGHT_FUZZ";

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let wanted = std::env::var(VARIABLE).unwrap_or_default();
        let Some((_, target)) = TARGETS.iter().find(|(name, _)| *name == wanted) else {
            let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!("{VARIABLE} must name one of: {}", names.join(" "));
            std::process::exit(2)
        };
        TARGET.get_or_init(|| *target);
    },
    |bytes: &[u8]| TARGET.get().expect("init ran before")(bytes)
);
