//! Goldens that `firstlight golden build` makes: twice the same bytes, and clones of them on every backend.

mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use firstlight_tests::rig::Rig;
use firstlight_tests::rig::incus::IncusServer;
use firstlight_tests::run::{self, Ran};
use firstlight_tests::{golden, page, paths};
use serde_json::Value;

const DHCP: &str = "/etc/dhcpcd.conf";

/// A login for who looks, and a date: the mirror's own would do, with one more request.
fn recipe(folder: &Path, name: &str, more: &str) -> PathBuf {
    let key = paths::given(paths::GOLDENS_VARIABLE).join(format!("{}.pub", golden::LOGIN_KEY));
    fs::copy(key, folder.join("key.pub")).unwrap();
    let path = folder.join(format!("{name}.toml"));
    let text = format!(
        "name = \"{name}\"\nsuite = \"trixie\"\npackages = [\"openssh-server\"]\nepoch = 1700000000\n\
        commands = [\"echo made > /etc/made\", \"[ ! -e {DHCP} ] || printf 'nodelay\\\\nnoarp\\\\n' >> {DHCP}\"]\n{more}\n\
        [[file]]\npath = \"/root/.ssh/authorized_keys\"\nsource = \"key.pub\"\nmode = \"0600\"\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn build(recipe: &Path, output: &Path, more: &[&str]) -> Ran {
    let mut command = run::command(["sh", "-c", r#"exec "$0" golden build "$@""#]);
    command.arg(paths::given(paths::COMPANION_VARIABLE)).arg(recipe).arg("--output").arg(output);
    command.arg("--agent").arg(paths::given(paths::GUEST_VARIABLE)).args(more);
    run::run(&mut command).unwrap()
}

fn built(recipe: &Path, output: &Path, more: &[&str]) -> Value {
    let ran = build(recipe, output, &[more, &["--json"]].concat());
    assert!(ran.ok(), "{}", ran.said());
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let stages = document["stages"].as_array().unwrap();
    let times = stages.iter().map(|stage| format!("{} {} s", stage["stage"], stage["seconds"]));
    eprintln!("{}: {}", document["name"], times.collect::<Vec<_>>().join(", "));
    document
}

struct Goldens {
    folder: PathBuf,
    recipe: PathBuf,
    document: Value,
}

impl Goldens {
    fn path(&self, format: &str) -> PathBuf {
        path(&self.document, format)
    }
}

fn path(document: &Value, format: &str) -> PathBuf {
    let outputs = document["outputs"].as_array().unwrap();
    let output = outputs.iter().find(|output| output["format"] == format).unwrap();
    PathBuf::from(output["path"].as_str().unwrap())
}

/// Made once for all tests here.
static GOLDENS: LazyLock<Goldens> = LazyLock::new(|| {
    // Beside the tests' own programs: it is the last run's until the next one.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("baked");
    let _ = fs::remove_dir_all(&folder); // of an earlier run
    fs::create_dir_all(&folder).unwrap();
    let recipe = recipe(&folder, "baked", "formats = [\"pve\", \"incus\"]");
    let document = built(&recipe, &folder.join("one"), &[]);
    Goldens { folder, recipe, document }
});

fn digests(document: &Value) -> Vec<(&str, &str)> {
    let outputs = document["outputs"].as_array().unwrap();
    outputs.iter().map(|one| (one["format"].as_str().unwrap(), one["sha256"].as_str().unwrap())).collect()
}

#[test]
fn a_recipe_gives_the_same_bytes_twice_and_nothing_else_is_left() {
    let output = GOLDENS.folder.join("two");
    // Of one root: what the other format would be is proven without a network.
    let other = built(&GOLDENS.recipe, &output, &["--format", "incus"]);
    let digest = digests(&other)[0];
    assert!(digests(&GOLDENS.document).contains(&digest), "{:?} {digest:?}", GOLDENS.document);
    assert_eq!(other["fit"], true);
    let left: Vec<_> = fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["baked-incus.tar.zst"]);
    // The judge of digests is not who wrote them.
    let summed = run::must(run::command(["sha256sum"]).arg(output.join("baked-incus.tar.zst"))).unwrap();
    assert_eq!(summed.split(' ').next(), Some(digest.1));
    let again = build(&GOLDENS.recipe, &output, &["--format", "incus"]);
    assert!(again.code == 3 && again.stderr.contains("is there already"), "{}", again.said());
    fs::remove_dir_all(output).unwrap();
}

/// Only in long runs. The backend gives addresses itself: such a golden has nobody who asks for one.
#[test]
fn a_clone_of_a_tar_is_attested_on_the_local_backend() {
    if !paths::full() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), "plain", "network = \"no\"\nformats = [\"tar\", \"dir\"]");
    let document = built(&recipe, &folder.path().join("out"), &[]);
    let rig = Rig::serving();
    let guests = rig.up(&rig.spec_of("baked-01", &path(&document, "tar"), ""));
    let told = (&guests[0]["state"], &guests[0]["trust"]);
    assert_eq!(told, (&"done".into(), &"attested".into()), "{guests:#?}");
    let made = rig.leader("baked-01").run(&["/bin/cat", "/etc/made"]).unwrap();
    assert_eq!(made.stdout.trim(), "made", "{}", made.said());
    assert_eq!(fs::read_to_string(path(&document, "dir").join("etc/made")).unwrap(), "made\n");
}

