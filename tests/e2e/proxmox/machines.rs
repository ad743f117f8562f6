//! A virtual machine as users get it: made from a golden on a cluster, emulated by QEMU, claimed by its serial number, heard over
//! its network, and read through its QEMU guest agent. And its twin.

use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::sha256_hex;
use firstlight_tests::rig::leftovers;
use firstlight_tests::run::{self, Ran};
use firstlight_tests::simpve::example::{self, MACHINE_GOLDEN};
use firstlight_tests::simpve::machines::{Credentials, GATEWAY, Problems, RealMachines};
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::wire::{Pace, SimPve};
use firstlight_tests::{paths, wait};
use serde_json::Value;
use tempfile::TempDir;

use super::api::Api;
use super::site::{Daemon, companion};

const NAME: &str = "vm-01";
/// By hand, with the UUID of the other one.
const TWIN: u32 = 990;

struct Site {
    // In the order of their ends.
    companion: Daemon,
    sim: SimPve,
    problems: Problems,
    strangers: Credentials,
    folder: TempDir,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-machines-").tempdir().unwrap();
        let (profile, problems) = (Profile::measured().scaled(0.2), Problems::default());
        let strangers = Credentials::default();
        let mut world = example::cluster(1, profile.clone(), 1, 1_795_259_766);
        let goldens = paths::given(paths::GOLDENS_VARIABLE);
        world.machines = Box::new(RealMachines::new(&goldens, &profile, &problems, &strangers));
        let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
        let companion = Daemon(Some(companion(folder.path(), &sim, GATEWAY)));
        Self { companion, sim, problems, strangers, folder }
    }

    fn api(&self) -> Api {
        Api { port: self.sim.addresses()["pve1"].port(), authority: self.folder.path().join("ca.pem") }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(paths::given(paths::COMPANION_VARIABLE));
        run::run(command.args(words).env("FIRSTLIGHT_STATE", self.state())).unwrap()
    }

    fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(words);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {}", ran.said()))
    }

    fn said(&self) -> String {
        let log = self.companion.0.as_ref().map(|companion| companion.log()).unwrap_or_default();
        let mut reports = String::new();
        for id in self.sim.with_world(|world| world.guests.keys().copied().collect::<Vec<_>>()) {
            let path =
                format!("/nodes/pve1/qemu/{id}/agent/file-read?file=%2Frun%2Ffirstlight%2Freport.json");
            let read = self.api().ask("GET", &path, &[]).map(|read| read["content"].to_string());
            reports += &format!("report of {id}: {}\n", read.unwrap_or_else(|error| format!("{error:#}")));
        }
        format!("{log}\n{reports}{}", self.problems.told())
    }

    fn up(&self) -> Value {
        let spec = self.folder.path().join("spec.toml");
        let text = format!(
            "[[guest]]\nname = \"{NAME}\"\nbackend = \"proxmox\"\nkind = \"vm\"\ngolden = \"{MACHINE_GOLDEN}\"\n\
             [guest.readiness]\ntimeout = \"900s\"\nrequire = [\"sshd\"]\n"
        );
        fs::write(&spec, text).unwrap();
        let ran = self.run(&["up", &spec.to_string_lossy(), "--json"]);
        assert!(ran.ok(), "{}\n{}", ran.said(), self.said());
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        document["guests"][0].clone()
    }

    /// Number and UUID of the machine that is brought up, once it has them: its claim is written together with its UUID.
    fn numbers(&self) -> (u32, String) {
        let known = || {
            self.sim.with_world(|world| {
                let mut guests = world.guests.iter();
                let (id, guest) = guests.find(|(_, guest)| guest.get("name") == Some(NAME))?;
                let smbios = guest.get("smbios1").filter(|smbios| smbios.contains("serial="))?;
                Some((*id, smbios.split(',').find_map(|part| part.strip_prefix("uuid="))?.to_owned()))
            })
        };
        wait::until("the machine's UUID", Duration::from_secs(60), known).unwrap()
    }

    /// What a golden of guests that other tools make has in its guest.toml, written before the report is. Nobody listens at
    /// this address: what the guest has to say is known to its agent alone.
    fn tell_strangers(&self) {
        let pin = self.run(&["pin"]).stdout;
        let drop_in = format!(
            "[Service]\nExecStartPre=+/bin/sh -c \"echo \\\"host = {{ url = 'https://{GATEWAY}:9', pin = '{}' }}\\\" > /etc/firstlight/guest.toml\"\n",
            pin.trim()
        );
        let unit = "systemd.unit-dropin.firstlight-report.service".to_owned();
        self.strangers.lock().unwrap().push((unit, drop_in));
    }

    /// A second machine with the same UUID, as a copied configuration makes one.
    fn make_twin(&self, uuid: &str) {
        let (vmid, archive) = (format!("vmid={TWIN}"), format!("archive={MACHINE_GOLDEN}"));
        let (smbios, card) = (format!("smbios1=uuid={uuid}"), "net0=virtio=BC:24:11:00:09:90,bridge=vmbr0");
        let create = [&vmid, &archive, "name=twin", card, &smbios];
        self.api().task("POST", "/nodes/pve1/qemu", &create).unwrap();
        self.api().task("POST", &format!("/nodes/pve1/qemu/{TWIN}/status/start"), &[]).unwrap();
    }

    /// A file in a machine, through its agent.
    fn read(&self, id: u32, path: &str) -> String {
        let encoded = path.replace('/', "%2F");
        let call = format!("/nodes/pve1/qemu/{id}/agent/file-read?file={encoded}");
        self.api().ask("GET", &call, &[]).unwrap()["content"].as_str().unwrap().to_owned()
    }

    fn end(mut self) {
        self.companion.0.take().unwrap().stop().unwrap();
        let (state, left) = (self.state(), leftovers::find(&self.state()));
        assert!(left.is_empty(), "left behind of {}:\n{}", state.display(), left.join("\n"));
    }
}

