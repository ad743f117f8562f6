//! Times as people read them.

/// How long something took: `412 ms`, `2.7 s`, `2:05 min`, `2:01 h`.
pub(crate) fn took(ms: u64) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        whole @ 1..120 => format!("{whole}.{} s", ms % 1000 / 100),
        whole @ 120..7200 => format!("{}:{:02} min", whole / 60, whole % 60),
        whole => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}

/// How old something is, in one unit: `12 s`, `5 min`, `7 h`, `3 days`.
pub(crate) fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// `3 pass, 1 fail`; nothing if there is nothing to count.
pub(crate) fn counted(parts: &[(usize, &str)]) -> String {
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    parts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_must_be() {
        for (ms, shown, old) in [
            (0, "0 ms", "0 s"),
            (999, "999 ms", "0 s"),
            (2_790, "2.7 s", "2 s"),
            (125_000, "2:05 min", "2 min"),
            (7_260_000, "2:01 h", "2 h"),
            (259_200_000, "72:00 h", "3 days"),
        ] {
            assert_eq!((took(ms).as_str(), age(ms).as_str()), (shown, old));
        }
        assert_eq!(counted(&[(3, "pass"), (0, "skip"), (1, "fail")]), "3 pass, 1 fail");
    }
}
