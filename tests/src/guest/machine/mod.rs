//! A golden as a virtual machine: QEMU without KVM, SMBIOS, virtio ports and guest agent as Proxmox sets them; a network only
//! where it is asked for, behind QEMU's own NAT, from where this machine is 10.0.2.2.
//!
//! The kernel is booted directly, without an initrd. A disk is an overlay of the golden's, with a layer for each boot.
//! A shell on a port of the rig's own answers questions inside.

mod agent;
mod port;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use firstlight_shared::wire::{Ack, Envelope, Opened};
use tempfile::TempDir;

pub use self::agent::Agent;
use self::port::Port;
use crate::golden::image;
use crate::rig::terminate;
use crate::{run, wait};

/// A whole boot under emulation takes 15 to 35 seconds on an idle machine, and many times that on a busy one.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
/// In seconds: one boot, and some shells, each of which may take as long as a boot.
const MACHINE_LIMIT: &str = "2400";
/// How often a boot is begun anew because the emulator lost a timer.
const STALLS: usize = 2;
/// The shell of the rig; systemd takes units as credentials since version 256.
const SHELL_UNIT: &str = "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=200ms\n\
    ExecStart=/bin/sh -c 'until test -c /dev/virtio-ports/org.firstlight.rig; do sleep 0.2; done; exec sh <>/dev/virtio-ports/org.firstlight.rig >&0 2>&1'\n";
const ALONE: &str = "systemd.unit-dropin.firstlight-report.service";
/// In a machine without a card nobody waits for its network.
const NO_NETWORK: &str = "[Service]\nExecStartPre=+/bin/sh -c \"mkdir -p /etc/firstlight/checks.d; echo \\\"check = [{ id = 'network', \
    kind = 'network', severity = 'advisory', deadline = '1s' }]\\\" > /etc/firstlight/checks.d/network.toml\"\n";

/// What the hypervisor sets for one boot.
#[derive(Debug, Clone, Default)]
pub struct Hardware {
    /// SMBIOS product uuid.
    pub uuid: String,
    /// SMBIOS product serial.
    pub serial: Option<String>,
    /// Name and text, as SMBIOS strings of type 11.
    pub credentials: Vec<(String, String)>,
    /// The generation id, a uuid.
    pub vmgenid: Option<String>,
    /// More words for the kernel's command line.
    pub kernel_words: String,
    /// A card on a network of its own.
    pub card: Option<Card>,
}

#[derive(Debug, Clone)]
pub struct Card {
    pub mac: String,
    /// Below 10.0.2.0/24, as the machine gets it by DHCP.
    pub address: String,
}

/// A disk of its own, over the golden's.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
    goldens: PathBuf,
    /// What the last boot left; the golden's disk before the first one.
    layer: PathBuf,
    /// What the boot before that left.
    below: PathBuf,
    boots: usize,
}

impl Disk {
    pub fn new(goldens: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("firstlight-vm-").tempdir()?;
        let layer = image::disk(goldens);
        Ok(Self { folder, goldens: goldens.to_owned(), below: layer.clone(), layer, boots: 0 })
    }

    /// Starts the machine, and waits for its report on the port org.firstlight.0.
    ///
    /// A kernel that says that it stalls before that has lost a timer of the emulator's, which says nothing about the
    /// guest: the boot is begun anew from what the boot before it left. The last attempt has all the time there is.
    pub fn boot(&mut self, hardware: &Hardware) -> Result<(Machine, Envelope, Opened)> {
        let mut machine = self.begin(hardware)?;
        for attempt in 0.. {
            if let Some((envelope, opened)) = machine.await_report(attempt == STALLS)? {
                return Ok((machine, envelope, opened));
            }
            eprintln!("the emulated machine stalls after {:.0} s; anew", machine.age().as_secs_f64());
            drop(machine);
            machine = self.begin_anew(hardware)?;
        }
        bail!("no attempt was the last one")
    }

    /// Starts the machine, and waits for nothing.
    pub fn begin(&mut self, hardware: &Hardware) -> Result<Machine> {
        self.boots += 1;
        let layer = self.folder.path().join(format!("boot-{}.qcow2", self.boots));
        self.below = std::mem::replace(&mut self.layer, layer);
        self.begin_anew(hardware)
    }

