//! What stands in the way of our units and files.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::State;
use super::{lived_in, options, seal};
use crate::items::tests::{put, snapshot};

#[test]
fn what_replaces_our_units_in_etc_somebody_has_to_take_away() {
    const NULL: &str = "-> /dev/null";
    const GATED: &str = "[Unit]\nBindsTo=firstlight-gate.target\nAfter=firstlight-gate.target\n";
    for (name, text, refused) in [
        ("firstlight-identity.service", NULL, true),
        ("firstlight-report.service", NULL, true),
        ("firstlight-gate.target", NULL, true),
        ("firstlight-gate.target", "", true),
        ("firstlight-gate.target", "[Unit]\nDescription=nothing\n", true),
        ("firstlight-identity.service", "[Service]\nExecStart=/bin/true\n", true),
        ("firstlight-identity.service", "[Service]\nExecStart=/usr/bin/firstlight-guest identity\n", false),
        ("firstlight-identity.service", "-> /usr/lib/systemd/system/firstlight-identity.service", false),
        ("firstlight-evidence.timer", NULL, false),
        ("ssh.service.d/10-firstlight.conf", NULL, true),
        ("ssh.service.d/10-firstlight.conf", "", true),
        ("ssh.service.d/10-firstlight.conf", "[Unit]\nAfter=firstlight-gate.target\n", true),
        ("ssh.service.d/10-firstlight.conf", GATED, false),
        ("ssh.service.d/20-own.conf", NULL, false),
        ("sshd-keygen.service.d/10-firstlight.conf", "", true),
    ] {
        for folder in ["etc/systemd/system", "usr/local/lib/systemd/system"] {
            let root = lived_in();
            let root = root.path();
            let options = options(root);
            // Also where the units are there already.
            assert_eq!(seal(root, &options).state, State::Done);
            let at = format!("{folder}/{name}");
            match text.strip_prefix("-> ") {
                Some(target) => {
                    fs::create_dir_all(root.join(&at).parent().unwrap()).unwrap();
                    symlink(target, root.join(&at)).unwrap();
                }
                None => put(root, &at, text),
            }
            let again = seal(root, &options);
            assert_eq!(again.state == State::Refused, refused, "{at} {text:?}: {again:?}");
            let paths: Vec<_> = again.refused.iter().map(|left| left.path.as_str()).collect();
            assert!(paths.is_empty() || paths == [format!("/{at}")], "{paths:?}");
        }
    }
}

/// Named before the first change, and not half way.
#[test]
fn what_is_no_folder_where_one_is_needed_is_refused() {
    for (at, is_link) in [
        ("etc/systemd/system/firstlight-gate.target.requires", true),
        ("etc/systemd/system-preset", false),
        ("usr/lib/firstlight", false),
    ] {
        let folder = lived_in();
        let root = folder.path();
        fs::create_dir_all(root.join(at).parent().unwrap()).unwrap();
        if is_link {
            symlink("/gone", root.join(at)).unwrap();
        } else {
            put(root, at, "x");
        }
        let before = snapshot(root);
        let refused = seal(root, &options(root));
        let paths: Vec<_> = refused.refused.iter().map(|left| left.path.as_str()).collect();
        assert_eq!((refused.state, paths), (State::Refused, vec![format!("/{at}").as_str()]), "{refused:?}");
        assert_eq!(snapshot(root), before, "{at}");
    }
}
