//! A real Docker daemon on this machine for the checks of a guest, with its socket in the guest's root.
//!
//! Debian's own packages, unpacked beside the goldens and not installed; images of a tiny static program by
//! `docker import`. The daemon has its own mount and network namespace and its own cgroup, and nothing outlives it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use firstlight_tests::guest::bare::{cgroup_mount, end_cgroup};
use firstlight_tests::run::Ran;
use firstlight_tests::{paths, run, wait};
use tempfile::TempDir;

/// Ends with the number that it is given; without one it stays.
const PROGRAM: &str = "#include <stdlib.h>\n#include <unistd.h>\n\
    int main(int count, char **words) { if (count < 2) for (;;) pause(); return atoi(words[1]); }\n";

/// `10.77.8.1` on a cable to itself: a swarm wants an address.
const NETWORK: &str = "ip link set lo up && ip link add swarm0 type veth peer name far0 && \
    ip addr add 10.77.8.1/24 dev swarm0 && ip link set swarm0 up && ip link set far0 up";

#[derive(Debug)]
pub(super) struct Docker {
    folder: TempDir,
    socket: PathBuf,
    cgroup: PathBuf,
    programs: PathBuf,
    daemon: Option<Child>,
}

impl Docker {
    /// Starts the daemon with its socket at this path, and waits until it answers.
    pub(super) fn start(socket: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-docker-").tempdir().unwrap();
        let tag = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        let cgroup = cgroup_mount().unwrap().join(&tag);
        for part in ["daemon", "containers"] {
            fs::create_dir_all(cgroup.join(part)).unwrap();
        }
        let mut docker =
            Self { folder, socket: socket.to_owned(), cgroup, programs: programs(), daemon: None };
        let script = format!(
            "echo $$ > \"$1/daemon/cgroup.procs\"; shift; exec unshare --mount --net sh -c \
             'mount --make-rprivate / && umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && \
             {NETWORK} && exec \"$@\"' daemon \"$@\""
        );
        let at = |name: &str| docker.folder.path().join(name);
        let log = File::create(at("log")).unwrap();
        let mut daemon = Command::new("setsid");
        daemon.args(["sh", "-c", &script, "start"]).arg(&docker.cgroup).arg("dockerd");
        daemon.arg("--host").arg(format!("unix://{}", socket.display()));
        daemon
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"));
        daemon.args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2"]);
        daemon.arg(format!("--cgroup-parent=/{tag}/containers")).env("PATH", docker.path());
        daemon.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        docker.daemon = Some(daemon.spawn().unwrap());
        wait::until("the docker daemon", Duration::from_secs(60), || {
            docker.try_run(&["version"]).ok().then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", docker.log()));
        docker
    }

    /// An image with the tiny program, which its `command` runs.
    pub(super) fn import(&self, name: &str, command: &str) {
        let program = self.folder.path().join("program");
        let archive = self.folder.path().join("image.tar");
        if !archive.exists() {
            let source = self.folder.path().join("program.c");
            fs::write(&source, PROGRAM).unwrap();
            run::must(run::command(["cc", "-static", "-Os", "-o"]).arg(&program).arg(&source)).unwrap();
            let mut tar = run::command(["tar", "--create", "--file"]);
            run::must(tar.arg(&archive).arg("-C").arg(self.folder.path()).arg("program")).unwrap();
        }
        self.run(&["import", "--change", &format!("CMD {command}"), archive.to_str().unwrap(), name]);
    }

    /// A command of docker(1) that succeeds; what it printed.
    pub(super) fn run(&self, words: &[&str]) -> String {
        let ran = self.try_run(words);
        assert!(ran.ok(), "docker {words:?}: {}\n{}", ran.said(), self.log());
        ran.stdout
    }

    fn try_run(&self, words: &[&str]) -> Ran {
        let mut client = Command::new(self.programs.join("docker"));
        client.arg("--host").arg(format!("unix://{}", self.socket.display())).args(words);
        run::run(client.env("PATH", self.path())).unwrap()
    }

    fn path(&self) -> String {
        let system = std::env::var("PATH").unwrap_or_default();
        format!("{}:{system}:/usr/sbin:/sbin", self.programs.display())
    }

    fn log(&self) -> String {
        run::tail(&fs::read_to_string(self.folder.path().join("log")).unwrap_or_default(), 20)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let gone = end_cgroup(&self.cgroup, self.daemon.take());
        if let (Err(error), false) = (gone, std::thread::panicking()) {
            panic!("the docker daemon left something: {error}");
        }
    }
}

/// The folder with dockerd, containerd, runc and docker: Debian's packages, fetched once.
fn programs() -> PathBuf {
    let kept = paths::given(paths::GOLDENS_VARIABLE).join("docker");
    let programs = kept.join("programs");
    if !programs.is_dir() {
        let partial = tempfile::Builder::new().prefix("docker-").tempdir_in(kept.parent().unwrap()).unwrap();
        let fetch = || {
            let mut apt = Command::new("apt-get");
            apt.args(["-q", "-o", "APT::Sandbox::User=root", "download", "docker.io", "containerd", "runc"]);
            run::must(apt.current_dir(partial.path()))
        };
        // A fresh machine has no package lists yet.
        fetch()
            .or_else(|_| run::must(&mut run::command(["apt-get", "-qq", "update"])).and_then(|_| fetch()))
            .unwrap();
        fs::create_dir(partial.path().join("programs")).unwrap();
        for entry in fs::read_dir(partial.path()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|name| name == "deb") {
                let mut unpack = run::command(["dpkg-deb", "-x"]);
                run::must(unpack.arg(entry.path()).arg(partial.path())).unwrap();
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for folder in ["usr/bin", "usr/sbin"] {
            for entry in fs::read_dir(partial.path().join(folder)).unwrap().flatten() {
                fs::rename(entry.path(), partial.path().join("programs").join(entry.file_name())).unwrap();
            }
        }
        let _ = fs::rename(partial.keep(), &kept); // another run may have been faster
    }
    assert!(programs.join("dockerd").is_file(), "there is no dockerd in {}", programs.display());
    programs
}
