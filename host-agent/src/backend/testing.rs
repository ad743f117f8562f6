//! What unit tests of the backends work on.

use firstlight_shared::wire::Intent;

use super::{GuestPlan, Place, Size};

/// A guest that asks for nothing.
pub(in crate::backend) fn plan() -> GuestPlan {
    GuestPlan {
        name: "web-01".parse().unwrap(),
        golden: String::new(),
        intent: Intent::Provision,
        kind: None,
        place: Place::default(),
        nics: Vec::new(),
        mounts: Vec::new(),
        size: Size::default(),
        tags: Vec::new(),
        onboot: None,
        ephemeral: false,
        secrets: Vec::new(),
    }
}
