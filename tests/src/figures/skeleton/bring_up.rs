//! One guest from the command to ready, against the bare way: unpack, boot, keys by a shell unit, until sshd greets.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::super::Pairs;
use crate::golden::{self, Variant};
use crate::guest::bare;
use crate::rig::Rig;

const RUNS: usize = 9;

pub(super) fn measure(companion: &Path, goldens: &Path) -> Result<Pairs> {
    let mut rig = Rig::with(companion);
    rig.serve();
    let mut pairs = Pairs::default();
    // The first pair warms the page cache and is not counted.
    for run in 0..=RUNS {
        let name = format!("bench-{run}");
        let spec = rig.spec_of(&name, &golden::archive(goldens, Variant::Agent), "");
        let start = Instant::now();
        rig.up(&spec);
        let ours = start.elapsed();
        rig.run(&["destroy", &name]);

        let start = Instant::now();
        let root = bare::Root::unpack(&golden::archive(goldens, Variant::Floor))?;
        let booted = root.boot("floor")?;
        booted.await_ssh()?;
        let floor = start.elapsed();
        drop(booted);
        if run > 0 {
            pairs.ours.push(ours);
            pairs.floor.push(floor);
        }
    }
    Ok(pairs)
}
