//! Bring-ups on a simulated Proxmox VE that takes as long as the real one, against the floor, against the script
//! that people write, and against Ansible: `cargo xtask bench proxmox`.

#![allow(clippy::unwrap_used, reason = "in a benchmark, a panic with its place is the message")]

mod ansible;
mod floor;
mod guests;
mod ours;
mod reaction;
mod rig;
mod script;

#[path = "../../tests/hypervisor/post.rs"]
mod post;
#[path = "../../tests/hypervisor/report.rs"]
mod report;

use std::time::Duration;

use clap::Parser;
use firstlight_tests::ansible::Proxmox;
use firstlight_tests::figures::{Row, Table};

#[derive(Debug, Parser)]
struct Arguments {
    /// How many guests at once, one round for each.
    #[arg(long, default_values_t = [1, 10, 50])]
    guests: Vec<usize>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments = Arguments::parse();
    let mut table = Table::default();
    // Fetched before the first round: its time is nobody's.
    let ansible = firstlight_tests::ansible::proxmox().map_err(|error| {
        eprintln!("Ansible's community.proxmox cannot be had: {error:#}");
        error.to_string()
    });
    for count in arguments.guests {
        if count == 1 {
            bring_up(1, false, &ansible, &mut table).await;
        }
        bring_up(count, true, &ansible, &mut table).await;
    }
    reaction::measure(&mut table).await;
    table.print();
}

async fn bring_up(count: usize, known: bool, ansible: &Result<Proxmox, String>, table: &mut Table) {
    let floor = floor::of(count);
    let ours = ours::measure(count, known).await;
    let who = if known { format!("{count} guests") } else { "a companion's first guest".to_owned() };
    let ratio = ours.done.as_secs_f64() / floor.done.as_secs_f64();
    let aim = if count == 1 { 1.05 } else { 1.10 };
    table.add(Row {
        figure: format!("{who} until done"),
        ours: format!("{:.1} s: {ratio:.3} x, {} calls", ours.done.as_secs_f64(), ours.calls_in_all),
        beside: format!("floor, tasks alone, {} at once: {:.1} s", rig::AT_ONCE, floor.done.as_secs_f64()),
        aim: (if count == 1 { "<= 1.05 x" } else { "<= 1.10 x" }).into(),
        met: Some(ratio <= aim),
    });
    table.add(Row {
        figure: format!("{who}: `interfaces` calls in the busiest second"),
        ours: ours.busiest.to_string(),
        beside: format!("{} in all", ours.looks),
        aim: "<= 8".into(),
        met: Some(ours.busiest <= 8),
    });
    // The script makes its guests side by side, and so does its author's patience end.
    if count > 10 || !known {
        return;
    }
    let script = script::measure(count);
    let ratio = ours.started.as_secs_f64() / script.started.as_secs_f64();
    table.add(Row {
        figure: format!("{count} guests until started"),
        ours: format!("{:.1} s: {ratio:.2} x", ours.started.as_secs_f64()),
        beside: format!(
            "script with separate calls, 1 s polls: {:.1} s (the floor: {:.2} x)",
            script.started.as_secs_f64(),
            floor.started.as_secs_f64() / script.started.as_secs_f64()
        ),
        aim: "<= 0.3 x".into(),
        met: Some(ratio <= 0.3),
    });
    let ratio = ours.calls as f64 / script.calls as f64;
    table.add(Row {
        figure: format!("{count} guests: calls until started, without looks for beacons"),
        ours: format!("{}: {ratio:.2} x", ours.calls),
        beside: script.calls.to_string(),
        aim: "< 0.5 x".into(),
        met: Some(ratio < 0.5),
    });
    table.add(beside_ansible(count, ours.started, ansible));
}

/// Where Ansible is not to be had, the row says so and nothing is met.
fn beside_ansible(count: usize, ours: Duration, ansible: &Result<Proxmox, String>) -> Row {
    let (ours, beside, met) = match ansible {
        Ok(tools) => {
            let peer = ansible::measure(tools, count);
            let ratio = ours.as_secs_f64() / peer.started.as_secs_f64();
            let beside = format!(
                "one playbook, community.proxmox {}, strategy free, {count} forks, 1 s polls: {:.1} s, {} calls",
                tools.version,
                peer.started.as_secs_f64(),
                peer.calls
            );
            (format!("{:.1} s: {ratio:.2} x", ours.as_secs_f64()), beside, Some(ratio < 1.0))
        }
        Err(why) => {
            let beside = format!("community.proxmox was NOT HAD HERE: {why}");
            (format!("{:.1} s, beside nothing", ours.as_secs_f64()), beside, None)
        }
    };
    Row { figure: format!("{count} guests until started, Ansible"), ours, beside, aim: "< 1 x".into(), met }
}
