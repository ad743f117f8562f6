//! Secret files on a real server: pushed before the first start, under their own names only, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use firstlight_shared::wire::{secret_prefix, sha256_hex};
use firstlight_tests::rig::incus::{GOLDEN, IncusServer};
use firstlight_tests::run;
use serde_json::Value;

use super::site::Site;
use crate::secrets::{assert_free, encoded, files_since, random_digits, said_by_processes};

const MORE: &str = "[guest.readiness]\ntimeout = \"120s\"\n";
/// The first of all: before sysinit.target, and before the guest's agent could put anything to its place.
const EARLY: &str = "[Unit]\nDefaultDependencies=no\nConflicts=shutdown.target\n\
    Before=shutdown.target sysinit.target firstlight-identity.service\n\
    [Service]\nType=oneshot\nRemainAfterExit=yes\n\
    ExecStart=/bin/sh -c 'stat -c \"%%a %%U:%%G\" /var/lib/sops-nix/key.txt /etc/app/password /etc/issue > /var/lib/seen; \
    sha256sum < /var/lib/sops-nix/key.txt >> /var/lib/seen'\n";
const WANTED: &str = "[Unit]\nRequires=early.service\nAfter=early.service\n";

/// A companion with sources.
struct Ground {
    site: Site<'static>,
    key: String,
    password: String,
}

