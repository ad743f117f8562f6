//! The checks of the furnished guest, both ways for each kind.

use std::collections::BTreeMap;
use std::path::Path;

use firstlight_shared::check::Verdict;

use super::guest;

/// Seconds that nobody else sleeps.
pub(super) const SLEEP: u32 = 471_147;

/// Checks as they stand in a file, and what is expected of each.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) text: String,
    pub(super) verdicts: BTreeMap<String, (Verdict, &'static str)>,
}

impl Expected {
    /// What a furnished guest on this root must come to.
    pub(super) fn of(root: &Path) -> Self {
        let mut expected = Self::default();
        expected.units();
        expected.files();
        expected.network(root);
        expected.accounts_and_commands();
        expected.docker();
        expected
    }

    /// A check of this kind, what it must come to, and a part of its reason.
    fn add(&mut self, id: &str, kind: &str, keys: &str, deadline: &str, end: (Verdict, &'static str)) {
        let head = format!("[[check]]\nid = \"{id}\"\nkind = \"{kind}\"\ndeadline = \"{deadline}\"");
        self.text.push_str(&format!("{head}\n{keys}\n"));
        assert!(self.verdicts.insert(id.to_owned(), end).is_none(), "{id} stands there twice");
    }

    /// May take its time on a busy machine.
    fn pass(&mut self, id: &str, kind: &str, keys: &str, reason: &'static str) {
        self.add(id, kind, keys, "100s", (Verdict::Pass, reason));
    }

    /// Fails for the wanted reason only once the guest's own services are up.
    fn fail(&mut self, id: &str, kind: &str, keys: &str, reason: &'static str) {
        self.add(id, kind, keys, "15s", (Verdict::Fail, reason));
    }

    /// As it was from the beginning.
    fn fail_at_once(&mut self, id: &str, kind: &str, keys: &str, reason: &'static str) {
        self.add(id, kind, keys, "1s", (Verdict::Fail, reason));
    }

    fn units(&mut self) {
        self.pass(
            "units",
            "failed-units",
            "ignore = [\"broken.*\"]",
            "no unit failed but the ignored broken.service",
        );
        self.fail("units-all", "failed-units", "", "broken.service");
        self.pass("unit", "unit", "unit = \"leaf.service\"", "is active");
        self.pass("unit-state", "unit", "unit = \"broken.service\"\nstate = \"failed\"", "is failed");
        self.fail("unit-absent", "unit", "unit = \"absent.service\"", "not loaded");
        self.pass("workers", "replicas", "units = \"worker@*.service\"\ncount = 2", "2 of 2 units");
        self.fail("workers-three", "replicas", "units = \"worker@*.service\"\ncount = 3", "of 3 units");
    }

    fn files(&mut self) {
        let data = "path = \"/data\"\nfstype = [\"ext4\", \"tmpfs\"]\nmin_size = \"64M\"\nwritable = true";
        self.pass("data", "mount", data, "took a write");
        self.fail("data-fstype", "mount", "path = \"/data\"\nfstype = \"ext4\"", "is tmpfs, not ext4");
        self.fail("data-size", "mount", "path = \"/data\"\nmin_size = \"65M\"", "67108864 bytes large");
        self.fail(
            "data-readonly",
            "mount",
            "path = \"/readonly\"\nwritable = true",
            "cannot write into /readonly",
        );
        self.fail("data-absent", "mount", "path = \"/opt\"", "nothing is mounted at /opt");
        let digest = "sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
        self.pass(
            "file",
            "file",
            &format!("path = \"/etc/abc\"\nowner = \"root:root\"\nmode = \"0644\"\n{digest}"),
            "",
        );
        self.pass(
            "file-shadow",
            "file",
            "path = \"/etc/shadow\"\nowner = \"root:shadow\"\nmode = \"0640\"",
            "",
        );
        self.fail("file-mode", "file", "path = \"/etc/abc\"\nmode = \"0600\"", "mode 0644");
        self.fail("file-owner", "file", "path = \"/etc/shadow\"\nowner = \"root:root\"", "belongs to 0:42");
        self.fail("file-digest", "file", &format!("path = \"/etc/hosts\"\n{digest}"), "has the SHA-256");
        let link = |name: &str| format!("path = \"/opt/{name}\"\ntarget_prefix = \"/nix/store/\"");
        self.pass("closure", "symlink", &link("current-system"), "abc-system");
        let exactly = "path = \"/opt/current-system\"\ntarget = \"/nix/store/abc-system\"";
        self.pass("closure-exact", "symlink", exactly, "");
        self.fail("closure-dangling", "symlink", &link("dangling-system"), "nothing is there");
        let other = "path = \"/opt/current-system\"\ntarget = \"/nix/store/other\"";
        self.fail("closure-other", "symlink", other, "abc-system");
    }

    fn network(&mut self, root: &Path) {
        // The built-in one, tuned: this guest's network has no way out.
        self.pass("network", "network", "default_route = false", "10.77.9.2/24");
        self.fail("network-route", "network", "", "no default route");
        self.fail("network-interface", "network", "interface = \"eth7\"\ndefault_route = false", "`eth7`");
        self.pass("dns", "dns", "name = \"db.example\"\naddress = \"10.77.9.7\"", "by 127.0.0.54");
        self.pass("dns-search", "dns", "name = \"db\"", "10.77.9.7");
        self.pass("dns-hosts", "dns", "name = \"listed\"\naddress = \"10.77.9.9\"", "by /etc/hosts");
        self.fail("dns-absent", "dns", "name = \"absent.example\"", "127.0.0.54 knows no absent.example");
        self.fail("dns-other", "dns", "name = \"listed\"\naddress = \"10.77.9.8\"", "10.77.9.9");
        self.pass("tcp", "tcp", "address = \"127.0.0.1:22\"", "accepts");
        self.fail("tcp-nobody", "tcp", "address = \"127.0.0.1:9\"", "refused");
        let health = "url = \"http://127.0.0.1:8080/health\"\nhost = \"www.example\"";
        self.pass("http", "http", &format!("{health}\ncontains = \"is well\""), "wanted text");
        self.pass("http-status", "http", "url = \"http://127.0.0.1:8080/\"\nstatus = 404", "404");
        self.fail("http-nobody", "http", "url = \"http://127.0.0.1:9/\"", "refused");
        let (pin, print) = (guest::pin(root), guest::fingerprint(root));
        self.pass("https", "http", &format!("url = \"https://127.0.0.1:4433/\"\npin = \"{pin}\""), "200");
        let other = "pin = \"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"";
        self.fail(
            "https-other",
            "http",
            &format!("url = \"https://127.0.0.1:4433/\"\n{other}"),
            "has not the pinned key",
        );
        let leaf = |keys: &str| format!("address = \"127.0.0.1:4433\"\nserver_name = \"leaf\"\n{keys}");
        self.pass("leaf", "tls-leaf", &leaf(&format!("sha256 = \"{print}\"")), "");
        self.pass("leaf-pin", "tls-leaf", &leaf(&format!("pin = \"{pin}\"")), "");
        self.pass("leaf-file", "tls-leaf", &leaf("certificate = \"/etc/leaf.pem\""), "");
        self.fail("leaf-other", "tls-leaf", &leaf(other), "has the key sha256//");
        self.fail("leaf-no-file", "tls-leaf", &leaf("certificate = \"/etc/abc\""), "no certificate");
    }

    fn accounts_and_commands(&mut self) {
        self.fail_at_once(
            "password",
            "password",
            "known = [\"else\", \"debian\"]\nusers = [\"demo\"]",
            "demo has a known",
        );
        self.pass("password-other", "password", "known = [\"else\"]\nusers = [\"demo\"]", "");
        self.pass("password-expired", "password", "expired = true\nusers = [\"demo\"]", "");
        self.fail_at_once(
            "password-lasting",
            "password",
            "expired = true\nusers = [\"legacy\"]",
            "not expired",
        );
        let legacy = "known = [\"debian\"]\nusers = [\"legacy\"]";
        self.add("password-md5", "password", legacy, "1s", (Verdict::Unknown, "cannot be verified: legacy"));
        let shell = |script: &str| format!("command = [\"/bin/sh\", \"-c\", \"{script}\"]");
        self.pass(
            "command",
            "command",
            &shell("echo as wanted; exit 3").replace(']', "]\nexit_code = 3"),
            "as wanted",
        );
        self.fail_at_once(
            "command-code",
            "command",
            &shell("echo not so >&2; exit 1"),
            "exit code 1: not so",
        );
        self.fail_at_once(
            "command-time",
            "command",
            &format!("{}\ntimeout = \"300ms\"", shell(&format!("sleep {SLEEP}; true"))),
            "did not end",
        );
        self.add(
            "command-absent",
            "command",
            "command = [\"/no/such\"]",
            "1s",
            (Verdict::Unknown, "cannot run /no/such"),
        );
        // As the documentation says of the sandbox.
        self.fail_at_once(
            "command-mount",
            "command",
            "command = [\"/bin/mount\", \"-t\", \"tmpfs\", \"x\", \"/mnt\"]",
            "exit code",
        );
        self.fail_at_once(
            "command-unshare",
            "command",
            "command = [\"/usr/bin/unshare\", \"--net\", \"/bin/true\"]",
            "exit code",
        );
        self.add("clock", "clock", "", "1s", (Verdict::Skip, "host"));
    }

    fn docker(&mut self) {
        let socket = "socket = \"/srv/docker.sock\"";
        let docker = |keys: &str| format!("{socket}\n{keys}");
        self.pass(
            "docker",
            "docker",
            &docker("storage_driver = [\"overlay2\", \"overlayfs\"]\nrun = \"hello-world\""),
            "hello-world ran",
        );
        self.fail_at_once("docker-driver", "docker", &docker("storage_driver = \"zfs\""), "not zfs");
        self.fail_at_once("docker-image", "docker", &docker("run = \"no-such-image\""), "404");
        self.fail_at_once("docker-code", "docker", &docker("run = \"ends-with-3\""), "exit code 3");
        self.fail_at_once(
            "docker-time",
            "docker",
            &docker("run = \"stays\"\ntimeout = \"500ms\""),
            "did not end",
        );
        self.fail_at_once("docker-absent", "docker", "", "no docker daemon answers");
        self.pass("containers", "replicas", &docker("container = \"shop-*\""), "2 of 2 containers");
        self.pass("containers-label", "replicas", &docker("label = \"app=shop\"\nimage = \"stays\""), "");
        self.fail_at_once(
            "containers-three",
            "replicas",
            &docker("container = \"shop-*\"\ncount = 3"),
            "2 of 3",
        );
        self.pass("service", "replicas", &docker("service = \"web\""), "2 of 2 tasks");
        self.fail_at_once("service-three", "replicas", &docker("service = \"web\"\ncount = 3"), "2 of 3");
        self.fail_at_once("service-absent", "replicas", &docker("service = \"absent\""), "no service");
        self.pass("restart", "restart-policy", &docker("ignore = [\"shop-2\"]"), "");
        self.fail_at_once("restart-all", "restart-policy", socket, "shop-2 (on-failure)");
    }
}
