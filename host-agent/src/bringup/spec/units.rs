//! Sizes and durations as specs write them.

use std::time::Duration;

/// `512M` in bytes: K, M, G, T are powers of 1024, as on Proxmox.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1u64 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok().filter(|number| *number > 0)?.checked_mul(factor)
}

/// `90s`, `2h`, `7d`; from a second up to a year.
pub fn parse_span(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=366 * 86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// `90s`, `5m`, `1h`; from a second up to a day.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let known = !text.ends_with('d');
    parse_span(text).filter(|span| known && span.as_secs() <= 86_400)
}
