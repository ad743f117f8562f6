//! Whose the guest with a VMID is.
