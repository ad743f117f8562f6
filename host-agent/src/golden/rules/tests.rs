//! Each rule, planted into a root that nothing is to be said of.

use super::super::finding::{Severity, Target};
use super::super::testing::{Image, What, elf, names};
use super::super::wanted::PCT;

const UNITS: &str = "usr/lib/systemd/system";

/// The rules that speak, with their severities.
fn said(image: &Image, target: Target) -> Vec<(&'static str, Severity)> {
    let findings = image.judge(target);
    assert!(
        findings.iter().all(|finding| !finding.danger.is_empty() && !finding.fix.is_empty()),
        "{findings:#?}"
    );
    findings.iter().map(|finding| (finding.rule, finding.severity)).collect()
}

#[test]
fn nothing_is_said_of_a_sealed_root() {
    for target in [Target::Any, Target::ProxmoxLxc, Target::Incus, Target::Local] {
        assert_eq!(said(&Image::sealed(), target), [], "{target:?}");
    }
}

#[test]
fn a_machine_id_is_to_be_there_and_empty() {
    use Severity::{Error, Warning};
    let id = |text: &str| Image::sealed().file("etc/machine-id", text);
    for (image, target, expected) in [
        (id("7be07251d7584360bfa20bcb52311efb\n"), Target::Any, ("machine-id", Error)),
        (id("uninitialized\n"), Target::Any, ("machine-id-uninitialized", Warning)),
        (id("uninitialized\n"), Target::ProxmoxLxc, ("machine-id-uninitialized", Error)),
        (Image::sealed().without("etc/machine-id"), Target::Local, ("machine-id-absent", Warning)),
        (Image::sealed().without("etc/machine-id"), Target::ProxmoxLxc, ("machine-id-absent", Error)),
        (
            Image::sealed().link("etc/machine-id", "/run/machine-id"),
            Target::Any,
            ("machine-id-absent", Error),
        ),
        (Image::sealed().link("etc/machine-id", "../gone"), Target::Any, ("machine-id-absent", Error)),
        (Image::sealed().with("etc/machine-id", What::Folder), Target::Any, ("machine-id-absent", Error)),
        (Image::sealed().with("etc/machine-id", What::Pipe), Target::Any, ("machine-id-absent", Error)),
    ] {
        assert_eq!(said(&image, target), [expected], "{target:?}");
    }
}

#[test]
fn the_agent_has_to_be_there_and_to_run() {
    use Severity::{Error, Warning};
    let agent = |what: What| Image::sealed().with("usr/bin/firstlight-guest", what);
    let text = |version: &str| format!("firstlight-guest {version}\n");
    let ours = text(env!("CARGO_PKG_VERSION"));
    let identity = "etc/systemd/system/firstlight-gate.target.requires";
    for (image, expected) in [
        (Image::sealed().without("usr/bin/firstlight-guest"), vec![("agent-missing", Error)]),
        (agent(What::File(elf(62, &ours))), vec![("agent-not-executable", Error)]),
        (agent(What::Program(elf(183, &ours))), vec![("agent-architecture", Error)]),
        (agent(What::Program(ours.clone().into_bytes())), vec![("agent-not-a-program", Error)]),
        (agent(What::Program(elf(62, &text("99.0.0")))), vec![("agent-version", Warning)]),
        (agent(What::Program(elf(62, ""))), vec![("agent-version", Warning)]),
        (Image::sealed().without(identity), vec![("agent-not-enabled", Error)]),
        (
            Image::sealed().without(&format!("{UNITS}/firstlight-identity")),
            vec![("agent-unit-missing", Error)],
        ),
        (
            Image::sealed().link("etc/systemd/system/firstlight-report.service", "/dev/null"),
            vec![("agent-unit-masked", Error)],
        ),
        (
            Image::sealed().file("etc/systemd/system/firstlight-gate.target", ""),
            vec![("agent-unit-masked", Error)],
        ),
        (
            Image::sealed()
                .file("etc/systemd/system/firstlight-identity.service", "[Service]\nExecStart=/bin/true\n"),
            vec![("agent-unit-replaced", Error)],
        ),
        (
            Image::sealed().file(
                "usr/local/lib/systemd/system/firstlight-report.service",
                "[Service]\nExecStart=/usr/bin/firstlight-guest report --more\n",
            ),
            vec![("agent-unit-replaced", Warning)],
        ),
        (
            Image::sealed().file(
                "etc/systemd/system/firstlight-identity.service.d/50-off.conf",
                "[Service]\nExecStart=\nExecStart=/bin/true\n",
            ),
            vec![("agent-unit-replaced", Error)],
        ),
        (
            Image::sealed().file(
                "etc/systemd/system/firstlight-identity.service.d/50-slow.conf",
                "[Service]\nTimeoutStartSec=300\n",
            ),
            vec![],
        ),
        (
            Image::sealed().link(
                "etc/systemd/system/firstlight-report.service",
                "/usr/lib/systemd/system/firstlight-report.service",
            ),
            vec![],
        ),
        (Image::sealed().without("usr/lib/systemd/systemd"), vec![("no-systemd", Error)]),
        (
            Image::sealed().without("etc/os-release").without("usr/lib/os-release"),
            vec![("no-os-release", Warning)],
        ),
    ] {
        assert_eq!(said(&image, Target::Any), expected);
    }
    // An agent that lies elsewhere, and one that a link leads to.
    let moved = Image::sealed().without("usr/bin/firstlight-guest");
    let bytes = elf(62, &ours);
    assert_eq!(
        said(&moved.clone().with("usr/local/bin/firstlight-guest", What::Program(bytes)), Target::Any),
        []
    );
}

