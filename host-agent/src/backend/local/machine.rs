//! The running guest: its systemd-nspawn, and its PID 1 (the leader).
//!
//! What runs is found by its cgroup alone, which names the guest: no pid is written down, so none can be stale.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use firstlight_shared::paths::CLAIM_CREDENTIAL;
use firstlight_shared::text::escape;

use super::keeper::{Keeper, View};
use super::names::{GuestFolder, Names, netns_file};
use super::remove::remove_tree;
use super::stamp::{self, Standing, file_fault, write_private};
use super::{cgroup, logs};
use crate::backend::Placement;
use crate::outcome::Fault;

/// For the guest's first process to be there; it takes some 50 ms on an idle machine.
const START_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(4);
/// systemd-nspawn keeps its locks and propagation folders there, and leaves them behind when it is killed.
const NSPAWN_FOLDER: &str = "/run/systemd/nspawn";

/// What the keeper calls the guest's processes.
pub(super) fn process(guest: &Placement) -> String {
    Names::process(&guest.plan.name, &guest.job)
}

/// The guest's PID 1, by the host's count, if the guest runs.
pub(super) async fn leader(keeper: &Keeper, guest: &Placement) -> Result<Option<i32>, Fault> {
    let cgroup = keeper.cgroup(&process(guest)).await?;
    Ok(cgroup.and_then(|cgroup| leader_in(&cgroup)))
}

fn leader_in(cgroup: &Path) -> Option<i32> {
    let depth = namespace_pids("self")?.len();
    cgroup::processes(cgroup).into_iter().find(|pid| {
        // PID 1 one PID namespace below ours; containers in the guest are deeper.
        let first = namespace_pids(&pid.to_string());
        first.is_some_and(|pids| pids.len() == depth + 1 && pids.last() == Some(&1)) && has_become_init(*pid)
    })
}

/// `NSpid:` of /proc/PID/status: the process id in each PID namespace, ours first.
fn namespace_pids(pid: &str) -> Option<Vec<i32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// Before it becomes the guest's init, PID 1 is a copy of systemd-nspawn.
fn has_become_init(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| !exe.ends_with("systemd-nspawn"))
}

/// Starts the guest and waits for its PID 1. A guest that runs is left alone.
pub(super) async fn start(keeper: &Keeper, names: &Names, guest: &Placement) -> Result<i32, Fault> {
    if let Some(leader) = leader(keeper, guest).await? {
        return Ok(leader);
    }
    let process = process(guest);
    let folder = names.folder(&guest.plan.name);
    // Half a guest, from a start that was cut short.
    keeper.end(&process).await?;
    still_ours(names, guest)?;
    write_claim(&folder, guest)?;
    still_ours(names, guest)?;
    keeper.launch(&process, View::Pure, &command(names, guest), &folder.console()).await?;

    let deadline = Instant::now() + START_DEADLINE;
    loop {
        let cgroup = keeper.cgroup(&process).await?.filter(|cgroup| cgroup::populated(cgroup));
        let Some(cgroup) = cgroup else { return Err(died(&folder)) };
        if let Some(leader) = leader_in(&cgroup) {
            return Ok(leader);
        }
        if Instant::now() > deadline {
            let message =
                format!("no first process after {} s{}", START_DEADLINE.as_secs(), last_words(&folder));
            return Err(Fault::new("guest-not-started", message));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A companion that was stopped for a while may come here long after its job was undone by another.
pub(super) fn still_ours(names: &Names, guest: &Placement) -> Result<(), Fault> {
    match stamp::standing(names, guest) {
        Standing::Ours => Ok(()),
        Standing::Other(whose) => Err(stamp::foreign(names, guest, &whose)),
        Standing::Free => {
            Err(Fault::new("guest-gone", format!("guest `{}` has no folder any more", guest.plan.name)))
        }
    }
}

fn died(folder: &GuestFolder) -> Fault {
    Fault::new("guest-died", format!("the guest ended while it was started{}", last_words(folder))).with_hint(
        "the whole console is shown by `firstlight show GUEST`; does the golden boot with systemd-nspawn?",
    )
}

fn last_words(folder: &GuestFolder) -> String {
    let lines: Vec<String> = logs::tail(&folder.console(), 5).iter().map(|line| escape(line, 200)).collect();
    if lines.is_empty() { String::new() } else { format!("; its console ends with: {}", lines.join(" / ")) }
}

fn write_claim(folder: &GuestFolder, guest: &Placement) -> Result<(), Fault> {
    let file = folder.claim();
    serde_json::to_vec(&guest.claim)
        .map_err(std::io::Error::other)
        .and_then(|text| write_private(&file, &text))
        .map_err(|error| file_fault("write the claim", &file, &error))
}

/// Ends the guest and removes what starting it made. Repeatable.
pub(super) async fn end(keeper: &Keeper, names: &Names, guest: &Placement) -> Result<(), Fault> {
    keeper.end(&process(guest)).await?;
    // What has no job in its name may be another's by now.
    if matches!(stamp::standing(names, guest), Standing::Other(_)) {
        return Ok(());
    }
    forget_claim(names, guest)?;
    let machine = names.machine(&guest.plan.name);
    // Left by the nspawn that was killed; nothing needs them, and a reboot removes them too.
    for kind in ["propagate", "unix-export"] {
        let _ = remove_tree(&Path::new(NSPAWN_FOLDER).join(kind).join(&machine));
    }
    if let Ok(root) = fs::metadata(names.folder(&guest.plan.name).root()) {
        let lock = format!("inode-{}:{}", root.dev(), root.ino());
        let _ = fs::remove_file(Path::new(NSPAWN_FOLDER).join("locks").join(lock));
    }
    Ok(())
}

pub(super) fn forget_claim(names: &Names, guest: &Placement) -> Result<(), Fault> {
    let file = names.folder(&guest.plan.name).claim();
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file_fault("remove the claim", &file, &error))
        }
        _ => Ok(()),
    }
}

