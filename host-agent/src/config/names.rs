//! What nodes, storages, pools, bridges, VMIDs and tags of a hypervisor may be called: nothing that would end a value of
//! `key=value,..` lists early. Pure.

use std::ops::RangeInclusive;

/// VMIDs that guests may have. Source: PVE::JSONSchema, `pve-vmid`; below 100 they are Proxmox's own.
pub const VMIDS: RangeInclusive<u32> = 100..=999_999_999;
/// VLAN tags that an interface may have. Source: IEEE 802.1Q.
pub const VLANS: RangeInclusive<u16> = 1..=4094;

/// Of a node, a storage or a bridge.
pub fn is_word(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    begins && text.len() <= 63 && text.bytes().all(fits)
}

/// Of a pool: up to three words with `/` between them. Source: PVE::AccessControl, `pve-poolid`.
pub fn is_pool(text: &str) -> bool {
    text.split('/').count() <= 3 && text.split('/').all(is_word)
}

/// Source: PVE::JSONSchema, `pve-tag`; lower case, as Proxmox keeps them unless told otherwise.
pub fn is_tag(text: &str) -> bool {
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let begins = text.bytes().next().is_some_and(small);
    begins && text.len() <= 124 && text.bytes().all(|b| small(b) || b"+.-".contains(&b))
}

/// `9000-9999`, within [`VMIDS`].
pub fn parse_vmids(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && VMIDS.contains(&first) && VMIDS.contains(&last)).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_nothing_that_ends_a_value_early() {
        for (good, bad) in
            [("pve-1", "pve1,ip=x"), ("local_lvm.2", "a b"), ("vmbr0", ""), ("x", "-x"), ("a", "a=b")]
        {
            assert!(is_word(good) && !is_word(bad), "{good} {bad}");
        }
        for (good, bad) in [("a", "a//b"), ("a/b/c", "a/b/c/d"), ("lab", "/lab"), ("lab", "é")] {
            assert!(is_pool(good) && !is_pool(bad), "{good} {bad}");
        }
        for (good, bad) in [("web", "Web"), ("_a+b.c-d", "+a"), ("9", "a;b"), ("a", ""), ("a", "a b")] {
            assert!(is_tag(good) && !is_tag(bad), "{good} {bad}");
        }
    }

    #[test]
    fn ranges_of_vmids_lie_within_what_proxmox_has() {
        assert_eq!(parse_vmids("9000-9999"), Some(9000..=9999));
        assert_eq!(parse_vmids("100 - 100"), Some(100..=100));
        for wrong in ["", "9000", "9999-9000", "99-200", "100-1000000000", "-5", "a-b", "1e3-2e3"] {
            assert_eq!(parse_vmids(wrong), None, "{wrong}");
        }
    }
}
