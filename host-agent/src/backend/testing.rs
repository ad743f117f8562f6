//! What unit tests of the backends work on.

use super::GuestPlan;

/// A guest that asks for nothing.
pub(in crate::backend) fn plan() -> GuestPlan {
    GuestPlan::bare("web-01".parse().unwrap(), "")
}