/// Hands the claim in as long as there is one: a guest that reboots when it is ready has none any more.
const WITH_CLAIM: &str = r#"name=$1 claim=$2; shift 2; [ ! -e "$claim" ] || set -- "$@" "--load-credential=$name:$claim"; exec "$@""#;

fn command(names: &Names, guest: &Placement) -> Vec<OsString> {
    let name = &guest.plan.name;
    let folder = names.folder(name);
    let mut line: Vec<OsString> =
        ["sh", "-c", WITH_CLAIM, "sh", CLAIM_CREDENTIAL].map(OsString::from).to_vec();
    line.push(folder.claim().into());
    line.push("systemd-nspawn".into());
    let fixed = [
        "--quiet",
        // No machined needed; whoever started it keeps the cgroup.
        "--register=no",
        "--keep-unit",
        // Nothing but this line decides: no /etc/systemd/nspawn/NAME.nspawn, no files of the host copied in.
        "--settings=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        // No pseudo-terminal that a parent would have to hold.
        "--console=read-only",
        // networkd in the guest sets its own link up.
        "--capability=CAP_NET_ADMIN",
    ];
    line.extend(fixed.map(OsString::from));
    line.push(format!("--machine={}", names.machine(name)).into());
    line.push(format!("--hostname={name}").into());
    line.push(joined("--directory=", folder.root().as_os_str().into()));
    line.push(joined("--network-namespace-path=", netns_file(&names.guest(name)).into()));
    for (index, mount) in guest.plan.mounts.iter().enumerate() {
        let mut option = joined("--bind=", escape_colons(&folder.mount(index)));
        option.push(":");
        option.push(escape_colons(&mount.path));
        line.push(option);
    }
    line.push("--boot".into());
    line
}

fn joined(option: &str, value: OsString) -> OsString {
    let mut word = OsString::from(option);
    word.push(value);
    word
}

/// `--bind=` parts its paths at colons; a backslash keeps one.
fn escape_colons(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) => text.replace('\\', "\\\\").replace(':', "\\:").into(),
        None => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::placement;
    use super::*;
    use crate::backend::Mount;

    #[test]
    fn the_command_line_has_what_the_guest_needs() {
        let names = Names::new("/s".into());
        let mut guest = placement("web-01", "job-1");
        guest.plan.mounts =
            vec![Mount { path: "/mnt/a:b".into(), size_bytes: None, storage: None, backup: None }];
        let line: Vec<String> =
            command(&names, &guest).iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let netns = format!("--network-namespace-path=/run/netns/fl-{}-web-01", names.tag);
        for wanted in [
            "--hostname=web-01",
            "--directory=/s/guests/web-01/root",
            "/s/guests/web-01/claim",
            "--bind=/s/guests/web-01/mounts/0:/mnt/a\\:b",
            netns.as_str(),
        ] {
            assert!(line.iter().any(|word| word == wanted), "{wanted} in {line:?}");
        }
        let secret = hex::encode(guest.claim.secret.as_ref().unwrap().expose());
        assert!(!line.concat().contains(&secret));
    }

    #[test]
    fn this_process_is_no_container_init() {
        let own = namespace_pids("self").unwrap();
        assert!(!own.is_empty());
        assert_eq!(leader_in(Path::new("/no/such/cgroup")), None);
    }
}
