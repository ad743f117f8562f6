//! libFuzzer on one parser of a program's: the one that the environment names.

use std::sync::OnceLock;

/// Name of a target; `cargo xtask fuzz` sets it.
const VARIABLE: &str = "FIRSTLIGHT_FUZZ";

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

/// Ends the process where the environment names none of these.
pub fn choose(targets: &[(&str, fn(&[u8]))]) {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let Some((_, target)) = targets.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<_> = targets.iter().map(|(name, _)| *name).collect();
        eprintln!("{VARIABLE} must name one of: {}", names.join(" "));
        std::process::exit(2)
    };
    TARGET.get_or_init(|| *target);
}

pub fn run(bytes: &[u8]) {
    TARGET.get().expect("choose ran before")(bytes);
}
