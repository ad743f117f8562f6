//! How much memory a process has. Source: proc_pid_status(5).

/// Bytes that are resident now; none where the process is not there.
#[must_use]
pub fn resident(process: u32) -> Option<u64> {
    bytes(process, "VmRSS:")
}

/// Bytes that were resident at most, so far; none where the process is not there.
#[must_use]
pub fn peak(process: u32) -> Option<u64> {
    bytes(process, "VmHWM:")
}

fn bytes(process: u32, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_one_that_is_not_there_has_none() {
        let (now, most) = (resident(std::process::id()).unwrap(), peak(std::process::id()).unwrap());
        assert!(now > 1 << 16 && most > 1 << 16, "{now} {most}");
        assert_eq!((resident(u32::MAX), peak(u32::MAX)), (None, None));
    }
}