#[test]
fn every_ssh_server_has_to_wait() {
    use Severity::{Error, Warning};
    let drop_in = format!("{UNITS}/ssh.service.d/10-firstlight.conf");
    let over = "etc/systemd/system/ssh.service.d/10-firstlight.conf";
    for (image, expected) in [
        (Image::sealed().without(&drop_in), vec![("ssh-does-not-wait", Error)]),
        (
            Image::sealed().file(&drop_in, "[Unit]\nRequires=firstlight-gate.target\n"),
            vec![("ssh-does-not-wait", Error)],
        ),
        (
            Image::sealed().file(&drop_in, "[Unit]\nAfter=firstlight-gate.target\n"),
            vec![("ssh-does-not-wait", Error)],
        ),
        (Image::sealed().file(&format!("{UNITS}/ssh.socket"), ""), vec![("ssh-does-not-wait", Error)]),
        (
            Image::sealed().file(&format!("{UNITS}/dropbear.service"), ""),
            vec![("ssh-does-not-wait", Warning)],
        ),
        (
            Image::sealed()
                .file(&format!("{UNITS}/ssh.socket"), "")
                .link("etc/systemd/system/ssh.socket", "/dev/null"),
            vec![],
        ),
        // systemd.unit(5): a drop-in of the same name in /etc replaces the other.
        (Image::sealed().link(over, "/dev/null"), vec![("ssh-does-not-wait", Error)]),
        (Image::sealed().file(over, ""), vec![("ssh-does-not-wait", Error)]),
        (
            Image::sealed().file("usr/local/lib/systemd/system/ssh.service.d/10-firstlight.conf", ""),
            vec![("ssh-does-not-wait", Error)],
        ),
        (Image::sealed().file("etc/systemd/system/ssh.service.d/20-own.conf", ""), vec![]),
        (Image::sealed().file("etc/systemd/system/service.d/10-firstlight.conf", ""), vec![]),
        (
            Image::sealed().without(&drop_in).file(
                "etc/systemd/system/service.d/gate.conf",
                "[Unit]\nBindsTo=x.service firstlight-gate.target\nAfter=firstlight-gate.target\n",
            ),
            vec![],
        ),
    ] {
        assert_eq!(said(&image, Target::Any), expected);
    }
    let found = &Image::sealed().link(over, "/dev/null").judge(Target::Any)[0];
    assert!(
        found.path == format!("/{over}") && found.fix.starts_with(&format!("remove /{over}")),
        "{found:?}"
    );
}

