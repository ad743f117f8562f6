//! A cluster to try things with: nodes, one storage of each sort, goldens, and a token with the rights of a bring-up.

use super::access::{CONTAINER_ROLE, MACHINE_ROLE};
use super::guest::Kind;
use super::profile::Profile;
use super::storage::{Archive, Keeping, Storage};
use super::world::World;

/// The token of the example.
pub const TOKEN: &str = "firstlight@pve!host";
/// Another one, with rights on [`POOL`] alone and on what its guests need; see [`add_small_token`].
pub const SMALL_TOKEN: &str = "small@pve!host";
pub const POOL: &str = "lab";
pub const SECRET: &str = "00000000-1111-2222-3333-444444444444";
pub const CONTAINER_GOLDEN: &str = "local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst";
pub const MACHINE_GOLDEN: &str = "local:backup/vzdump-qemu-9200-2026_11_21-12_00_00.vma.zst";
/// The same container on a backup server.
pub const BACKUP_SERVER_GOLDEN: &str = "pbs:backup/ct/9100/2026-11-21T11:14:04Z";

const CONTAINER: &str = "arch: amd64
cores: 1
features: nesting=1,keyctl=1
hostname: golden
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth
ostype: debian
rootfs: local:9100/vm-9100-disk-0.raw,size=4G
swap: 0
unprivileged: 1";
const MACHINE: &str = "agent: 1
boot: order=scsi0
cores: 1
memory: 512
meta: creation-qemu=10.0.13,ctime=1795263213
name: golden-vm
net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0
ostype: l26
scsi0: local:9200/vm-9200-disk-0.raw,size=1536M
scsihw: virtio-scsi-pci
serial0: socket
smbios1: uuid=77250a18-41e2-4b60-9abe-b03dd3b3e545
vmgenid: bb70e178-edc1-4b49-8286-a06007f8c528";

/// Nodes `pve1`, `pve2` and so on; storages `local` and `slow` (folders), `thin` and `local-lvm` (LVM-thin), `vault` (a folder
/// for backups only) and `pbs` (a backup server); a pool `lab` without guests.
pub fn cluster(nodes: u8, profile: Profile, seed: u64, began: u64) -> World {
    let mut world = World::new(profile, seed, began);
    for number in 1..=nodes {
        world.add_node(&format!("pve{number}"), &format!("10.78.0.{number}"));
    }
    let storages = [
        (
            "local",
            Storage::new(
                Keeping::Dir,
                "/var/lib/vz",
                &["backup", "images", "iso", "rootdir", "snippets", "vztmpl"],
            ),
        ),
        ("thin", Storage::new(Keeping::LvmThin, "/dev/pve", &["images", "rootdir"])),
        ("local-lvm", Storage::new(Keeping::LvmThin, "/dev/pve-data", &["images", "rootdir"])),
        ("slow", Storage::new(Keeping::Dir, "/mnt/slow", &["images", "rootdir"])),
        ("vault", Storage::new(Keeping::Dir, "/mnt/vault", &["backup"])),
        ("pbs", Storage::new(Keeping::Backups, "/", &["backup"])),
    ];
    world.storages.extend(storages.map(|(name, storage)| (name.to_owned(), storage)));
    let archives = [
        (CONTAINER_GOLDEN, Kind::Lxc, 9100, CONTAINER),
        (BACKUP_SERVER_GOLDEN, Kind::Lxc, 9100, CONTAINER),
        (MACHINE_GOLDEN, Kind::Qemu, 9200, MACHINE),
    ];
    for (volume, kind, id, config) in archives {
        world.archives.insert(volume.into(), Archive::new(kind, id, config));
    }
    let role = [&CONTAINER_ROLE[..], &MACHINE_ROLE[..], &["Pool.Audit"]].concat();
    world.access.role("Firstlight", &role);
    world.access.token(TOKEN, SECRET);
    world.access.grant_both("/", TOKEN, "Firstlight");
    world.pools.entry(POOL.into()).or_default();
    world
}

/// Rights on one pool, on storages, bridges and the goldens' guests: the token sees no guest of others.
pub fn add_small_token(world: &mut World) {
    let of_guests = [&CONTAINER_ROLE[..], &MACHINE_ROLE[..], &["Pool.Audit"]].concat();
    let of_guests: Vec<&str> =
        of_guests.into_iter().filter(|one| one.starts_with("VM.") || one.starts_with("Pool.")).collect();
    world.access.token(SMALL_TOKEN, SECRET);
    for (role, privileges, paths) in [
        ("SmallGuests", &of_guests[..], vec![format!("/pool/{POOL}")]),
        ("SmallStorage", &["Datastore.AllocateSpace", "Datastore.Audit"], vec!["/storage".to_owned()]),
        ("SmallNetwork", &["SDN.Use"], vec!["/sdn/zones/localnetwork".to_owned()]),
        ("SmallGoldens", &["VM.Backup"], vec!["/vms/9100".to_owned(), "/vms/9200".to_owned()]),
    ] {
        world.access.role(role, privileges);
        paths.iter().for_each(|path| world.access.grant_both(path, SMALL_TOKEN, role));
    }
}
