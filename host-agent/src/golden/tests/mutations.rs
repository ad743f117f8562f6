//! Goldens that somebody changed: any byte, before it is packed and after, any end, any line of a configuration. They are told or
//! judged, and no more of them is read than allowed.

use std::io::Write as _;
use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::collect::Limits;
use super::super::finding::Target;
use super::super::place::INDEX;
use super::super::read::{self, MACHINE_CONFIG};
use super::super::testing::Image;
use super::super::{lint, rules};
use crate::backend::proxmox::client::endpoint::node::is_section;

const LIMITS: Limits = Limits { bytes: 4 << 20, entries: 2000 };
/// Where headers are.
const HEAD: usize = 24 << 10;

/// One golden of each form.
fn forms() -> &'static [Vec<u8>] {
    static FORMS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FORMS.get_or_init(|| {
        let configured = Image::sealed().file(
            "etc/vzdump/pct.conf",
            "features: nesting=1\nnet0: name=eth0,hwaddr=BC:24:11:00:00:01,ip=dhcp\nmp0: local:1,mp=/x,size=1G\n",
        );
        let index = "name: t1\nconfig:\n  container:\n    config:\n      volatile.eth0.hwaddr: 10:66:6a:00:00:01\n";
        let mut export = tar::Builder::new(Vec::new());
        Image::default().file(INDEX, index).append(&mut export, "");
        Image::sealed().append(&mut export, "backup/container/rootfs/");
        let (raw, qcow2) = read::disks_of(&Image::sealed());
        let machine = read::vma_of("args: -x\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n");
        vec![configured.tar("./"), export.into_inner().unwrap(), machine, raw, qcow2]
    })
}

#[derive(Debug, Clone, Copy)]
enum Packed {
    Plain,
    Gzip,
    Zstandard,
    Xz,
}

fn packed(bytes: &[u8], how: Packed) -> Vec<u8> {
    match how {
        Packed::Plain => bytes.to_vec(),
        Packed::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        }
        Packed::Zstandard => zstd::encode_all(bytes, 1).unwrap(),
        Packed::Xz => {
            let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 0);
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        }
    }
}

/// Whether it is in a header, where, and what the byte becomes.
type Edit = (bool, Index, u8);

fn edit(bytes: &mut [u8], edits: &[Edit]) {
    for (in_head, place, byte) in edits {
        let room = if *in_head { bytes.len().min(HEAD) } else { bytes.len() };
        if room > 0 {
            bytes[place.index(room)] = *byte;
        }
    }
}

fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    vec((prop::bool::weighted(0.7), any::<Index>(), any::<u8>()), 0..most)
}

/// Keys that rules know, and others.
fn key() -> impl Strategy<Value = String> {
    const KEYS: &[&str] = &[
        "features",
        "net0",
        "mp0",
        "mp99",
        "dev1",
        "rootfs",
        "env",
        "lxc.environment",
        "lxc.cap.drop",
        "hookscript",
        "unprivileged",
        "hostname",
        "args",
        "smbios1",
        "scsi0",
        "hostpci0",
        "usb0",
        "agent",
        "vmstate",
        "cipassword",
        "template",
        "onboot",
        "lock",
        "raw.lxc",
        "volatile.eth0.hwaddr",
        "environment.X",
        "user.user-data",
        "security.privileged",
        "ostype",
    ];
    prop_oneof![8 => select(KEYS).prop_map(str::to_owned), 1 => ".{0,12}"]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9=,:;/.]{0,30}",
        ".{0,20}",
        Just("1".to_owned()),
        Just("true".to_owned()),
        "(hwaddr|virtio|ip|size|backup|mount|nesting|volume|media)=[0-9A-F:a-z,=]{0,24}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_byte_may_be_another(
        form in 0..5_usize,
        how in select(vec![Packed::Plain, Packed::Plain, Packed::Gzip, Packed::Zstandard, Packed::Xz]),
        inside in edits(8),
        outside in edits(3),
        cut in weighted(0.2, any::<Index>()),
    ) {
        let mut bytes = forms()[form].clone();
        edit(&mut bytes, &inside);
        // Of a disk all is in one pass over a file: packing it only costs time.
        let how = if form > 2 { Packed::Plain } else { how };
        let mut bytes = packed(&bytes, how);
        edit(&mut bytes, &outside);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        let golden = folder.path().join("golden");
        std::fs::write(&golden, &bytes).unwrap();
        match lint(&golden, None, LIMITS) {
            Ok(report) => {
                prop_assert!(report.bytes <= LIMITS.bytes && report.entries <= LIMITS.entries, "{report:?}");
            }
            Err(fault) => prop_assert!(fault.code.starts_with("golden-") && fault.hint.is_some(), "{fault:?}"),
        }
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// Values of variables and passwords are never in what is told.
    #[test]
    fn any_configuration_is_judged(
        lines in vec((key(), prop_oneof![Just(": "), Just(":"), Just("="), Just("")], value()), 0..30),
    ) {
        let text: String = lines.iter().map(|(key, middle, value)| format!("{key}{middle}{value}\n")).collect();
        let text = format!("{text}env: TOKEN=s3cr3t\nlxc.environment: A=s3cr3t\nenvironment.B: s3cr3t\ncipassword: s3cr3t\n");
        // Nothing but a section, where snapshots begin, hides what follows.
        let is_hidden = text.lines().any(is_section);
        let mut facts = Image::sealed().file("etc/vzdump/pct.conf", &text).facts();
        facts.documents.insert(INDEX, text.clone());
        facts.documents.insert(MACHINE_CONFIG, text.clone());
        let found = rules::judge(&facts, Target::ProxmoxLxc);
        prop_assert!(is_hidden || found.iter().any(|finding| finding.rule == "pct-environment"), "{text}");
        for finding in &found {
            prop_assert!(!format!("{finding:?}").contains("s3cr3t"), "{finding:?}");
            prop_assert!(!finding.danger.is_empty() && !finding.fix.is_empty(), "{finding:?}");
        }
    }
}

#[test]
fn every_form_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let golden = folder.path().join("golden");
    let shapes = forms().iter().map(|bytes| {
        std::fs::write(&golden, bytes).unwrap();
        lint(&golden, None, LIMITS).unwrap().shape
    });
    assert_eq!(shapes.collect::<Vec<_>>(), ["vzdump-lxc", "incus-export", "vma", "disk", "disk"]);
}