#[test]
fn an_ssh_server_under_another_name_is_told() {
    const SERVER: &str = "[Service]\nExecStart=/usr/sbin/sshd -D -p 2222\n";
    const GATED: &str = "[Unit]\nRequires=firstlight-gate.target\nAfter=firstlight-gate.target\n";
    let with = |folder: &str, text: &str| Image::sealed().file(&format!("{folder}/mysshd.service"), text);
    let expected = [("ssh-does-not-wait", Severity::Warning)];
    for folder in ["etc/systemd/system", "usr/local/lib/systemd/system", UNITS] {
        assert_eq!(said(&with(folder, SERVER), Target::Any), expected, "{folder}");
        assert_eq!(said(&with(folder, &SERVER.replace("sshd -D", "dropbear -F")), Target::Any), expected);
        assert_eq!(said(&with(folder, &format!("{GATED}{SERVER}")), Target::Any), []);
        assert_eq!(said(&with(folder, "[Service]\nExecStart=/usr/bin/ssh-agent -D\n"), Target::Any), []);
        let waits = with(folder, SERVER).file("etc/systemd/system/mysshd.service.d/gate.conf", GATED);
        assert_eq!(said(&waits, Target::Any), []);
        let masked = with(UNITS, SERVER).link("etc/systemd/system/mysshd.service", "/dev/null");
        assert_eq!(said(&masked, Target::Any), []);
    }
}

#[test]
fn keys_behind_a_link_out_of_the_golden_are_not_taken_for_absent() {
    let image = Image::sealed().link("etc/ssh", "/somewhere/else");
    assert_eq!(said(&image, Target::Any), [("not-looked-at", Severity::Warning)]);
    let inside = Image::sealed().link("etc/ssh", "../data/ssh").file("data/ssh/sshd_config", "");
    for bytes in [inside.tar("./"), inside.with("data/ssh", What::Folder).tar("./")] {
        let found = super::super::tests::lint_bytes(&bytes, super::super::testing::LIMITS).unwrap().findings;
        assert_eq!(names(&found), Vec::<&str>::new(), "{found:#?}");
    }
}

#[test]
fn cloud_init_has_to_leave_the_keys_alone() {
    let image = Image::sealed().file("etc/cloud/cloud.cfg", "users: []\n");
    assert_eq!(said(&image, Target::Any), [("cloud-init-makes-keys", Severity::Warning)]);
    let told =
        |text: &str| said(&image.clone().file("etc/cloud/cloud.cfg.d/95-firstlight.cfg", text), Target::Any);
    assert_eq!(told("# Firstlight makes the host keys.\nssh_deletekeys: false\n"), []);
    assert_eq!(told("ssh_deletekeys: true\n"), [("cloud-init-makes-keys", Severity::Warning)]);
}

/// The rules' names stand in their sources; operators look them up in the docs.
#[test]
fn every_rule_is_in_the_docs() {
    const SOURCES: [&str; 9] = [
        include_str!("mod.rs"),
        include_str!("agent.rs"),
        include_str!("identity.rs"),
        include_str!("incus.rs"),
        include_str!("machine.rs"),
        include_str!("network.rs"),
        include_str!("proxmox.rs"),
        include_str!("secrets.rs"),
        include_str!("system.rs"),
    ];
    let docs =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/golden-images.md")).unwrap();
    let mut rules = std::collections::BTreeSet::new();
    for source in SOURCES {
        for call in ["Finding::new(", "told(", "error("] {
            let texts = source.split(call).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            rules.extend(texts.filter_map(|text| text.split('"').next()));
        }
    }
    assert!(rules.len() > 40 && rules.contains("agent-architecture"), "{rules:?}");
    let missing: Vec<_> = rules.iter().filter(|rule| !docs.contains(&format!("`{rule}`"))).collect();
    assert!(missing.is_empty(), "docs/golden-images.md does not name {missing:?}");
}

#[test]
fn proxmox_serves_one_kind_of_network_to_each_distribution() {
    use Severity::{Error, Warning};
    let os = |id: &str| Image::sealed().file("usr/lib/os-release", &format!("ID={id}\n"));
    let networkd = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service";
    for (image, expected) in [
        (Image::sealed().without("usr/sbin/ifup"), vec![("no-ifupdown", Error)]),
        (
            Image::sealed().without("etc/systemd/system/multi-user.target.wants/networking.service"),
            vec![("networking-not-enabled", Error)],
        ),
        (Image::sealed().link(networkd, "/x"), vec![("two-networks", Warning)]),
        (os("\"ubuntu\""), vec![("no-networkd", Error)]),
        (os("ubuntu").file("usr/lib/systemd/systemd-networkd", "x"), vec![]),
        (os("arch"), vec![]),
    ] {
        assert_eq!(said(&image, Target::ProxmoxLxc), expected);
        assert_eq!(said(&image, Target::Any), []);
    }
}

