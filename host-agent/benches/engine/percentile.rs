//! The latencies of many calls, in few words.

/// The value below which this share of the sorted values is, in milliseconds.
pub(crate) fn percentile(sorted: &[std::time::Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index between 0 and last"
    )]
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).map_or(f64::NAN, |value| value.as_secs_f64() * 1000.0)
}
