//! docs/golden-images.md: the comparison names every operation of virt-sysprep once, and rows of the identity table that are there.

use std::collections::BTreeSet;
use std::fs;

use firstlight_shared::items;
use firstlight_tests::paths;

/// As its sources have them (sysprep/sysprep_operation_*.ml of guestfs-tools 1.57.2).
const OPERATIONS: &str = "abrt-data backup-files bash-history blkid-tab ca-certificates crash-data cron-spool customize \
    dhcp-client-state dhcp-server-state dovecot-data firewall-rules flag-reconfiguration fs-uuids ipa-client kerberos-data \
    kerberos-hostkeytab logfiles lvm-system-devices lvm-uuids machine-id mail-spool net-hostname net-hwaddr net-nmconn \
    pacct-log package-manager-cache pam-data passwd-backups puppet-data-log rh-subscription-manager rhn-systemid rpm-db \
    samba-db-log script smolt-uuid ssh-hostkeys ssh-userdir sssd-db-log tmp-files udev-persistent-net user-account utmp \
    yum-uuid zsh-history";

/// Words in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_operation_of_virt_sysprep_is_compared() {
    let page = fs::read_to_string(paths::root().join("docs/golden-images.md")).unwrap();
    let (_, part) = page.split_once("| virt-sysprep |").unwrap();
    let table = part.split("\n\n").next().unwrap();
    let mut compared = Vec::new();
    for line in table.lines().skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [operations, what, ours] = cells[..] else { panic!("three cells are wanted: {line}") };
        assert!(!what.is_empty(), "{line}");
        compared.extend(quoted(operations));
        let mut named = 0;
        for item in quoted(ours).filter(|word| !word.contains(['/', '*'])) {
            assert!(items::named(item).is_some(), "`{item}` is no row of the identity table");
            named += 1;
        }
        assert!(named > 0 || ours.starts_with("no"), "{line}");
    }
    let all: BTreeSet<&str> = OPERATIONS.split_whitespace().collect();
    assert_eq!(compared.len(), all.len(), "{compared:?}");
    assert_eq!(compared.into_iter().collect::<BTreeSet<_>>(), all);
}
