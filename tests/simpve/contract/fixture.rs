//! The clusters that the recordings were made with, as far as they matter.

use firstlight_tests::simpve::access::{CONTAINER_ROLE, MACHINE_ROLE};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::guests::{Script, Scripted};
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::storage::{Archive, Keeping, Storage};
use firstlight_tests::simpve::world::World;

pub(super) const CONTAINER: &str = "arch: amd64\ncores: 1\nfeatures: nesting=1,keyctl=1\nhostname: example-golden\nmemory: 512\n\
    net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth\nostype: debian\n\
    rootfs: local:9100/vm-9100-disk-0.raw,size=4G\nswap: 0\nunprivileged: 1";
const MACHINE: &str = "agent: 1\nboot: order=scsi0\ncores: 1\ndescription: golden vm\nkvm: 0\nmemory: 512\n\
    meta: creation-qemu=10.0.13,ctime=1795263213\nname: golden-vm\nnet0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0\n\
    ostype: l26\nscsi0: qstore:9200/vm-9200-disk-0.raw,size=1536M\nscsihw: virtio-scsi-pci\nserial0: socket\n\
    smbios1: uuid=77250a18-41e2-4b60-9abe-b03dd3b3e545\ntags: golden\nvmgenid: bb70e178-edc1-4b49-8286-a06007f8c528";
const ODD: &str = "agent: 1\nboot: order=scsi0\ndescription: with options a token may not set\nide2: none,media=cdrom\nkvm: 0\n\
    memory: 256\nmeta: creation-qemu=10.0.13,ctime=1795263213\nname: odd-9201\n\
    net0: virtio=BC:24:11:AA:BB:C1,bridge=vmbr0\nonboot: 1\nostype: l26\n\
    scsi0: qstore:9201/vm-9201-disk-0.raw,discard=on,size=64M\nscsihw: virtio-scsi-pci\n\
    smbios1: base64=1,serial=R09MREVO\nstartup: order=3\ntags: golden\nvmgenid: bb70e178-edc1-4b49-8286-a06007f8c528";
const BAKED: &str = "affinity: 0\nagent: 1\nargs: -device virtio-rng-pci\nboot: order=scsi0\n\
    hookscript: local:snippets/nosuch.pl\nkvm: 0\nmemory: 256\nname: odd-9203\n\
    net0: virtio=BC:24:11:AA:BB:C1,bridge=vmbr0\nonboot: 1\nprotection: 1\n\
    scsi0: qstore:9203/vm-9203-disk-0.raw,discard=on,size=64M\nscsihw: virtio-scsi-pci\n\
    smbios1: uuid=99999999-0000-4000-8000-000000000001,base64=1,serial=R09MREVO\nstartup: order=3\ntemplate: 1\n\
    vmgenid: bb70e178-edc1-4b49-8286-a06007f8c528";

/// What both recordings have.
fn base() -> World {
    let mut world = World::new(Profile::measured(), 7, 1_795_259_766);
    world.add_node("pve1", "10.78.0.1");
    let content = ["backup", "images", "rootdir", "iso", "snippets", "vztmpl"];
    for (name, path) in [("local", "/var/lib/vz"), ("vault", "/var/lib/vault"), ("qstore", "/var/lib/qstore")]
    {
        world.storages.insert(name.into(), Storage::new(Keeping::Dir, path, &content));
    }
    world.access.role("Firstlight", &CONTAINER_ROLE);
    world.access.role("Machines", &[&CONTAINER_ROLE[..], &MACHINE_ROLE[..]].concat());
    world.access.role("Audit", &["VM.Audit", "Sys.Audit", "Datastore.Audit"]);
    world.access.role("Backup", &["VM.Backup"]);
    for id in ["example@pve!host", "example@pve!noacl", "audit@pve!tok", "bare@pve!tok", "nosdn@pve!tok"] {
        world.access.token(id, "secret");
    }
    world.access.grant_both("/", "example@pve!host", "Firstlight");
    world.access.grant_both("/", "audit@pve!tok", "Audit");
    world.access.grant("/", "bare@pve!tok", "Firstlight");
    let without_sdn: Vec<&str> = CONTAINER_ROLE.into_iter().filter(|one| *one != "SDN.Use").collect();
    world.access.role("NoSdn", &without_sdn);
    world.access.grant_both("/", "nosdn@pve!tok", "NoSdn");
    world
}

fn script(world: &mut World, id: u32, change: impl FnOnce(&mut Script)) {
    let mut scripted = Scripted::of(&world.profile);
    let mut own = scripted.script.clone();
    change(&mut own);
    scripted.scripts.insert(id, own);
    world.machines = Box::new(scripted);
}

fn pool(world: &mut World, token: &str, pool: &str, storages: &[&str], extra: &[&str]) {
    world.access.token(token, "secret");
    let mut role = vec!["Pool.Audit"];
    role.extend(CONTAINER_ROLE.into_iter().filter(|one| one.starts_with("VM.") && !one.contains("Snapshot")));
    role.extend(extra);
    world.access.role("PoolUser", &role);
    world.access.role("Store", &["Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.Audit"]);
    world.access.role("Net", &["SDN.Use"]);
    world.access.grant_both(&format!("/pool/{pool}"), token, "PoolUser");
    storages.iter().for_each(|name| world.access.grant_both(&format!("/storage/{name}"), token, "Store"));
    world.access.grant_both("/sdn/zones/localnetwork", token, "Net");
    world.pools.entry(pool.into()).or_default();
}