impl Ground {
    fn new(project: &str) -> Self {
        let mut site = Site::without_companion(IncusServer::shared(), project, &[]);
        let key = format!("AGE-SECRET-KEY-1{}{}", random_digits(), random_digits());
        let password = random_digits();
        let folder = site.path("keys");
        fs::create_dir(&folder).unwrap();
        let print = format!("#!/bin/sh\nprintf %s {password}\n");
        for (name, text, mode) in [
            ("key.txt", key.as_str(), 0o600),
            ("early.service", EARLY, 0o600),
            ("wanted.conf", WANTED, 0o600),
            ("print", &print, 0o700),
        ] {
            fs::write(folder.join(name), text).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let print = folder.join("print");
        let sources = format!(
            "[secrets]\nfiles = [{folder:?}]\ncommands = [{print:?}]\n[log]\nlevel = \"warn,firstlight=trace\"\n"
        );
        site.serve(&(site.by_socket() + &sources));
        Self { site, key, password }
    }

    /// Lines of a spec, `KEYS` being the sources' folder.
    fn wanted(&self, secrets: &str) -> String {
        let folder = self.site.path("keys").to_string_lossy().into_owned();
        format!("secrets = [{}]\n{MORE}", secrets.replace("KEYS", &folder))
    }

    /// Brings one up whose secret cannot be delivered; the document's guest.
    fn up_in_vain(&self, name: &str, more: &str, code: i32) -> Value {
        let ran = self.site.run(&["up", &self.site.spec(name, GOLDEN, more), "--json"]);
        assert_eq!(ran.code, code, "{}\n{}", ran.said(), self.site.said());
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        document["guests"][0].clone()
    }

    #[track_caller]
    fn assert_free(&self, what: &str, content: &[u8]) {
        assert_free(&[&self.key, &self.key[20..52], &self.password], what, content);
    }

    /// Files of the server that hold a secret: its database, its logs, its images, its guests' disks.
    fn held_by_server(&self) -> Vec<PathBuf> {
        let mut words = vec!["grep".to_owned(), "-rlF".to_owned(), "--devices=skip".to_owned()];
        for text in [&self.key, &self.password] {
            words.extend(encoded(text).into_iter().flat_map(|needle| ["-e".to_owned(), needle]));
        }
        words.push(self.site.server.directory().to_string_lossy().into_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // It ends with 2 over a file that went meanwhile.
        let found = run::run(&mut self.site.server.within(&words)).unwrap();
        let mut found: Vec<PathBuf> = found.stdout.lines().map(PathBuf::from).collect();
        found.sort();
        found
    }

    /// Journal, store and its copy, log, answers and processes; the server's API, database and logs; the guest's journal.
    fn assert_nothing_tells(&self, guest: &str, began: SystemTime) {
        let site = &self.site;
        let copy = site.path("copy.db");
        let words = ["store", "backup", copy.to_str().unwrap()];
        assert!(site.run(&words).ok());
        for words in [
            &["show", guest][..],
            &["show", guest, "--json"],
            &["jobs", "--json"],
            &["reports", "--json"],
            &["store", "export"],
        ] {
            self.assert_free(&words.join(" "), site.run(words).said().as_bytes());
        }
        let mut looked = 0;
        for path in files_since(&site.path("."), began) {
            if path.components().any(|part| part.as_os_str() == "keys") {
                continue;
            }
            self.assert_free(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
            looked += 1;
        }
        assert!(looked >= 4, "store, its copy, log and more: {looked}");
        fs::remove_file(copy).unwrap();
        for (name, content) in said_by_processes() {
            self.assert_free(&name, &content);
        }
        let instances = format!("/1.0/instances?recursion=2&project={}", site.project);
        let shown = site.server.get(&instances).unwrap().to_string();
        self.assert_free("the server's list of instances", shown.as_bytes());
        self.assert_free("incusd's log", site.server.log().as_bytes());
    }
}

#[test]
fn a_secret_is_there_before_the_first_unit_and_nowhere_else() {
    let began = SystemTime::now() - Duration::from_secs(2);
    let ground = Ground::new("secrets");
    let site = &ground.site;
    let more = ground.wanted(
        "{ path = \"/var/lib/sops-nix/key.txt\", file = \"KEYS/key.txt\" }, \
         { path = \"/etc/app/password\", command = [\"KEYS/print\"], mode = \"0440\", owner = \"daemon:adm\" }, \
         { path = \"/etc/issue\", file = \"KEYS/wanted.conf\", mode = \"0600\" }, \
         { path = \"/etc/systemd/system/early.service\", file = \"KEYS/early.service\" }, \
         { path = \"/etc/systemd/system/sysinit.target.d/50-early.conf\", file = \"KEYS/wanted.conf\" }",
    );
    site.up("sealed", GOLDEN, &more);

    let seen = site.incus(&["exec", "sealed", "--", "cat", "/var/lib/seen"]);
    let digest = sha256_hex(ground.key.as_bytes());
    assert_eq!(seen, format!("400 root:root\n440 daemon:adm\n600 root:root\n{digest}  -\n"));
    let password = site.incus(&["exec", "sealed", "--", "cat", "/etc/app/password"]);
    assert_eq!(password, ground.password);

    let shown = site.json(&["show", "sealed", "--json"]);
    let secrets = shown["job"]["secrets"].as_array().unwrap_or_else(|| panic!("{shown:#}"));
    assert!(secrets.len() == 5 && secrets.iter().all(|one| one["confirmed"] == true), "{secrets:#?}");
    assert_eq!(secrets[0]["sha256_prefix"], secret_prefix(ground.key.as_bytes()));
    assert_eq!(secrets[1]["sha256_prefix"], secret_prefix(ground.password.as_bytes()));
    assert_eq!((&secrets[1]["mode"], &secrets[1]["owner"]), (&"0440".into(), &"daemon:adm".into()));

    ground.assert_nothing_tells("sealed", began);
    let said = site.incus(&["exec", "sealed", "--", "journalctl", "--no-pager", "--output=export"]);
    assert!(said.contains("firstlight-report.service"), "the guest's journal says little: {said}");
    ground.assert_free("the guest's journal", said.as_bytes());
    // All that the server has of it are the two files of the guest themselves.
    let held = ground.held_by_server();
    assert_eq!(held.len(), 2, "{held:?}");
    assert!(held[0].ends_with("rootfs/etc/app/password"), "{held:?}");
    assert!(held[1].ends_with("rootfs/var/lib/sops-nix/key.txt"), "{held:?}");

    site.destroy(&["sealed"]);
    assert_eq!(ground.held_by_server(), [""; 0].map(PathBuf::from));
    ground.assert_nothing_tells("sealed", began);
    ground.site.end();
}

#[test]
fn a_link_in_the_golden_is_refused_and_nothing_is_left() {
    let ground = Ground::new("in-the-way");
    let site = &ground.site;
    let secret = ground.wanted("{ path = \"/var/run/key\", command = [\"KEYS/print\"] }");
    let guest = ground.up_in_vain("refused", &secret, 3);
    assert_eq!((&guest["state"], &guest["failure"]["code"]), (&"rolled-back".into(), &"secret-link".into()));
    let message = guest["failure"]["message"].as_str().unwrap();
    assert!(message.contains("/var/run is a link"), "{message}");
    site.assert_clean();
    // A link at the path itself: what it leads to stays as it was.
    let secret = ground.wanted("{ path = \"/etc/os-release\", command = [\"KEYS/print\"] }");
    let guest = ground.up_in_vain("linked", &format!("on_failure = \"keep\"\n{secret}"), 6);
    assert_eq!(guest["failure"]["code"], "secret-link", "{guest:#}");
    let target = site.incus(&["file", "pull", "linked/usr/lib/os-release", "-"]);
    assert!(target.contains("Debian"), "{target}");
    assert_eq!(ground.held_by_server(), [""; 0].map(PathBuf::from));
    site.destroy(&["linked"]);
    let listed: Value = site.json(&["jobs", "--json"]);
    ground.assert_free("the failed jobs", listed.to_string().as_bytes());
    ground.site.end();
}
