#![no_main]

use firstlight_guest::fuzzing::TARGETS;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: firstlight_fuzz::choose(TARGETS), |bytes: &[u8]| firstlight_fuzz::run(bytes));
