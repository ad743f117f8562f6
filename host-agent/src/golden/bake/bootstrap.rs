//! What mmdebstrap is told: packages, hooks, mirrors. Pure.
//!
//! Source: mmdebstrap(1). Hooks are programs that get the root as their argument; they run before it cleans up.

use std::path::Path;

use super::recipe::{Distribution, Docker, Network, Recipe};

/// A system that boots, whatever the recipe adds.
const BASE: [&str; 4] = ["systemd-sysv", "dbus", "udev", "iproute2"];

/// Boot loader and initrd, for a disk. Without grub2-common: its own configuration would take the place of ours.
const MACHINE: [&str; 4] = ["initramfs-tools", "zstd", "e2fsprogs", "grub-common"];

/// Suites in which `docker.io` brings its client itself, and dhclient is the DHCP client.
const OLDER: [&str; 3] = ["buster", "bullseye", "bookworm"];

/// All packages besides those that the distribution calls essential, each once.
pub(super) fn packages(recipe: &Recipe, machine: bool) -> Vec<String> {
    let is_older = OLDER.contains(&recipe.suite.as_str());
    let is_debian = recipe.distribution == Distribution::Debian;
    let mut wanted: Vec<&str> = BASE.to_vec();
    match recipe.network() {
        Network::Ifupdown if is_older => wanted.extend(["ifupdown", "isc-dhcp-client"]),
        Network::Ifupdown => wanted.extend(["ifupdown", "dhcpcd-base"]),
        Network::Networkd | Network::No => {}
    }
    match recipe.docker {
        Docker::No => {}
        // Where the kernel has AppArmor, Docker runs nothing without its parser.
        Docker::Debian => {
            wanted.extend(["docker.io", "apparmor"]);
            wanted.extend((is_debian && !is_older).then_some("docker-cli"));
        }
        Docker::Upstream => wanted.extend(["ca-certificates", "apparmor"]),
    }
    if machine {
        wanted.extend(MACHINE);
        wanted.extend(match recipe.architecture {
            super::recipe::Architecture::Amd64 => ["grub-pc-bin", "grub-efi-amd64-bin"].as_slice(),
            super::recipe::Architecture::Arm64 => ["grub-efi-arm64-bin"].as_slice(),
        });
        // In older suites it is a part of systemd itself.
        wanted.extend((is_debian && !is_older).then_some("systemd-repart"));
        wanted.push(recipe.kernel());
    }
    wanted.extend(recipe.packages.iter().map(String::as_str));
    let mut packages: Vec<String> = Vec::new();
    for package in wanted {
        if packages.iter().all(|known| known != package) {
            packages.push(package.to_owned());
        }
    }
    packages
}

impl Recipe {
    pub(super) fn kernel(&self) -> &str {
        use super::recipe::Architecture::{Amd64, Arm64};
        match (&self.machine.kernel, self.distribution, self.architecture) {
            (Some(kernel), ..) => kernel,
            (None, Distribution::Ubuntu, _) => "linux-image-virtual",
            (None, Distribution::Debian, Amd64) => "linux-image-cloud-amd64",
            (None, Distribution::Debian, Arm64) => "linux-image-cloud-arm64",
        }
    }
}

/// Arguments of mmdebstrap. The root must not be there, or be an empty folder.
pub(super) fn arguments(recipe: &Recipe, machine: bool, hooks: &[&Path], root: &Path) -> Vec<String> {
    let mut words = vec![
        "--mode=root".to_owned(),
        "--format=directory".to_owned(),
        "--variant=apt".to_owned(),
        format!("--architectures={}", recipe.architecture.as_str()),
        format!("--components={}", recipe.components.join(",")),
        format!("--include={}", packages(recipe, machine).join(",")),
    ];
    words.extend(hooks.iter().map(|hook| format!("--customize-hook={}", hook.display())));
    words.push(recipe.suite.clone());
    words.push(root.display().to_string());
    words.extend(recipe.mirror.iter().cloned());
    words
}

/// Where the date of the mirror's state is: its Release file.
pub(super) fn release(recipe: &Recipe) -> String {
    let default = match recipe.distribution {
        Distribution::Debian => "http://deb.debian.org/debian",
        Distribution::Ubuntu => "http://archive.ubuntu.com/ubuntu",
    };
    let first = recipe.mirror.first().map_or(default, String::as_str);
    // `deb [options] ADDRESS SUITE COMPONENTS`
    let (address, suite) = match first.strip_prefix("deb ") {
        None => (first, recipe.suite.as_str()),
        Some(line) => {
            let line = line.trim_start();
            let rest =
                line.strip_prefix('[').and_then(|line| line.split_once(']')).map_or(line, |(_, rest)| rest);
            let mut words = rest.split_whitespace();
            (words.next().unwrap_or(default), words.next().unwrap_or(&recipe.suite))
        }
    };
    format!("{}/dists/{suite}/InRelease", address.trim_end_matches('/'))
}