#[test]
fn keys_are_found_where_nobody_looks_for_them() {
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n";
    let rules = |path: &str| said(&Image::sealed().file(path, KEY), Target::Any);
    assert_eq!(rules("opt/app/key.pem"), [("private-key", Severity::Error)]);
    assert_eq!(rules("usr/share/doc/x/test.pem"), [("shipped-key", Severity::Note)]);
    let key = format!("{}=\n", "A".repeat(43));
    let image = Image::sealed().file("etc/wireguard/wg0.key", &key).file("etc/wireguard/wg0.pub", &key);
    assert_eq!(said(&image, Target::Any), [("private-key", Severity::Error)]);
    let rule = |path: &str| said(&Image::sealed().file(path, "a b c"), Target::Any);
    for path in [
        "var/lib/postgresql/.ssh/authorized_keys",
        "srv/git/.ssh/authorized_keys2",
        "etc/skel/.ssh/authorized_keys",
    ] {
        assert_eq!(rule(path), [("authorized-keys", Severity::Warning)], "{path}");
    }
    assert_eq!(rule("var/lib/jenkins/.netrc"), [("user-credentials", Severity::Error)]);
    assert_eq!(rule("srv/build/.docker/config.json"), [("user-credentials", Severity::Error)]);
    assert_eq!(rule("usr/share/doc/curl/.netrc"), []);
    // What the identity table tells is told once.
    assert_eq!(rules("etc/ssh/ssh_host_ed25519_key"), [("ssh-host-keys", Severity::Error)]);
    assert_eq!(rules("root/.ssh/id_ed25519"), [("user-ssh-keys", Severity::Error)]);
}

#[test]
fn a_containers_configuration_is_read_line_by_line() {
    use Severity::{Error, Note, Warning};
    const BASE: &str =
        "arch: amd64\nfeatures: nesting=1,keyctl=1\nrootfs: local:9100/a.raw,size=4G\nunprivileged: 1\n";
    for (line, expected) in [
        ("", None),
        ("#hookscript: x", None),
        ("[snap]\nhookscript: x", None),
        ("hookscript: local:snippets/x.pl", Some(("pct-hookscript", Error))),
        ("lxc.mount.entry: /a b none bind", Some(("pct-raw-line", Error))),
        ("lxc.environment.runtime: TOKEN=hunter2", Some(("pct-environment", Warning))),
        ("env: TOKEN=hunter2", Some(("pct-environment", Warning))),
        ("template: 1", Some(("pct-template", Error))),
        ("onboot: 1", Some(("pct-onboot", Warning))),
        ("onboot: 0", None),
        ("protection: 1", Some(("pct-protection", Warning))),
        ("lock: backup", Some(("pct-lock", Warning))),
        ("hostname: golden", Some(("pct-hostname", Note))),
        ("ostype: unmanaged", Some(("pct-unmanaged", Warning))),
        ("ostype: debian", None),
        ("net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp", Some(("pct-mac", Warning))),
        ("net0: name=eth0,bridge=vmbr0,ip=10.0.0.5/24", Some(("pct-address", Error))),
        ("netmask: 1", None),
        ("mp0: local:9100/b.raw,mp=/srv,backup=1,size=2G", None),
        ("mp0: local:9100/b.raw,mp=/srv,size=2G", Some(("pct-mount-left-out", Warning))),
        ("mp0: local:9100/b.raw,mp=/srv,backup=1", Some(("pct-no-size", Warning))),
        ("mp0: /mnt/data,mp=/data", Some(("pct-host-mount", Error))),
        ("dev0: /dev/dri/card0", Some(("pct-host-device", Error))),
        ("features: nesting=1,mknod=1", Some(("pct-feature", Warning))),
        ("features: nesting=1,mount=nfs", Some(("pct-feature", Warning))),
    ] {
        let image = Image::sealed().file(PCT, &format!("{BASE}{line}\n"));
        assert_eq!(said(&image, Target::ProxmoxLxc), expected.into_iter().collect::<Vec<_>>(), "{line}");
        assert!(!format!("{:?}", image.judge(Target::Any)).contains("hunter2"));
    }
    for (text, expected) in [
        ("features: nesting=1\nrootfs: l:x,size=4G\n", vec![("pct-privileged", Warning)]),
        ("unprivileged: 1\nfeatures: nesting=1\nrootfs: l:x\n", vec![("pct-no-size", Warning)]),
        ("unprivileged: 1\nfeatures: keyctl=1\n", vec![("pct-no-nesting", Note)]),
    ] {
        assert_eq!(said(&Image::sealed().file(PCT, text), Target::ProxmoxLxc), expected, "{text}");
    }
}

