//! The machine and the versions that figures were taken with.

use std::fs;
use std::process::Command;

use crate::paths;

/// What the page says of them: a word each, and its value.
pub(super) fn facts() -> Vec<(&'static str, String)> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = value(&cpuinfo, "model name").unwrap_or("of an unknown model").to_owned();
    vec![
        ("processor", format!("{model}, {cores} cores")),
        ("memory", format!("{:.0} GB", gigabytes(&meminfo))),
        ("kernel", format!("Linux {}", kernel.trim())),
        ("commit", said("git", &["rev-parse", "--short=12", "HEAD"])),
        ("Rust", said("rustc", &["--version"])),
        ("systemd of this machine", said("systemctl", &["--version"])),
        ("OpenSSH of this machine", said("ssh", &["-V"])),
        ("Incus", said("incus", &["--version"])),
        ("zstd", said("zstd", &["--version"])),
    ]
}

/// The first line that a program says, on either stream.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(paths::root()).output();
    let text = output.map_or_else(
        |_| String::new(),
        |output| {
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        },
    );
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("not there").to_owned()
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|word| word.trim() == key))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn gigabytes(meminfo: &str) -> f64 {
    let kib = value(meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "MemTotalX: 1 kB\nMemTotal:       24684000 kB\nmodel name\t: AMD EPYC\n";
        assert_eq!(value(text, "model name"), Some("AMD EPYC"));
        assert!((gigabytes(text) - 25.28).abs() < 0.01);
        assert_eq!(value(text, "nothing"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_said_to_be_so() {
        assert_eq!(said("firstlight-no-such-program", &[]), "not there");
    }
}