    /// As the last one was begun, from what the boot before it left.
    fn begin_anew(&mut self, hardware: &Hardware) -> Result<Machine> {
        let format = if self.boots == 1 { "raw" } else { "qcow2" };
        let mut layer = run::command(["qemu-img", "create", "-q", "-f", "qcow2", "-F", format, "-b"]);
        run::must(layer.args([&self.below, &self.layer]))?;
        self.start(hardware)
    }

    /// It is booting when this returns.
    fn start(&self, hardware: &Hardware) -> Result<Machine> {
        let folder = self.folder.path();
        let console = folder.join("console.log");
        let talk = File::create(folder.join("qemu.log"))?;
        let mut qemu = Command::new("timeout");
        // Should this process be killed, the machine does not run for ever.
        qemu.args(["--kill-after=5", MACHINE_LIMIT, "qemu-system-x86_64"]);
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        match &hardware.card {
            None => qemu.args(["-nic", "none"]),
            Some(Card { mac, address }) => qemu
                .args(["-netdev", &format!("user,id=net,dhcpstart={address}")])
                .args(["-device", &format!("virtio-net-pci,netdev=net,mac={mac}")]),
        };
        // Its clock counts its instructions, 2 ns each, and the host's time only where it sleeps: on a busy host it is slow, and no
        // unit of it runs into a time limit.
        qemu.args(["-icount", "shift=1"]);
        // One CPU: a second one makes an idle machine's boot 6 s shorter, and on a busy machine it loses its timer now and
        // then ("rcu_preempt detected stalls on CPUs/tasks ... Possible timer handling issue").
        qemu.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "768"]);
        qemu.arg("-kernel").arg(image::kernel(&self.goldens));
        // An emulated timer comes late on a busy machine, and the kernel panics over it ("IO-APIC + timer doesn't work");
        // a panic ends the machine, so that nobody waits for it.
        let words = format!(
            "root=/dev/nvme0n1 rw console=ttyS0 quiet no_timer_check panic=-1 mitigations=off systemd.wants=rig.service {}",
            hardware.kernel_words
        );
        qemu.args(["-append", &words]);
        let option =
            |name: &str, path: &Path| format!("{name}{}", path.display().to_string().replace(',', ",,"));
        // The kernel has NVMe built in: it finds its root without an initrd.
        qemu.args(["-drive", &option("if=none,id=disk,format=qcow2,file=", &self.layer)]);
        qemu.args(["-device", "nvme,drive=disk,serial=firstlight"]);
        qemu.args(["-serial", &option("file:", &console)]);
        qemu.args(["-device", "virtio-serial-pci"]);
        for (name, known) in
            [("0", "org.firstlight.0"), ("rig", "org.firstlight.rig"), ("agent", "org.qemu.guest_agent.0")]
        {
            let socket = folder.join(format!("port-{name}.sock"));
            let _ = fs::remove_file(&socket); // of an earlier boot
            let chardev = option(&format!("socket,server=on,wait=off,id=port{name},path="), &socket);
            qemu.args(["-chardev", &chardev]);
            qemu.args(["-device", &format!("virtserialport,chardev=port{name},name={known}")]);
        }
        let serial = hardware.serial.as_deref().unwrap_or("none");
        qemu.args(["-smbios", &format!("type=1,uuid={},serial={}", hardware.uuid, escaped(serial))]);
        let shell = [("systemd.extra-unit.rig.service", SHELL_UNIT)];
        let alone = hardware.card.is_none().then_some((ALONE, NO_NETWORK));
        let given = hardware.credentials.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        for (name, text) in given.chain(shell).chain(alone) {
            let value = escaped(&format!("io.systemd.credential:{name}={text}"));
            qemu.args(["-smbios", &format!("type=11,value={value}")]);
        }
        if let Some(id) = &hardware.vmgenid {
            qemu.args(["-device", &format!("vmgenid,guid={id}")]);
        }
        qemu.stdin(Stdio::null()).stdout(talk.try_clone()?).stderr(talk);
        let started = Instant::now();
        let qemu = qemu.spawn().context("timeout cannot be started")?;
        let mut machine =
            Machine { qemu, console, talk: folder.join("qemu.log"), started, ports: None, agent: None };
        machine.ports = Some((machine.connect(folder, "0")?, machine.connect(folder, "rig")?));
        machine.agent = Some(Agent::of(machine.connect(folder, "agent")?));
        Ok(machine)
    }
}

