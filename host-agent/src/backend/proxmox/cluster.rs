//! What is known of the cluster, and seldom changes: asked once, and again after a while.

#[derive(Debug, Default)]
pub(super) struct Cluster {}
