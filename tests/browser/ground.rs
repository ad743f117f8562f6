//! What the pages are about: a companion, its guests, and a way to its pages.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use firstlight_shared::check::{CheckResult, Severity, Verdict};
use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::{Envelope, Report, ReportState};
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::fake::{self, FakeGuest};
use firstlight_tests::paths;
use firstlight_tests::rig::Rig;

/// Of an operator, for the form.
pub(crate) const TOKEN: &str = "a-token-of-an-operator-in-tests";

/// What a hostile guest says; any of it that becomes part of the page shows.
pub(crate) const HOSTILE: &str =
    "<script>window.taken=1</script><img src=x onerror=window.taken=1>\u{1b}[31m\u{202e}\"'`</pre></td>";

/// Guests that say nothing by themselves: they wait until they are spoken for.
const WAITS: &str = "on_failure = \"keep\"\n[guest.readiness]\ntimeout = \"300s\"";

/// Guests that are waited for in vain.
const UNHEARD: &str = "on_failure = \"keep\"\n[guest.readiness]\ntimeout = \"8s\"";

#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) rig: Rig,
    /// `firstlight web open`, which passes the pages on.
    passing: Child,
    link: String,
}

impl Ground {
    /// With one guest that is ready.
    pub(crate) fn new() -> Self {
        let rig = Rig::new();
        let token = rig.path("token");
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&token).unwrap();
        std::io::Write::write_all(&mut file, TOKEN.as_bytes()).unwrap();
        rig.configure(&format!(
            "[[api.token]]\nname = \"tester\"\nrole = \"operator\"\nfile = \"{}\"\n",
            token.display()
        ));
        let mut rig = rig;
        rig.serve();
        rig.up(&rig.spec("web-01", Variant::Agent, ""));
        let (passing, link) = pass(&rig);
        Self { rig, passing, link }
    }

    /// A link that nobody has used yet.
    pub(crate) fn link(&self) -> &str {
        &self.link
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> String {
        let end = self.link.match_indices('/').nth(2).map_or(self.link.len(), |(place, _)| place);
        self.link[..end].to_owned()
    }

    pub(crate) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// The id of a guest's newest job.
    pub(crate) fn job(&self, guest: &str) -> String {
        let shown = self.rig.json(&["show", guest, "--json"]);
        shown["job"]["job"].as_str().unwrap_or_else(|| panic!("no job in {shown:#}")).to_owned()
    }

    /// A guest that waits for a report.
    pub(crate) fn waiting(&self, name: &str) {
        self.rig.up_waiting(&self.rig.spec(name, Variant::Silent, WAITS), &[name]);
    }

    /// A guest of which nothing is heard, and that is kept for an operator then.
    pub(crate) fn unheard(&self, name: &str) {
        let spec = self.rig.spec(name, Variant::Silent, UNHEARD);
        let ran = self.rig.run(&["up", &spec]);
        assert_eq!(ran.code, 6, "{}", ran.said());
    }

    /// Reports for a guest that waits; ready, with a check that says what it likes.
    pub(crate) fn speak_for(&self, name: &str, reason: &str) {
        self.speak(name, |report| {
            reason.clone_into(&mut report.identity.reason);
            report.identity.problems.push(reason.to_owned());
            reason.clone_into(&mut report.network[0].name);
            report.checks.push(failed(reason, Severity::Advisory, reason));
        });
    }

    /// The same for guests of which it is too much: a required check fails, and all of them tell one host name and one
    /// machine-id.
    pub(crate) fn speak_badly_for(&self, name: &str, words: &str) {
        self.speak(name, |report| {
            report.state = ReportState::Degraded;
            words.clone_into(&mut report.identity.hostname.current);
            report.identity.machine_id.derived = Some(MachineId::from_random([5; 16]).derived());
            report.checks.push(failed(
                "disk",
                Severity::Required,
                &format!("{words}{}", "long".repeat(10_000)),
            ));
        });
    }

    fn speak(&self, name: &str, change: impl FnOnce(&mut Report)) {
        let claim = self.rig.claim(name);
        let shown = self.rig.json(&["show", name, "--json"]);
        let mut guest = FakeGuest::new(name).unwrap();
        guest.mac = shown["job"]["mac"].as_str().map(|mac| mac.parse().unwrap());
        guest.address = shown["job"]["addresses"][0].as_str().map(|address| address.parse().unwrap());
        let mut report = guest.report(Some(&claim)).unwrap();
        change(&mut report);
        let envelope = Envelope::seal(&report, &guest.key, Some(&claim)).unwrap();
        let answer = fake::send(&self.rig.namespace(name), &claim, &envelope).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Where a picture goes; kept after the tests.
    pub(crate) fn picture(name: &str) -> PathBuf {
        paths::scratch().join("artefacts").join(format!("{name}.png"))
    }
}

fn failed(id: &str, severity: Severity, reason: &str) -> CheckResult {
    CheckResult {
        id: id.to_owned(),
        severity,
        verdict: Verdict::Fail,
        reason: reason.to_owned(),
        elapsed_ms: 7,
        seen: Some(reason.to_owned()),
    }
}

fn pass(rig: &Rig) -> (Child, String) {
    let mut command = rig.command(&["web", "open"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut link = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut link).unwrap();
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    (child, link.trim().to_owned())
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.passing.kill();
        let _ = self.passing.wait();
    }
}
