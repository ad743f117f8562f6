//! Asks the installed sshd itself: whether it takes its configuration, and how it reads it.

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;

use super::SshdConfig;
use crate::sys::{Ended, Machine, Ran, aside, run_program};

/// Debian and Fedora; Arch; NixOS.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/bin/sshd", "/run/current-system/sw/bin/sshd"];
/// It answers within some ten milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// A dump of its configuration has some 5 KB.
const KEPT: usize = 64 * 1024;

/// None if there is none at the usual places.
async fn ask(machine: &Machine, option: &str) -> Option<Result<Ran, String>> {
    let there = |path: &&&str| machine.root.kind(path.trim_start_matches('/')).is_some();
    let program = PROGRAMS.iter().filter(|_| machine.live).find(there)?;
    let (program, arguments) = (program.to_string(), [option.to_owned()]);
    let ran = aside(move || run_program(&program, &arguments, TIME_LIMIT, KEPT)).await;
    Some(match ran {
        Some(ran) => ran.map_err(|error| Chain(&error).to_string()),
        None => Err("no thread could be started to ask sshd".to_owned()),
    })
}

fn succeeded(ran: &Ran) -> bool {
    ran.ended == Ended::Exited(0)
}

/// # Errors
/// Why sshd refuses its configuration or keys, or that it cannot be asked.
pub(crate) async fn accepts_configuration(machine: &Machine) -> Result<(), String> {
    match ask(machine, "-t").await {
        None => Err("there is no sshd that could be asked".to_owned()),
        Some(Err(problem)) => Err(problem),
        Some(Ok(ran)) if succeeded(&ran) => Ok(()),
        Some(Ok(ran)) => Err(format!("sshd refuses it: {}", escape(ran.tail.trim(), 200))),
    }
}

/// One line for each thing that sshd reads out of its configuration otherwise than we do, or why it cannot be asked;
/// empty too if there is no sshd at the usual places.
pub(crate) async fn differences(machine: &Machine) -> Vec<String> {
    let mut reason = String::new();
    // Since OpenSSH 9.3 there is -G; -T also wants that its keys can be loaded.
    for option in ["-G", "-T"] {
        match ask(machine, option).await {
            Some(Ok(ran)) if succeeded(&ran) => {
                let exists = |path: &str| machine.root.kind(path.trim_start_matches('/')).is_some();
                return compare(&SshdConfig::load(&machine.root), &ran.tail, exists);
            }
            Some(Ok(ran)) => reason = escape(ran.tail.trim(), 200),
            Some(Err(problem)) => reason = problem,
            None => return Vec::new(),
        }
    }
    vec![format!("sshd cannot be asked how it reads its configuration: {reason}")]
}

fn compare(config: &SshdConfig, dump: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let values = |keyword: &str| -> Vec<String> {
        let lines = dump.lines().filter_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '));
        lines.map(|value| value.replacen("//", "/", 1)).collect()
    };
    let ours = config.host_key_paths();
    let theirs = values("hostkey");
    // A default path of a newer OpenSSH where nothing stands is no difference.
    let more = theirs.iter().filter(|path| !ours.contains(path) && *path != "none" && exists(path));
    let mut problems: Vec<String> =
        more.map(|path| format!("sshd also loads the host key {}", escape(path, 200))).collect();
    let fewer = ours.iter().filter(|path| !theirs.contains(path));
    problems.extend(fewer.map(|path| format!("sshd does not load the host key {}", escape(path, 200))));
    let mut ports: Vec<String> = config.ports().iter().map(u16::to_string).collect();
    let mut its_ports = values("port");
    ports.sort();
    its_ports.sort();
    its_ports.dedup();
    if ports != its_ports {
        let (ports, its) = (ports.join(", "), its_ports.join(", "));
        problems.push(format!("sshd says that its ports are {its}, its configuration seems to say {ports}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_differences_are_said() {
        let config = SshdConfig::default();
        let dump = "port 22\nhostkey /etc/ssh/ssh_host_rsa_key\nhostkey /etc/ssh/ssh_host_ecdsa_key\n\
            hostkey /etc/ssh/ssh_host_ed25519_key\nhostkey /etc/ssh/ssh_host_new_key\nhostkeyagent none\n";
        assert_eq!(compare(&config, dump, |_| false), Vec::<String>::new());
        assert_eq!(
            compare(&config, dump, |_| true),
            ["sshd also loads the host key /etc/ssh/ssh_host_new_key"]
        );
        let dump = "port 22\nport 99\nhostkey //etc/ssh/ssh_host_rsa_key\n";
        assert_eq!(
            compare(&config, dump, |_| true),
            [
                "sshd does not load the host key /etc/ssh/ssh_host_ecdsa_key",
                "sshd does not load the host key /etc/ssh/ssh_host_ed25519_key",
                "sshd says that its ports are 22, 99, its configuration seems to say 22",
            ]
        );
    }
}
