//! Ensures that what was made is absent, if it is ours.

use crate::backend::{Placement, Stage};
use crate::outcome::{Fault, Undo};

impl super::Proxmox {
    pub(super) async fn undo_stage(&self, _stage: Stage, _guest: &Placement) -> Undo {
        Undo::Failed(Fault::new("not-built", "this part is being built"))
    }
}
