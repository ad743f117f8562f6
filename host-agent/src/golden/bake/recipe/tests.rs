use super::*;

const LEAST: &str = "name = \"small\"\nsuite = \"trixie\"\n";

fn refused(more: &str) -> Fault {
    Recipe::parse(&format!("{LEAST}{more}\n")).expect_err(more)
}

#[test]
fn a_recipe_needs_a_name_and_a_suite() {
    let recipe = Recipe::parse(LEAST).unwrap();
    assert_eq!((recipe.distribution, recipe.architecture), (Distribution::Debian, Architecture::Amd64));
    assert_eq!((recipe.docker, recipe.network()), (Docker::No, Network::Ifupdown));
    assert_eq!(recipe.proxmox, Proxmox::default());
    assert!(recipe.proxmox.unprivileged);
    for (text, word) in [("suite = \"trixie\"", "name"), ("name = \"small\"", "suite")] {
        let fault = Recipe::parse(text).unwrap_err();
        assert!(fault.code == "bad-recipe" && fault.message.contains(word), "{fault:?}");
    }
}

#[test]
fn what_a_recipe_may_not_say_is_told_with_its_field_and_what_to_do() {
    for (more, field, hint) in [
        ("mirror = \"ftp://x\"", "mirror[0]", "deb.debian.org"),
        ("mirror = [\"http://a\", \"deb-src http://a trixie main\"]", "mirror[1]", "sources.list"),
        ("packages = [\"vim\", \"x;rm -rf\"]", "packages[1]", "one name per text"),
        ("packages = [\"--help\"]", "packages[0]", "one name per text"),
        ("components = [\"main contrib\"]", "components[0]", "one name"),
        ("docker = \"docker-ce\"", "docker_key", "fingerprint"),
        ("[proxmox]\nid = 7", "proxmox.id", "9000"),
        ("[proxmox]\nmemory = 1", "proxmox.memory", "MiB"),
        ("[proxmox]\ndisk = \"4 GB\"", "proxmox.disk", "4G"),
        ("[proxmox]\nbridge = \"vmbr0,firewall=1\"", "proxmox.bridge", "vmbr0"),
        ("[proxmox]\nfeatures = { nesting = [] }", "proxmox.features.nesting", "keyctl"),
        ("[machine]\ndisk = \"1M\"", "machine.disk", "512M"),
        ("[machine]\nkernel = \"a b\"", "machine.kernel", "linux-image"),
        ("[machine]\ncommand_line = \"a\\nb\"", "machine.command_line", "spaces"),
        ("[[file]]\npath = \"etc/motd\"\ntext = \"\"", "file[0].path", "absolute"),
        ("[[file]]\npath = \"/etc/../../motd\"\ntext = \"\"", "file[0].path", "absolute"),
        ("[[file]]\npath = \"/etc/\"\ntext = \"\"", "file[0].path", "absolute"),
        ("[[file]]\npath = \"/etc/motd\"", "file[0]", "source"),
        ("[[file]]\npath = \"/a\"\ntext = \"\"\nsource = \"b\"", "file[0]", "text"),
        ("[[file]]\npath = \"/a\"\ntext = \"\"\nmode = \"rw\"", "file[0].mode", "octal"),
        ("[[file]]\npath = \"/a\"\ntext = \"\"\nmode = \"77777\"", "file[0].mode", "octal"),
        ("[[file]]\npath = \"/a\"\ntext = \"\"\nowner = \"root\"", "file[0].owner", "numbers"),
    ] {
        let fault = refused(more);
        assert_eq!(fault.code, "bad-recipe");
        assert!(fault.message.starts_with(&format!("{field}: ")), "{more}: {}", fault.message);
        assert!(fault.hint.as_ref().is_some_and(|text| text.contains(hint)), "{more}: {fault:?}");
    }
    for (name, text) in [("name", "Small"), ("name", "-a"), ("name", "a/b"), ("suite", "../x")] {
        let other = LEAST.replace(if name == "name" { "small" } else { "trixie" }, text);
        assert!(Recipe::parse(&other).unwrap_err().message.starts_with(&format!("{name}: ")), "{text}");
    }
}

#[test]
fn keys_that_are_not_known_are_shown_with_their_line() {
    for more in ["colour = 1", "docker = \"podman\"", "[agent]\nbinary = \"x\"", "[[file]]\nmoed = \"1\""] {
        let fault = refused(more);
        assert!(fault.message.contains("line "), "{}", fault.message);
        assert!(fault.hint.unwrap().contains("docs/golden-images.md"));
    }
    let fault = refused("mirror = 7");
    assert!(fault.message.contains("an address, or a list"), "{}", fault.message);
}

#[test]
fn the_command_or_the_recipe_says_what_is_built() {
    let formats =
        |more: &str, named: &[Format]| Recipe::parse(&format!("{LEAST}{more}")).unwrap().formats(named);
    assert_eq!(formats("formats = [\"tar\", \"pve\", \"tar\"]", &[]).unwrap(), [Format::Pve, Format::Tar]);
    assert_eq!(formats("formats = [\"tar\"]", &[Format::Dir]).unwrap(), [Format::Dir]);
    assert!(formats("", &[]).unwrap_err().hint.unwrap().contains("--format"));
    let mixed = formats("", &[Format::Raw, Format::Incus]).unwrap_err();
    assert!(mixed.message.contains("kernel"), "{mixed}");
    assert_eq!(formats("", &[Format::Raw, Format::Tar]).unwrap(), [Format::Tar, Format::Raw]);
    assert!(formats("network = \"networkd\"", &[Format::Pve]).unwrap_err().message.starts_with("network: "));
    assert!(formats("network = \"networkd\"", &[Format::Incus]).is_ok());
}

#[test]
fn files_beside_the_recipe_are_looked_for_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("recipe.toml");
    for (more, field) in [
        ("hooks = [\"hook\"]", "hooks[0]"),
        ("[agent]\nchecks = [\"docker.toml\"]", "agent.checks[0]"),
        ("[[file]]\npath = \"/a\"\nsource = \"none\"", "file[0].source"),
        ("docker = \"docker-ce\"\ndocker_key = \"key.asc\"", "docker_key"),
    ] {
        std::fs::write(&recipe, format!("{LEAST}{more}\n")).unwrap();
        let fault = Recipe::load(&recipe).unwrap_err();
        assert!(fault.message.starts_with(&format!("{field}: ")), "{fault}");
    }
    std::fs::write(folder.path().join("hook"), "#!/bin/sh\n").unwrap();
    std::fs::write(&recipe, format!("{LEAST}hooks = [\"hook\"]\n")).unwrap();
    assert!(Recipe::load(&recipe).unwrap_err().hint.unwrap().contains("chmod +x"));
    assert!(Recipe::load(folder.path()).unwrap_err().hint.unwrap().contains("docs/"));
}

#[test]
fn sizes_have_a_unit() {
    for (text, expected) in [("4G", Some(4 << 30)), ("512M", Some(512 << 20)), ("1T", Some(1 << 40))] {
        assert_eq!(size(text), expected);
    }
    for text in
        ["", "4", "G", "0G", "-1G", "4g", "4GB", "99999999999999999999T", "18446744073709551615T", "é"]
    {
        assert_eq!(size(text), None, "{text}");
    }
}