/// The date in a Release file, in seconds since 1970.
pub(super) fn date(release: &str) -> Option<u64> {
    let line = release.lines().find_map(|line| line.strip_prefix("Date: "))?;
    let date = httpdate::parse_http_date(&line.trim().replace("UTC", "GMT")).ok()?;
    date.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Installs Docker from its own repository; its key is `KEY` beside the hook.
pub(super) fn docker_hook(recipe: &Recipe) -> Option<String> {
    if recipe.docker != Docker::Upstream {
        return None;
    }
    let (distribution, suite, architecture) =
        (recipe.distribution.as_str(), &recipe.suite, recipe.architecture.as_str());
    Some(format!(
        "#!/bin/sh\nset -eu\ninstall -D -m 0644 \"${{0%/*}}/docker.key\" \"$1/etc/apt/keyrings/docker.asc\"\n\
         cat > \"$1/etc/apt/sources.list.d/docker.sources\" <<'END'\nTypes: deb\n\
         URIs: https://download.docker.com/linux/{distribution}\nSuites: {suite}\nComponents: stable\n\
         Architectures: {architecture}\nSigned-By: /etc/apt/keyrings/docker.asc\nEND\n\
         chroot \"$1\" apt-get -q update\n\
         chroot \"$1\" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
         docker-ce docker-ce-cli containerd.io\n"
    ))
}

/// Runs a command of the recipe in the root.
pub(super) fn command_hook(command: &str) -> String {
    let quoted = command.replace('\'', r"'\''");
    format!(
        "#!/bin/sh\nexec env DEBIAN_FRONTEND=noninteractive HOME=/root chroot \"$1\" /bin/sh -euc '{quoted}'\n"
    )
}

/// Copies the recipe's files, laid out beside the hook, in the root's own eyes: no link of it leads out.
pub(super) const FILES_HOOK: &str = "#!/bin/sh\nset -eu\n\
    tar -C \"${0%/*}/files\" --numeric-owner -cf - . | \
    chroot \"$1\" tar -C / --numeric-owner --no-overwrite-dir --keep-directory-symlink -xpf -\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(more: &str) -> Recipe {
        Recipe::parse(&format!("name = \"small\"\nsuite = \"trixie\"\n{more}\n")).unwrap()
    }

    #[test]
    fn packages_follow_network_docker_suite_and_kind() {
        let has = |more: &str, machine: bool, package: &str| {
            packages(&recipe(more), machine).iter().any(|known| known == package)
        };
        for (more, machine, there, missing) in [
            ("", false, "dhcpcd-base", "grub-common"),
            ("network = \"networkd\"", false, "dbus", "ifupdown"),
            ("network = \"no\"", false, "udev", "ifupdown"),
            ("docker = \"docker.io\"", false, "docker-cli", "docker-ce"),
            ("docker = \"docker-ce\"\ndocker_key = \"k\"", false, "ca-certificates", "docker.io"),
            ("", true, "linux-image-cloud-amd64", "linux-image-amd64"),
            ("", true, "grub-pc-bin", "grub-efi-arm64-bin"),
            ("architecture = \"arm64\"", true, "linux-image-cloud-arm64", "grub-pc-bin"),
            ("machine.kernel = \"linux-image-amd64\"", true, "linux-image-amd64", "linux-image-cloud-amd64"),
        ] {
            assert!(has(more, machine, there), "{more}: {there}");
            assert!(!has(more, machine, missing), "{more}: {missing}");
        }
        let text = "name = \"a\"\nsuite = \"bookworm\"\ndocker = \"docker.io\"\n";
        let older = packages(&Recipe::parse(text).unwrap(), false);
        assert!(older.contains(&"isc-dhcp-client".to_owned()) && !older.contains(&"docker-cli".to_owned()));
        let twice = packages(&recipe("packages = [\"dbus\", \"vim\", \"vim\"]"), false);
        assert_eq!(twice.iter().filter(|package| *package == "dbus" || *package == "vim").count(), 2);
    }

    #[test]
    fn mmdebstrap_gets_one_root_and_the_recipe_s_mirrors() {
        let recipe =
            recipe("packages = [\"vim\"]\nmirror = [\"http://a/debian\", \"deb http://b trixie main\"]");
        let (one, two) = (Path::new("/w/10-files"), Path::new("/w/20 command"));
        let words = arguments(&recipe, false, &[one, two], Path::new("/w/root"));
        assert_eq!(
            words,
            [
                "--mode=root",
                "--format=directory",
                "--variant=apt",
                "--architectures=amd64",
                "--components=main",
                "--include=systemd-sysv,dbus,udev,iproute2,ifupdown,dhcpcd-base,vim",
                "--customize-hook=/w/10-files",
                "--customize-hook=/w/20 command",
                "trixie",
                "/w/root",
                "http://a/debian",
                "deb http://b trixie main",
            ]
        );
    }

    #[test]
    fn the_mirror_s_state_has_a_date() {
        for (mirror, expected) in [
            ("", "http://deb.debian.org/debian/dists/trixie/InRelease"),
            ("mirror = \"http://a/debian/\"", "http://a/debian/dists/trixie/InRelease"),
            ("mirror = \"deb [a=b c=d] http://a/x y main\"", "http://a/x/dists/y/InRelease"),
            ("mirror = \"deb http://a\"", "http://a/dists/trixie/InRelease"),
        ] {
            assert_eq!(release(&recipe(mirror)), expected);
        }
        assert_eq!(date("Origin: Debian\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n"), Some(1_789_199_741));
        assert_eq!((date("Date: soon\n"), date("")), (None, None));
    }

    #[test]
    fn hooks_hold_what_the_recipe_says_and_nothing_gets_out_of_its_quotes() {
        let hook = command_hook("echo 'a b' > /etc/x; false");
        assert!(hook.ends_with("/bin/sh -euc 'echo '\\''a b'\\'' > /etc/x; false'\n"), "{hook}");
        assert_eq!(docker_hook(&recipe("")), None);
        let hook = docker_hook(&recipe("docker = \"docker-ce\"\ndocker_key = \"k\"")).unwrap();
        assert!(
            hook.contains("linux/debian\nSuites: trixie\n") && hook.contains("install docker-ce"),
            "{hook}"
        );
    }
}
