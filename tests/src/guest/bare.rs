//! A golden booted without any of our host side: systemd-nspawn, a network namespace, nothing else.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Boot, Leader, Plug};
use crate::{run, wait};

/// A root folder unpacked from a golden, which may be booted again and again.
#[derive(Debug)]
pub struct Root {
    folder: TempDir,
}

impl Root {
    pub fn unpack(golden: &Path) -> Result<Self> {
        let root = Self::empty()?;
        run::must(
            run::command(["tar", "--extract", "--numeric-owner", "--file"])
                .arg(golden)
                .arg("-C")
                .arg(root.path()),
        )?;
        Ok(root)
    }

    /// For somebody who fills it.
    pub fn empty() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("firstlight-bare-").tempdir()?;
        let root = Self { folder };
        fs::create_dir(root.path())?;
        Ok(root)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A second root with the same content to the byte, as a clone by the storage is.
    pub fn copy(&self) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("firstlight-bare-").tempdir()?;
        run::must(
            run::command(["cp", "--archive", "--reflink=auto"])
                .arg(self.path())
                .arg(folder.path().join("root")),
        )?;
        Ok(Self { folder })
    }

    /// Boots it under this host name.
    pub fn boot(&self, name: &str) -> Result<Booted> {
        self.boot_as(&Boot::named(name))
    }

    /// Boots it with every right, so that it can run guests of its own.
    pub fn boot_as_host(&self, name: &str) -> Result<Booted> {
        self.boot_as(&Boot::named(name).as_host())
    }

    /// Boots it in this way.
    pub fn boot_as(&self, boot: &Boot) -> Result<Booted> {
        let tag = self.folder.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let namespace = format!("flbare{}", tag.trim_start_matches("firstlight-bare-"));
        run::must(&mut run::command(["ip", "netns", "add", &namespace]))?;
        let mut booted = Booted {
            namespace: namespace.clone(),
            cgroup: cgroup_mount()?.join(tag),
            console: self.folder.path().join("console.log"),
            root: self.path(),
            nspawn: None,
        };
        booted.start(boot, &boot.arguments(self.folder.path())?)?;
        Ok(booted)
    }
}

/// A running bare guest; dropping it kills it and removes what it used.
#[derive(Debug)]
pub struct Booted {
    namespace: String,
    cgroup: PathBuf,
    console: PathBuf,
    root: PathBuf,
    nspawn: Option<Child>,
}

impl Booted {
    fn start(&mut self, boot: &Boot, arguments: &[String]) -> Result<()> {
        self.make_network(boot)?;
        fs::create_dir_all(&self.cgroup).context("the guest's cgroup cannot be made")?;
        let console = File::create(&self.console)?;
        // A private mount namespace shows nspawn a pure cgroup2, also on a hybrid machine.
        let script = r#"echo $$ > "$1/cgroup.procs"; shift; exec unshare -m sh -c 'mount --make-rprivate /
            umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"' nspawn "$@""#;
        let mut nspawn = Command::new("setsid");
        nspawn.args(["sh", "-c", script, "boot"]).arg(&self.cgroup);
        nspawn.arg("env").args(boot.environment()).args([
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--console=read-only",
            "-b",
        ]);
        nspawn.arg(match boot.own_network {
            true => "--private-network".to_owned(),
            false => format!("--network-namespace-path=/run/netns/{}", self.namespace),
        });
        nspawn.arg("-D").arg(&self.root).args(arguments);
        nspawn.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        self.nspawn = Some(nspawn.spawn().context("systemd-nspawn cannot be started")?);
        Ok(())
    }

    /// A cable from the guest to itself: not every kernel has dummy links.
    fn make_network(&self, boot: &Boot) -> Result<()> {
        if !boot.ipv6 {
            for name in ["all", "default", "lo"] {
                let variable = format!("net.ipv6.conf.{name}.disable_ipv6=1");
                let words =
                    ["ip", "netns", "exec", &self.namespace, "sysctl", "--quiet", "--write", &variable];
                run::must(&mut run::command(words))?;
            }
        }
        run::must(run::command(["ip", "-n", &self.namespace]).args(["link", "set", "lo", "up"]))?;
        if let Some(plug) = &boot.plug {
            return self.plug(plug, &boot.mac);
        }
        let add = format!("link add eth0 address {} type veth peer name far0", boot.mac);
        let address = "addr add 10.77.9.2/24 dev eth0";
        let cable: &[&str] = &[&add, address, "link set eth0 up", "link set far0 up"];
        for words in &cable[..if boot.cable { cable.len() } else { 1 }] {
            run::must(run::command(["ip", "-n", &self.namespace]).args(words.split(' ')))?;
        }
        Ok(())
    }

