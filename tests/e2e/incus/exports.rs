//! Goldens that are exported instances: new guests of one, and the same guest back.

use std::collections::BTreeSet;

use firstlight_tests::demo::shared_identities;
use firstlight_tests::rig::incus::GOLDEN;
use serde_json::Value;

use super::site::Site;

const PATIENCE: &str = "[guest.readiness]\ntimeout = \"180s\"\n";

/// MAC, machine-id and host keys in the document of `up`.
pub(super) fn identity(guest: &Value) -> BTreeSet<String> {
    let keys = guest["ssh_host_keys"].as_array().unwrap();
    let keys = keys.iter().map(|key| &key["fingerprint"]);
    let all = [&guest["mac"], &guest["machine_id"]].into_iter().chain(keys);
    all.map(|value| value.as_str().unwrap_or_else(|| panic!("{guest:#}")).to_owned()).collect()
}

#[test]
fn an_exported_instance_makes_new_guests_and_comes_back_as_itself() {
    let site = Site::start("exports");
    // The instance that somebody exports has settings of its own, which a new guest is to keep.
    site.incus(&["init", GOLDEN, "model", "-c", "security.nesting=true", "-c", "security.privileged=false"]);
    let sealed = site.path("model.tar.gz");
    site.incus(&["export", "model", &sealed.to_string_lossy(), "--compression", "gzip"]);
    site.incus(&["delete", "model"]);

    let document =
        site.up("web-{n}", &sealed.to_string_lossy(), &format!("count = 2\nmemory = \"512M\"\n{PATIENCE}"));
    let guests = document["guests"].as_array().unwrap();
    assert_eq!(shared_identities(&document), Vec::<String>::new());
    for guest in guests {
        let name = guest["name"].as_str().unwrap();
        assert_eq!(guest["hostname"], name, "{guest:#}");
        let there = site.instance(name);
        assert_eq!(there["config"]["security.nesting"], "true", "{there:#}");
        assert_eq!(there["config"]["limits.memory"], "512MiB", "{there:#}");
        assert_eq!(there["config"]["volatile.eth0.hwaddr"], guest["mac"], "{there:#}");
    }

    // A guest is exported, lost, and brought back.
    let before = identity(&guests[0]);
    let backup = site.path("backup.tar");
    site.incus(&["stop", "web-01"]);
    site.incus(&["export", "web-01", &backup.to_string_lossy(), "--compression", "none"]);
    site.destroy(&["web-01"]);
    let document = site.up("web-01", &backup.to_string_lossy(), &format!("intent = \"restore\"\n{PATIENCE}"));
    let back = &document["guests"][0];
    assert_eq!(identity(back), before, "{back:#}");

    // Nobody else may have its MAC.
    let twin =
        site.up_in_vain("twin", &backup.to_string_lossy(), &format!("intent = \"restore\"\n{PATIENCE}"));
    assert!(twin.to_string().contains("mac-taken"), "{twin:#}");
    site.destroy(&["web-01", "web-02"]);
    site.end();
}
