//! What the kernel says of this process.

use std::fs;

use crate::metrics::Figures;

/// The kernel counts processor time for programs in hundredths of a second, whatever it uses itself.
const TICKS: f64 = 100.0;

/// What cannot be read counts as nothing.
pub(super) fn figures() -> Figures {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let open_files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    Figures {
        open_files: open_files as u64,
        ..parsed(&read("/proc/self/status"), &read("/proc/self/stat"), &read("/proc/stat"))
    }
}

/// Pure; of `/proc/PID/status`, `/proc/PID/stat` and `/proc/stat`. See proc(5).
fn parsed(status: &str, stat: &str, machine: &str) -> Figures {
    let word = |text: &str, key: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    };
    // Behind the program's name, which may hold anything: the state is field 3.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field = |number: usize| -> f64 {
        fields.get(number - 3).and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    Figures {
        resident: word(status, "VmRSS:") * 1024,
        open_files: 0,
        cpu: (field(14) + field(15)) / TICKS,
        started: word(machine, "btime ") as f64 + field(22) / TICKS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 4 0 12345 1 2";
        let found = parsed("Name:\ta\nVmRSS:\t   2048 kB\n", stat, "cpu 1 2\nbtime 1700000000\n");
        let wanted = Figures { resident: 2048 * 1024, open_files: 0, cpu: 3.0, started: 1_700_000_123.45 };
        assert_eq!(found, wanted);
        assert_eq!(parsed("", "", ""), Figures::default());
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let found = figures();
        assert!(found.resident > 1 << 20 && found.open_files > 2 && found.started > 1.6e9, "{found:?}");
    }
}
