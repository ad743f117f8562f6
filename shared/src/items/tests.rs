//! The table holds what its words promise.

use std::collections::BTreeSet;

use super::*;

#[test]
fn names_are_unique_and_kebab_case() {
    let names: BTreeSet<&str> = all().map(|item| item.name).collect();
    assert_eq!(names.len(), all().count());
    for name in names {
        let plain =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(plain && !name.is_empty() && !name.starts_with('-') && !name.ends_with('-'), "{name}");
        assert_eq!(named(name).map(|item| item.name), Some(name));
    }
}

#[test]
fn every_item_says_what_breaks_and_where_that_was_read() {
    for item in all() {
        for text in [item.title, item.danger, item.source] {
            assert!(
                !text.is_empty() && !text.contains('\n') && text == text.trim(),
                "{}: {text:?}",
                item.name
            );
        }
        assert_eq!(item.verified, item.source != "general knowledge", "{}", item.name);
        assert_eq!(item.paths.is_empty(), item.detect == Detect::Elsewhere, "{}", item.name);
    }
}

#[test]
fn every_path_is_below_the_root_and_a_simple_pattern() {
    for item in all() {
        for pattern in item.paths.iter().chain(item.except).chain(item.in_use) {
            for component in pattern.split('/') {
                let plain = !component.is_empty() && component != ".." && component != ".";
                assert!(plain && !component.contains("**"), "{}: {pattern}", item.name);
            }
            // A pattern that begins with a wildcard would look through the whole root.
            assert!(is_literal(pattern.split('/').next().unwrap()), "{}: {pattern}", item.name);
        }
    }
}

#[test]
fn what_is_not_verified_is_never_reset() {
    for item in all().filter(|item| !item.verified) {
        assert_eq!(item.reset, Reset::Policy, "{}", item.name);
        assert_eq!(item.severity, Severity::Info, "{}", item.name);
        assert!(!item.changes_at_first_boot() && item.seal == Seal::Leave, "{}", item.name);
    }
}

/// Where nobody makes it anew, what is left must be something that the owner can live with.
#[test]
fn what_nobody_renews_is_left_in_a_state_that_its_service_recovers_from() {
    // Each of these is not needed by anything once it is gone.
    let optional = [
        "machine-info",
        "udev-persistent-net",
        "coredumps",
        "histories",
        "installer-traces",
        "login-records",
        "logs",
        "mail",
        "temporary-files",
        "package-caches",
    ];
    let unrenewed = |item: &&Item| {
        item.renewers.each().iter().any(|one| matches!(one, Renewer::Nobody | Renewer::Unknown))
    };
    for item in all().filter(unrenewed) {
        let recovers = match item.reset {
            Reset::Policy | Reset::Run(_) => true,
            // Refused where no owner is there that recovers.
            Reset::ByOwner(_) => true,
            // Debian's package or the guest's service, and no other system is known to have it.
            _ => item.renewers.each().iter().any(|one| matches!(one, Renewer::Service(_) | Renewer::Us)),
        };
        assert!(recovers || optional.contains(&item.name), "{}", item.name);
    }
}

#[test]
fn seal_and_first_boot_only_carry_out_what_there_is_to_carry_out() {
    for item in all() {
        if item.seal == Seal::Reset || item.first_boot == FirstBoot::Reset {
            assert!(!matches!(item.reset, Reset::Policy | Reset::Run(_)), "{}", item.name);
        }
        if item.first_boot == FirstBoot::Late {
            assert!(matches!(item.reset, Reset::Run(_)), "{}", item.name);
        }
        // The boot has no way to take folders away, and must not wait while a large one goes.
        if item.first_boot == FirstBoot::Reset {
            assert!(!matches!(item.reset, Reset::RemoveTree), "{}", item.name);
        }
    }
}

#[test]
fn the_first_boot_looks_only_where_it_cannot_be_made_to_wait() {
    for item in all().filter(|item| item.is_sought_at_first_boot()) {
        for path in item.paths {
            let local = ["etc/", "var/lib/", "opt/", "root/.config/"].iter().any(|top| path.starts_with(top));
            assert!(local, "{}: {path}", item.name);
        }
    }
}

#[test]
fn a_file_is_not_the_business_of_two_items_that_change_it() {
    // Two states of one file exclude each other.
    let is_state = |item: &&Item| item.name == "machine-id-uninitialized";
    let changing: Vec<_> = all().filter(|item| item.seal == Seal::Reset && !is_state(item)).collect();
    for (at, one) in changing.iter().enumerate() {
        for other in &changing[at + 1..] {
            let shared = one.paths.iter().find(|path| other.paths.contains(path));
            assert_eq!(shared, None, "{} and {}", one.name, other.name);
        }
    }
}

#[test]
fn a_fresh_nvme_host_has_one_uuid_in_both_files() {
    let fresh = |name: &str| {
        Fresh::NvmeHost.bytes(name, b"", [0xff; 16]).map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(fresh("etc/nvme/hostid").as_deref(), Some("ffffffff-ffff-4fff-bfff-ffffffffffff\n"));
    let name = fresh("etc/nvme/hostnqn").unwrap();
    assert_eq!(name, "nqn.2014-08.org.nvmexpress:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff\n");
    assert_eq!(fresh("etc/nvme/other"), None);
}

#[test]
fn a_fresh_iscsi_name_keeps_the_naming_authority_and_what_else_the_file_says() {
    let fresh = |old: &str| {
        let new = Fresh::IscsiName.bytes("etc/iscsi/initiatorname.iscsi", old.as_bytes(), [0xab; 16]);
        new.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    for (old, new) in [
        (
            "## KEEP\nInitiatorName=iqn.1993-08.org.debian:01:golden\nInitiatorAlias=x\n",
            Some("## KEEP\nInitiatorName=iqn.1993-08.org.debian:01:abababababab\nInitiatorAlias=x\n"),
        ),
        (
            "InitiatorName=iqn.1994-05.com.redhat:golden\n",
            Some("InitiatorName=iqn.1994-05.com.redhat:abababababab\n"),
        ),
        (
            "InitiatorName=iqn.2020-01.com.example\n",
            Some("InitiatorName=iqn.2020-01.com.example:abababababab\n"),
        ),
        ("InitiatorName=eui.02004567A425678D\n", None),
        ("GenerateName=yes\n", None),
    ] {
        assert_eq!(fresh(old).as_deref(), new, "{old}");
    }
}

#[test]
fn an_emptied_id_is_filled_with_the_form_that_its_program_wants() {
    let old = b"MY_HOSTID=\"\"\nPARTICIPATE=\"no\"\n";
    let new = Fresh::QuotedId("MY_HOSTID").bytes("etc/popularity-contest.conf", old, [0xab; 16]).unwrap();
    let id = "ab".repeat(16);
    assert_eq!(String::from_utf8(new).unwrap(), format!("MY_HOSTID=\"{id}\"\nPARTICIPATE=\"no\"\n"));
}