    fn plug(&self, plug: &Plug, mac: &str) -> Result<()> {
        let far = "by-hand";
        let Plug { namespace, bridge, address, gateway } = plug;
        for (place, words) in [
            (
                &self.namespace,
                format!("link add eth0 address {mac} type veth peer name {far} netns {namespace}"),
            ),
            (namespace, format!("link set {far} master {bridge} up")),
            (&self.namespace, format!("addr add {address}/24 dev eth0")),
            (&self.namespace, "link set eth0 up".to_owned()),
            (&self.namespace, format!("route add default via {gateway}")),
        ] {
            run::must(run::command(["ip", "-n", place]).args(words.split(' ')))?;
        }
        Ok(())
    }

    /// The name of its network namespace, for `ip netns exec`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn leader(&self) -> Result<Leader> {
        Leader::wait_for(&self.root).with_context(|| format!("its console says:\n{}", self.console()))
    }

    /// The leader, once systemd in the guest has settled, and how.
    pub fn settled(&self) -> Result<(Leader, String)> {
        let leader = self.leader()?;
        let state = leader.settled().with_context(|| format!("its console says:\n{}", self.console()))?;
        Ok((leader, state))
    }

    /// Its last lines, for messages.
    pub fn console(&self) -> String {
        run::tail(&self.whole_console(), 30)
    }

    pub fn whole_console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Runs this in the guest's network, on a thread of its own.
    pub fn in_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<Result<T>> {
        let path = Path::new("/run/netns").join(&self.namespace);
        std::thread::spawn(move || {
            nix::sched::setns(File::open(path)?, nix::sched::CloneFlags::CLONE_NEWNET)
                .context("the guest's network cannot be entered")?;
            Ok(work())
        })
    }

    /// Waits until sshd greets, seen from inside the guest's network.
    pub fn await_ssh(&self) -> Result<()> {
        let namespace = self.namespace.clone();
        let greeting = std::thread::spawn(move || ssh_greets(&namespace)).join();
        greeting.map_err(|_| anyhow::anyhow!("the thread that waits for ssh died"))?
    }

    /// Shuts the guest down in order, as a hypervisor's reboot does.
    pub fn shut_down(mut self) -> Result<()> {
        let leader = self.leader()?;
        let _ = leader.run(&["/usr/bin/systemctl", "poweroff"])?; // the answer may come too late to be read
        let mut nspawn = self.nspawn.take().context("the guest was never started")?;
        wait::until("the guest to shut down", Duration::from_secs(60), || nspawn.try_wait().ok().flatten())?;
        Ok(())
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let gone = end_cgroup(&self.cgroup, self.nspawn.take());
        let _ = run::run(&mut run::command(["ip", "netns", "del", &self.namespace]));
        // A systemd-nspawn that is killed leaves the lock on its root behind.
        if let Ok(root) = fs::metadata(&self.root) {
            use std::os::unix::fs::MetadataExt as _;
            let lock = format!("/run/systemd/nspawn/locks/inode-{}:{}", root.dev(), root.ino());
            let _ = fs::remove_file(lock);
        }
        if let (Err(error), false) = (gone, std::thread::panicking()) {
            panic!("a bare guest left something: {error}");
        }
    }
}

/// Network namespaces belong to threads: this one enters the guest's and ends with it.
fn ssh_greets(namespace: &str) -> Result<()> {
    use std::io::Read as _;
    let file = File::open(Path::new("/run/netns").join(namespace))?;
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)
        .context("the guest's network cannot be entered")?;
    wait::until("sshd's greeting", Duration::from_secs(60), || {
        let address = SocketAddr::from(([127, 0, 0, 1], 22));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).ok()?;
        (&greeting == b"SSH-").then_some(())
    })
}

/// Where the cgroup2 hierarchy is mounted.
pub fn cgroup_mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts cannot be read")?;
    let cgroup2 = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let folder = words.nth(1)?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(folder))
    });
    cgroup2.context("no cgroup2 hierarchy is mounted")
}

/// Ends everything in a cgroup, and waits until `child` is reaped and the cgroup is gone.
pub fn end_cgroup(cgroup: &Path, child: Option<Child>) -> Result<()> {
    let _ = fs::write(cgroup.join("cgroup.kill"), "1");
    if let Some(mut child) = child {
        let _ = child.wait();
    }
    wait::until("an empty cgroup", Duration::from_secs(20), || remove_tree(cgroup).then_some(()))
}

/// Removes an empty cgroup and those below it; whether it is gone.
fn remove_tree(cgroup: &Path) -> bool {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
    !cgroup.exists()
}
