//! The peer: the script that people write, with curl, one call for each thing and a look at each task every second.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use firstlight_tests::simpve::example;

use crate::rig::{self, DISK, MOUNT};

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) started: Duration,
    pub(crate) calls: usize,
}

pub(crate) fn measure(count: usize) -> Script {
    let sim = rig::serve(rig::world());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, sim.authority()).unwrap();
    let node = sim.addresses().values().next().unwrap();
    let begun = Instant::now();
    let children: Vec<_> = (0..count)
        .map(|number| {
            Command::new("bash")
                .arg("-c")
                .arg(include_str!("script.sh"))
                .env("API", format!("https://{node}/api2/json"))
                .env("CA", &ca)
                .env("TOKEN", format!("PVEAPIToken={}={}", example::TOKEN, example::SECRET))
                .env("GOLDEN", example::CONTAINER_GOLDEN)
                .env("VMID", (101 + number).to_string())
                .env("NAME", format!("web-{number:02}"))
                .env("DISK", DISK)
                .env("MOUNT", MOUNT)
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success(), "the script failed");
    }
    Script { started: begun.elapsed(), calls: sim.requests().len() }
}
