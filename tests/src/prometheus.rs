//! `promtool`, for alert rules and metrics.

use std::path::PathBuf;

use anyhow::Result;

use crate::packages;

/// Prometheus' own judge; fetched once. Debian's package is unpacked and not installed: installing it would start a server.
///
/// # Errors
/// This is no Debian, or there is no way to its packages.
pub fn promtool() -> Result<PathBuf> {
    packages::unpacked("prometheus", "usr/bin/promtool")
}