#[test]
fn a_machines_configuration_is_read_line_by_line() {
    use super::super::collect::Facts;
    use Severity::{Error, Warning};
    const BASE: &str =
        "agent: enabled=1\nscsi0: local:9200/a.raw,size=2G\nide2: local:iso/x.iso,media=cdrom\n";
    for (line, expected) in [
        ("", None),
        ("args: -fw_cfg x", Some(("vm-args", Error))),
        ("hookscript: local:snippets/x", Some(("vm-hookscript", Error))),
        ("template: 1", Some(("vm-template", Error))),
        ("hostpci0: 0000:01:00.0", Some(("vm-host-device", Error))),
        ("hostpci0: mapping=gpu", None),
        ("usb0: host=1234:5678", Some(("vm-host-device", Error))),
        ("usb0: spice", None),
        ("onboot: 1", Some(("vm-onboot", Warning))),
        ("protection: 1", Some(("vm-protection", Warning))),
        ("smbios1: uuid=5d6e0f1a-0000-0000-0000-000000000000", Some(("vm-uuid", Warning))),
        ("net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0", Some(("vm-mac", Warning))),
        ("scsi1: local:9200/b.raw,backup=0,size=2G", Some(("vm-disk-left-out", Warning))),
        ("ide3: local:9200/vm-9200-cloudinit.qcow2,backup=0", None),
        ("cipassword: x", Some(("vm-cloud-init-login", Warning))),
        ("[snap]\nargs: x", None),
    ] {
        let mut facts = Facts::default();
        facts.documents.insert(super::super::read::MACHINE_CONFIG, format!("{BASE}{line}\n"));
        let findings = super::judge(&facts, Target::Any);
        let mut rules = names(&findings);
        assert!(rules.contains(&"disks-not-looked-at"), "{line}");
        rules.retain(|rule| *rule != "disks-not-looked-at");
        assert_eq!(rules, expected.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), "{line}");
        if let Some((rule, severity)) = expected {
            assert!(
                findings.iter().any(|finding| (finding.rule, finding.severity) == (rule, severity)),
                "{line}"
            );
        }
    }
    let mut facts = Facts::default();
    facts.documents.insert(super::super::read::MACHINE_CONFIG, "agent: 0\n".to_owned());
    assert!(names(&super::judge(&facts, Target::Any)).contains(&"vm-no-agent"));
}

#[test]
fn an_export_of_incus_is_read_line_by_line() {
    use super::super::collect::Facts;
    for (line, expected) in [
        ("security.privileged: \"true\"", Some("incus-privileged")),
        ("security.privileged: \"false\"", None),
        ("boot.autostart: \"true\"", Some("incus-autostart")),
        ("security.protection.delete: \"true\"", Some("incus-protection")),
        ("raw.lxc: lxc.mount.entry = x", Some("incus-raw")),
        ("cloud-init.user-data: |-", Some("incus-user-data")),
        ("environment.TOKEN: hunter2", Some("incus-environment")),
        ("volatile.eth0.hwaddr: 10:66:6a:00:00:01", Some("incus-mac")),
        ("limits.memory: 1GiB", None),
    ] {
        let mut facts = Facts::default();
        let text = format!(
            "name: t1\nconfig:\n  container:\n    config:\n      {line}\n    expanded_config:\n      {line}\n"
        );
        facts.documents.insert(super::super::place::INDEX, text);
        let findings = super::judge(&facts, Target::Incus);
        assert_eq!(names(&findings), expected.into_iter().collect::<Vec<_>>(), "{line}");
        assert!(!format!("{findings:?}").contains("hunter2"));
    }
}
