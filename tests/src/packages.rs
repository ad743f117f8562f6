//! The Debian packages that goldens, guests and tests need.

mod backports;
mod unpacked;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run;
pub use unpacked::unpacked;

/// A program and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    program: &'static str,
    package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// For goldens and real guests.
pub const GUESTS: &[Tool] = &[
    tool("mmdebstrap", "mmdebstrap"),
    tool("systemd-nspawn", "systemd-container"),
    tool("setsid", "util-linux"),
    tool("ip", "iproute2"),
    tool("dnsmasq", "dnsmasq-base"),
    tool("ssh", "openssh-client"),
    tool("zstd", "zstd"),
    tool("mkfs.ext4", "e2fsprogs"),
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("qemu-img", "qemu-utils"),
];

/// For figures of goldens.
pub(crate) const ARCHIVES: &[Tool] = &[tool("zstd", "zstd"), tool("tar", "tar")];

/// For the tests besides.
pub const TESTS: &[Tool] = &[
    tool("age", "age"),
    tool("curl", "curl"),
    tool("groff", "groff-base"),
    tool("nix-instantiate", "nix-bin"),
    tool("readelf", "binutils"),
    tool("shellcheck", "shellcheck"),
    tool("openssl", "openssl"),
    tool("setpriv", "util-linux"),
    tool("sshd", "openssh-server"),
];

/// For making packages: cargo-deb asks dpkg-shlibdeps what a program links.
pub const PACKAGING: &[Tool] = &[
    tool("dpkg-shlibdeps", "dpkg-dev"),
    tool("rpmbuild", "rpm"),
    tool("strip", "binutils"),
    tool("xz", "xz-utils"),
    tool("zstd", "zstd"),
];

/// For the tests of packages.
pub const LINTIAN: &[Tool] = &[tool("lintian", "lintian")];

/// For programs of another machine.
pub const CROSS: &[Tool] = &[tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")];

/// For the tests on a database.
pub const POSTGRESQL: &[Tool] = &[tool("initdb", "postgresql"), tool("setpriv", "util-linux")];

/// For the test server of others that speaks Proxmox's API.
pub const PYTHON: &[Tool] = &[tool("python3", "python3")];

/// A real browser, and who drives it.
pub const BROWSER: &[Tool] = &[tool("chromium", "chromium"), tool("chromedriver", "chromium-driver")];

const MKOSI: &[Tool] = &[tool("bwrap", "bubblewrap"), tool("zstd", "zstd"), tool("python3", "python3")];

/// For what comes from npm.
pub(crate) const NPM: &[Tool] = &[tool("npm", "npm")];

/// For a real Incus server, besides those for guests.
const INCUS: &[Tool] = &[
    tool("incus", "incus-client"),
    tool("lxcfs", "lxcfs"),
    tool("setfattr", "attr"),
    tool("unsquashfs", "squashfs-tools"),
    tool("nft", "nftables"),
    tool("rsync", "rsync"),
    tool("xz", "xz-utils"),
    tool("incusd", "incus-base"),
];

/// Where Debian keeps PostgreSQL's programs, a folder per version.
const POSTGRESQL_FOLDER: &str = "/usr/lib/postgresql";

/// Installs what is missing, and says so.
pub fn ensure(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !present(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    if !present("apt-get") {
        let programs: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
        bail!(
            "these programs are missing: {}; this is no Debian, so install them by hand (Debian calls the packages {})",
            programs.join(", "),
            packages.join(", ")
        );
    }
    install(&packages)
}

/// As [`ensure`], for a real Incus server. Debian 12 has it in its backports only.
pub fn ensure_incus() -> Result<()> {
    ensure(GUESTS)?;
    if !INCUS.iter().all(|tool| present(tool.program)) {
        backports::enable()?;
    }
    ensure(INCUS)
}

/// As [`ensure`], for virt-customize, whose appliance is made of a kernel of this machine's.
pub fn ensure_guestfs() -> Result<()> {
    let has_kernel = std::fs::read_dir("/boot").is_ok_and(|files| {
        files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("vmlinuz-"))
    });
    match has_kernel && present("virt-customize") {
        true => Ok(()),
        false => install(&["guestfs-tools", "linux-image-cloud-amd64"]),
    }
}

/// What mkosi itself calls; the program is [`unpacked()`], since its package wants a newer systemd than Debian 12 has.
pub fn ensure_mkosi() -> Result<()> {
    ensure(MKOSI)?;
    backports::enable()
}

/// QEMU's user emulation of arm64. Debian 12's own does not know openat2(2), without which the agent touches no root.
pub fn qemu_arm64() -> Result<PathBuf> {
    backports::enable()?;
    unpacked(&backports::package("qemu-user"), "usr/bin/qemu-aarch64")
}

/// Installs Debian packages, as root.
pub fn install(packages: &[&str]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("missing packages: run `apt-get install {}` as root, or run this as root", packages.join(" "));
    }
    eprintln!("installing missing packages: {}", packages.join(" "));
    let install = || run::must(apt().args(["install", "--no-install-recommends"]).args(packages));
    // A fresh machine has no package lists yet, one in use need not wait for them.
    install().or_else(|_| run::must(apt().arg("update")).and_then(|_| install()))?;
    Ok(())
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-y", "-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Whether a program is on the path, or where Debian keeps programs for root or PostgreSQL's own.
pub fn present(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir(POSTGRESQL_FOLDER).into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/libexec/incus", "/opt/incus/bin"].map(PathBuf::from))
        .chain(versions.map(|version| version.path().join("bin")))
        .any(|folder| folder.join(program).is_file())
}