#[test]
fn a_container_s_backup_is_restored_and_attested_on_the_simulated_proxmox() {
    let site = crate::proxmox::site::Site::of(&GOLDENS.path("pve"));
    let document = site.up("baked-01", "");
    let guest = &document["guests"][0];
    assert_eq!((&guest["state"], &guest["trust"]), (&"done".into(), &"attested".into()), "{guest:#}");
    site.end();
}

#[test]
fn an_image_is_imported_by_a_real_incus_and_its_container_attested() {
    let document = up_on_incus("baked", &GOLDENS.document, "180s");
    assert_eq!(document["guests"][0]["hostname"], "baked-01", "{document:#}");
}

/// Only in long runs: the first example, which is the field's golden. In its clone Docker answers.
#[test]
fn the_field_s_golden_is_made_and_its_clone_runs_docker() {
    if !paths::full() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let recipe = paths::root().join("packaging/golden/debian-13-docker.toml");
    let document = built(&recipe, &folder.path().join("out"), &["--format", "incus"]);
    let bytes = document["outputs"][0]["bytes"].as_u64().unwrap();
    let (size, seconds) = (bytes / 1_000_000, &document["seconds"]);
    eprintln!("the field's golden: {size} MB in {seconds} s, 298 MB as the field makes it");
    assert!(size < 298, "{document:#}");
    // Of another state of the mirror.
    page::assert_size(
        "docs/golden-images.md",
        "(Debian 13, Docker as Debian packages it, sshd, curl), is",
        bytes,
        10,
    );
    let guest = &up_on_incus("docker", &document, "400s")["guests"][0];
    let checks = guest["checks"].as_array().unwrap();
    let docker = checks.iter().find(|check| check["id"] == "docker").unwrap();
    assert_eq!(docker["verdict"], "pass", "{guest:#}");
}

/// Imports the image, and brings one guest up of it, `NAME-01`, in a container that may have containers.
fn up_on_incus(name: &str, built: &Value, timeout: &str) -> Value {
    let server = IncusServer::shared();
    let site = crate::incus::site::Site::on(server, name, &[]);
    server.must(&["--project", name, "profile", "set", "default", "security.nesting=true"]).unwrap();
    let (alias, guest) = (format!("{name}-golden"), format!("{name}-01"));
    server.must(&["image", "import", &path(built, "incus").to_string_lossy(), "--alias", &alias]).unwrap();
    let shown = server.must(&["query", &format!("/1.0/images/aliases/{alias}")]).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    // Incus' own fingerprint of a unified image is the file's digest.
    let digests = digests(built);
    assert!(digests.contains(&("incus", shown["target"].as_str().unwrap())), "{shown:#} {digests:?}");
    let document = site.up(&guest, &alias, &format!("[guest.readiness]\ntimeout = \"{timeout}\"\n"));
    site.destroy(&[&guest]);
    server.must(&["image", "delete", &alias]).unwrap();
    site.end();
    document
}
