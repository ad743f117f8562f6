//! The real `ssh`, which trusts only what it is given.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Rig;
use crate::run::{self, Ran};
use crate::{golden, paths};

/// Logs in to a guest and runs one command there, with these known_hosts lines and no others.
pub fn log_in(rig: &Rig, guest: &Value, known_hosts: &Path, more: &[&str], words: &[&str]) -> Result<Ran> {
    let name = guest["name"].as_str().context("a guest has a name")?;
    let address = guest["addresses"][0].as_str().context("a guest has an address")?;
    let shown = rig.json(&["show", name, "--json"]);
    let reach = shown["job"]["reach"].as_str().context("`show` says how to reach the guest")?;
    let mut reach = reach.split_whitespace();
    let mut ssh = Command::new(reach.next().context("`reach` is a command")?);
    ssh.args(reach.filter(|word| *word != "ssh"));
    log_in_at(ssh.arg("ssh"), address, known_hosts, more, words)
}

/// The same by a command that ends with `ssh`, so far without options.
pub fn log_in_at(
    ssh: &mut Command,
    address: &str,
    known_hosts: &Path,
    more: &[&str],
    words: &[&str],
) -> Result<Ran> {
    ssh.args(["-F", "/dev/null", "-i"]).arg(paths::given(paths::GOLDENS_VARIABLE).join(golden::LOGIN_KEY));
    for option in
        ["StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=10"]
    {
        ssh.args(["-o", option]);
    }
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display()));
    run::run(ssh.args(more).arg(format!("root@{address}")).args(words))
}
