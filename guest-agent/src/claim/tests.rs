use std::cell::Cell;

use zeroize::Zeroizing;

use super::source::{SourceError, names_one};
use super::*;
use crate::dev_incus::DevIncusError;

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
    assert!(find(&Machine::open(folder.path()).unwrap(), PAUSE, &mut problems).is_none());
    assert_eq!(problems, Vec::<String>::new());
}

/// devIncus' errors, as a dying and a starting server give them, and as a server that refuses.
fn not_asked(kind: &str) -> Looked {
    let socket = || "sock".to_owned();
    Err(SourceError::DevIncus(match kind {
        "dead" => {
            DevIncusError::Socket { socket: socket(), source: std::io::ErrorKind::ConnectionRefused.into() }
        }
        "dying" => DevIncusError::Http { socket: socket() },
        "starting" => DevIncusError::Status { socket: socket(), status: 503 },
        _ => DevIncusError::Status { socket: socket(), status: 403 },
    }))
}

#[test]
fn a_server_that_does_not_answer_now_is_asked_again_until_it_does() {
    let long = Duration::from_secs(30);
    for (kinds, patience, looks, is_found) in [
        (&["dead", "dying", "starting"][..], long, 4, true),
        (&["dead"], Duration::ZERO, 1, false),
        (&["dead", "dead"], PAUSE / 2, 2, false),
        // A word that stands.
        (&["refusing"], long, 1, false),
        (&["dead", "refusing"], long, 2, false),
    ] {
        let count = Cell::new(0);
        let look = || {
            let kind = kinds.get(count.replace(count.get() + 1));
            let own = kind.map_or_else(|| with_id("a"), |kind| not_asked(kind));
            [(Source::Credential, Ok(None)), (Source::DevIncus, own)]
        };
        let mut said = Vec::new();
        let found = look_again(look, patience, &mut said);
        assert_eq!((count.get(), found.is_some()), (looks, is_found), "{kinds:?}");
        assert_eq!(said.len(), usize::from(!is_found), "of the last look only: {said:?}");
    }
}

#[test]
fn nothing_is_waited_for_where_an_earlier_source_has_the_claim() {
    let look = || [(Source::Credential, with_id("a")), (Source::DevIncus, not_asked("dead"))];
    let mut said = Vec::new();
    assert!(look_again(look, Duration::from_secs(3600), &mut said).is_some());
    assert_eq!(said, Vec::<String>::new());
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