#[test]
fn a_machine_is_claimed_by_its_serial_heard_over_its_network_and_read_by_its_agent_and_its_twin_is_seen() {
    let site = Site::start();
    site.tell_strangers();
    let began = Instant::now();
    // Both boot at once: that is where the time goes.
    let (guest, id, uuid) = thread::scope(|scope| {
        let up = scope.spawn(|| site.up());
        let (id, uuid) = site.numbers();
        site.make_twin(&uuid);
        (up.join().unwrap_or_else(|panic| resume_unwind(panic)), id, uuid)
    });
    eprintln!("ready after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!((&guest["state"], &guest["trust"]), (&"done".into(), &"attested".into()), "{guest:#}");
    assert_eq!(guest["hostname"], NAME);
    let predicted: MachineId = uuid.parse().unwrap();
    assert_eq!(guest["machine_id"], predicted.derived().to_string());

    // The guest's own account of how it was claimed and who took its report; the agent may have been faster than its network.
    let url = format!("https://{GATEWAY}:");
    let acknowledged = |delivery: &Value| delivery["state"] == "acknowledged";
    let delivery = wait::until("the acknowledgement", Duration::from_secs(900), || {
        serde_json::from_str(&site.read(id, "/run/firstlight/delivery.json")).ok().filter(acknowledged)
    });
    let delivery: Value = delivery.unwrap_or_else(|error| panic!("{error}\n{}", site.said()));
    assert_eq!(delivery["claim_source"], "product-serial", "{delivery:#}");
    let channels = delivery["channels"].as_array().unwrap();
    let network =
        channels.iter().find(|one| one["channel"].as_str().is_some_and(|name| name.starts_with(&url)));
    assert_eq!(network.unwrap()["state"], "acknowledged", "{delivery:#}");
    // What the agent reads is what was taken, byte for byte.
    let envelope: Value = serde_json::from_str(&site.read(id, "/run/firstlight/report.json")).unwrap();
    let read = sha256_hex(envelope["report"].as_str().unwrap().as_bytes());
    let reports = site.json(&["reports", NAME, "--json"]);
    assert_eq!(reports["reports"][0]["sha256"], read, "{reports:#}");
    let told = site.run(&["report", NAME]);
    assert!(told.ok() && told.stdout.contains("qemu"), "{}", told.said());
    assert_eq!(site.run(&["duplicates"]).code, 0);

    // The twin is waited for, as a guest that another tool made.
    let twin = TWIN.to_string();
    let words = ["wait", "--backend", "proxmox", "--vmid", &twin, "--timeout", "15m"];
    let waited = site.run(&words);
    assert_eq!(waited.code, 1, "{}\n{}", waited.said(), site.said());
    let shared = format!("machine-id {} is also that of {NAME}", predicted.derived());
    assert!(waited.said().contains(&shared), "{}", waited.said());
    eprintln!("its twin after {:.1} s", began.elapsed().as_secs_f64());
    site.end();
}