/// Commas stand doubled in QEMU's options.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// A running machine; dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    console: PathBuf,
    talk: PathBuf,
    started: Instant,
    ports: Option<(Port, Port)>,
    agent: Option<Agent>,
}

impl Machine {
    fn connect(&mut self, folder: &Path, name: &str) -> Result<Port> {
        let socket = folder.join(format!("port-{name}.sock"));
        let connected = wait::until("QEMU's socket", Duration::from_secs(20), || {
            let ended = self.qemu.try_wait().ok().flatten().is_some();
            UnixStream::connect(&socket).map(Some).ok().or(ended.then_some(None))
        })?;
        let said = fs::read_to_string(&self.talk).unwrap_or_default();
        let stream = connected.with_context(|| format!("QEMU ended at once: {said}"))?;
        Port::of(stream)
    }

    /// Its QEMU guest agent.
    pub fn agent(&mut self) -> Result<&mut Agent> {
        self.agent.as_mut().context("the machine has no port for an agent")
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.qemu.try_wait(), Ok(None))
    }

    /// Everything on the serial console so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until the console shows a text.
    pub fn await_console(&self, text: &str) -> Result<()> {
        wait::until(&format!("`{text}` on the console"), BOOT_LIMIT, || {
            self.console().contains(text).then_some(())
        })
        .with_context(|| run::tail(&self.console(), 40))
    }

    /// None: the machine stalls, and no `patience` is to be had with that.
    fn await_report(&mut self, patience: bool) -> Result<Option<(Envelope, Opened)>> {
        let console = || String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned();
        let (port, _) = self.ports.as_mut().context("the machine has no ports")?;
        let deadline = Instant::now() + BOOT_LIMIT;
        loop {
            let Some(line) = port.poll().with_context(|| run::tail(&console(), 40))? else {
                let said = console();
                // "detected stalls on CPUs/tasks", "self-detected stall on CPU"
                if !patience && said.contains("detected stall") {
                    return Ok(None);
                }
                ensure!(Instant::now() < deadline, "no report in time\n{}", run::tail(&said, 40));
                continue;
            };
            if let Ok(envelope) = Envelope::parse(line.as_bytes()) {
                let opened = envelope.open().context("a report that does not verify")?;
                return Ok(Some((envelope, opened)));
            }
            ensure!(line.trim().is_empty(), "the guest sent what is no report: {line}");
        }
    }

    /// Writes to the guest on the port org.firstlight.0.
    pub fn say(&mut self, text: &str) -> Result<()> {
        let (port, _) = self.ports.as_mut().context("the machine has no ports")?;
        Ok(port.stream.write_all(text.as_bytes())?)
    }

    /// Acknowledges a report there.
    pub fn acknowledge(&mut self, opened: &Opened) -> Result<()> {
        let ack = Ack {
            version: 1,
            report_sha256: opened.sha256.clone(),
            accepted_at_ms: 1,
            host_certificates: vec![],
        };
        self.say(&format!("{}\n", serde_json::to_string(&ack)?))
    }

    /// Runs a line of shell in the guest and gives what it printed, without the last line end.
    pub fn shell(&mut self, script: &str) -> Result<String> {
        let (_, port) = self.ports.as_mut().context("the machine has no ports")?;
        let (mark, deadline) = ("=== end of answer", Instant::now() + BOOT_LIMIT);
        port.stream.write_all(format!("{{ {script}\n}} 2>&1; echo; echo \"{mark} $?\"\n").as_bytes())?;
        let mut said = String::new();
        loop {
            let line = port.line(deadline).with_context(|| format!("`{script}` said:\n{said}"))?;
            match line.strip_prefix(mark) {
                Some(code) if code.trim() == "0" => return Ok(said.trim_end().to_owned()),
                Some(code) => bail!("`{script}` ended with{}:\n{said}", code.trim_end()),
                None => said.push_str(&line),
            }
        }
    }

    /// Powers the guest off in order and waits for its end.
    pub fn shut_down(mut self) -> Result<()> {
        self.shell("systemctl --no-block poweroff")?;
        wait::until("the machine to power off", BOOT_LIMIT, || self.qemu.try_wait().ok().flatten())
            .with_context(|| run::tail(&self.console(), 40))?;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        terminate(self.qemu.id()); // `timeout` hands it on
        let _ = self.qemu.wait();
    }
}
