use zeroize::Zeroizing;

use super::source::{SourceError, names_one};
use super::*;

const GOOD: &str = r#"{"version":1,"id":"ID","secret":"00ff"}"#;

fn bytes(text: &str) -> Looked {
    Ok(Some(Zeroizing::new(text.as_bytes().to_vec())))
}

fn with_id(id: &str) -> Looked {
    bytes(&GOOD.replace("ID", id))
}

#[test]
fn the_first_usable_claim_wins_and_every_other_is_named() {
    let none = || Ok(None);
    let secret = "5ec4e7c0de";
    for (sources, id, problems) in [
        ([with_id("a"), with_id("b"), with_id("c"), with_id("d")], Some(("a", Source::Credential)), 0),
        ([none(), with_id("b"), with_id("c"), none()], Some(("b", Source::DevIncus)), 0),
        ([none(), none(), with_id("c"), with_id("d")], Some(("c", Source::Environment)), 0),
        ([none(), none(), none(), with_id("d")], Some(("d", Source::ProductSerial)), 0),
        ([none(), none(), none(), none()], None, 0),
        // Unset by its owner: Proxmox and Incus keep a key with an empty value.
        ([bytes(" \n"), none(), with_id("c"), none()], Some(("c", Source::Environment)), 0),
        ([bytes(secret), with_id("b"), none(), none()], Some(("b", Source::DevIncus)), 1),
        (
            [
                bytes(r#"{"version":2,"id":"x","secret":"5ec4e7c0de"}"#),
                none(),
                none(),
                bytes("firstlight1:5ec4e7c0de!"),
            ],
            None,
            2,
        ),
        (
            [Err(SourceError::CommandLine), none(), none(), with_id("d")],
            Some(("d", Source::ProductSerial)),
            1,
        ),
    ] {
        let mut said = Vec::new();
        let found = choose(Source::ALL.into_iter().zip(sources), &mut said);
        let found = found.as_ref().map(|found| (found.claim.id.as_str(), found.source));
        assert_eq!((found, said.len()), (id, problems), "{said:?}");
        assert!(
            said.iter().all(|line| !line.contains(secret) && line.starts_with("no claim from ")),
            "{said:?}"
        );
    }
}

#[test]
fn a_root_that_is_not_running_has_no_claim_wherever_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        "run/credentials/@system/firstlight.claim",
        "etc/credstore/firstlight.claim",
        "etc/firstlight/claim.json",
        "sys/class/dmi/id/product_serial",
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, GOOD).unwrap();
    }
    std::fs::create_dir_all(folder.path().join("proc/1")).unwrap();
    std::fs::write(folder.path().join("proc/1/environ"), format!("container=lxc\0FIRSTLIGHT_CLAIM={GOOD}\0"))
        .unwrap();
    let mut problems = Vec::new();
    assert!(load(&Machine::open(folder.path()).unwrap(), &mut problems).is_none());
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn what_the_kernel_command_line_names_is_seen_in_every_spelling() {
    let words = ["systemd.set_credential=firstlight.claim:"];
    for line in [
        "root=/dev/vda systemd.set_credential=firstlight.claim:x",
        "systemd.set-credential=firstlight.claim:x\n",
        "\"systemd.set_credential=firstlight.claim:x y\"",
        "systemd.set_credential=\"firstlight.claim:x\"",
    ] {
        assert!(names_one(line.as_bytes(), &words), "{line}");
    }
    for line in ["", "quiet", "systemd.set_credential=firstlight.other:x"] {
        assert!(!names_one(line.as_bytes(), &words), "{line}");
    }
}