pub(super) fn containers() -> World {
    let mut world = base();
    world.storages.remove("qstore");
    script(&mut world, 147, |script| script.fails = Some("no init".into()));
    pool(&mut world, "pooled@pve!tok", "example", &["local"], &[]);
    world.access.token("mini@pve!tok", "secret");
    let mini = [
        "VM.Allocate",
        "VM.Audit",
        "VM.PowerMgmt",
        "VM.Config.Disk",
        "VM.Config.Network",
        "VM.Config.Options",
        "Datastore.AllocateSpace",
        "Datastore.Audit",
        "SDN.Use",
    ];
    world.access.role("Mini", &mini);
    world.access.grant_both("/", "mini@pve!tok", "Mini");
    add_container_archives(&mut world);
    world
}

fn add_container_archives(world: &mut World) {
    world.archives.insert("local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst".into(), Archive::template());
    let mount = "\nmp0: local:9101/vm-9101-disk-1.raw,mp=/data,backup=1,size=1G";
    let variants = [
        (9100, "11_14_04", String::new()),
        (9101, "12_00_00", format!("{mount}\nlxc.mount.entry: /srv srv none bind,optional 0 0")),
        (9104, "12_00_00", String::new()),
        (9105, "12_00_00", String::new()),
        (9106, "12_00_00", "\nprotection: 1\nonboot: 1\nenv: BAKED=1".into()),
    ];
    for (id, time, more) in variants {
        let mut archive = Archive::new(Kind::Lxc, id, &format!("{CONTAINER}{more}"));
        archive.broken = id == 9105;
        if id == 9104 {
            archive.config.remove("unprivileged");
        }
        let volume = format!(
            "local:backup/vzdump-lxc-{id}-2026_11_21-{}.tar.zst",
            if id == 9100 { "11_14_04" } else { time }
        );
        world.archives.insert(volume, archive);
    }
}

pub(super) fn machines() -> World {
    let mut world = base();
    world.began = 1_795_263_445;
    // Nothing runs in it: an empty disk.
    script(&mut world, 300, |script| (script.address, script.agent) = (None, None));
    for (id, privileges) in [
        ("felq@pve!host", &[] as &[&str]),
        ("felqna@pve!host", &["VM.GuestAgent"]),
        ("felqga@pve!host", &["VM.GuestAgent.File", "VM.GuestAgent.Unrestricted"]),
        ("felqfr@pve!host", &["VM.GuestAgent.Unrestricted"]),
        ("felqnp@pve!host", &["VM.PowerMgmt"]),
    ] {
        let all = [&CONTAINER_ROLE[..], &MACHINE_ROLE[..]].concat();
        let role: Vec<&str> = all
            .into_iter()
            .filter(|one| !privileges.iter().any(|without| one.starts_with(without)))
            .collect();
        world.access.role(id, &role);
        world.access.token(id, "secret");
        world.access.grant_both("/", id, id);
    }
    world
        .access
        .role("Minimal", &["VM.Allocate", "VM.Audit", "VM.Backup", "Datastore.AllocateSpace", "SDN.Use"]);
    world.access.token("felqmin@pve!host", "secret");
    world.access.grant_both("/", "felqmin@pve!host", "Minimal");
    world.access.token("root@pam!rig", "secret");
    world.access.unseparate("root@pam!rig");
    pool(&mut world, "poolq@pve!tok", "exampleq", &["local"], &MACHINE_ROLE);
    add_machine_archives(&mut world);
    let lxc = "local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst";
    world.archives.insert(lxc.into(), Archive::new(Kind::Lxc, 9100, CONTAINER));
    world.put_guest(101, Kind::Lxc, "pve1", &[("hostname", "unit-101"), ("memory", "512"), ("tags", "x")]);
    world.put_guest(
        9200,
        Kind::Qemu,
        "pve1",
        &[("name", "golden-vm"), ("memory", "512"), ("tags", "golden")],
    );
    world
}

fn add_machine_archives(world: &mut World) {
    let archives = [(9200, MACHINE), (9201, ODD), (9202, ODD), (9203, BAKED), (9204, BAKED), (9205, MACHINE)];
    for (id, config) in archives {
        let mut archive = Archive::new(Kind::Qemu, id, config);
        let sizes = [(9201, 2807), (9202, 2705), (9205, 60_000)];
        archive.size = sizes.iter().find(|(one, _)| *one == id).map_or(113_929_154, |(_, size)| *size);
        archive.made = 1_795_262_400;
        archive.broken = id == 9205;
        match id {
            9201 => drop(archive.config.insert("usb0".into(), "host=1234:5678".into())),
            9204 => {
                archive.config.insert("net0".into(), "virtio=BC:24:11:AA:BB:C1,bridge=vmbr9".into());
                for key in ["args", "affinity", "hookscript", "template", "protection"] {
                    archive.config.remove(key);
                }
            }
            _ => {}
        }
        world.archives.insert(format!("qstore:backup/vzdump-qemu-{id}-2026_11_21-12_00_00.vma.zst"), archive);
    }
}
