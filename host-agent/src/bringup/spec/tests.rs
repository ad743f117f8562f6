use firstlight_shared::wire::Intent;

use super::*;
use crate::backend::{Kind, Nic, SecretSource};

fn parse(text: &str) -> Result<Vec<GuestSpec>, String> {
    parse_spec(text, Path::new("x.toml"), Path::new("/specs"))
        .map_err(|error| firstlight_shared::error::Chain(&error).to_string())
}

#[test]
fn a_counted_guest_becomes_many_and_defaults_hold() {
    let guests = parse("[[guest]]\nname = \"web-{n}\"\ncount = 3\ngolden = \"g.tar\"\n").unwrap();
    let names: Vec<&str> = guests.iter().map(|guest| guest.plan.name.as_str()).collect();
    assert_eq!(names, ["web-01", "web-02", "web-03"]);
    assert_eq!(guests[0].plan.golden, "/specs/g.tar");
    assert_eq!(
        (guests[0].backend.as_str(), guests[0].timeout_ms, guests[0].plan.intent),
        ("local", 120_000, Intent::Provision)
    );
    assert!(!guests[0].keep_on_failure);
}

#[test]
fn everything_can_be_said() {
    let guests = parse(
        "[[guest]]\nname = \"db\"\nbackend = \"local\"\ngolden = \"/g.tar\"\ncores = 2\nmemory = \"512M\"\ndisk = \"10G\"\n\
         mounts = [{ path = \"/mnt/data\", size = \"1G\" }]\nintent = \"restore\"\non_failure = \"keep\"\n\
         [guest.readiness]\ntimeout = \"2m\"\nrequire = [\"sshd\"]\n",
    )
    .unwrap();
    assert_eq!(guests[0].plan.size.memory_bytes, Some(512 << 20));
    assert_eq!(guests[0].plan.mounts[0].size_bytes, Some(1 << 30));
    assert_eq!((guests[0].timeout_ms, guests[0].keep_on_failure), (120_000, true));
}

#[test]
fn a_guest_of_a_cluster_says_where_it_sits() {
    let guests = parse(
        "[defaults]\nbackend = \"proxmox\"\ngolden = \"local:backup/x.tar.zst\"\nstorage = \"local-lvm\"\ntags = [\"a\", \"b\", \"a\"]\n\
         [[guest]]\nname = \"db\"\nkind = \"vm\"\nnode = \"pve2\"\npool = \"lab/db\"\nvmid = 9000\nonboot = true\n\
         nics = [{ bridge = \"vmbr1\", vlan = 30, address = \"10.0.0.5/24\", gateway = \"10.0.0.1\", firewall = true }, {}]\n\
         mounts = [{ path = \"/data\", size = \"1G\", storage = \"slow\", backup = false }]\n\
         [[guest]]\nname = \"web-{n}\"\ncount = 2\nnics = [{ address = \"dhcp\" }]\ntags = []\n",
    )
    .unwrap();
    let plan = &guests[0].plan;
    assert_eq!((guests[0].backend.as_str(), plan.golden.as_str()), ("proxmox", "local:backup/x.tar.zst"));
    assert_eq!((plan.kind, plan.onboot, plan.tags.join(",")), (Some(Kind::Vm), Some(true), "a,b".to_owned()));
    let place = &plan.place;
    let words = [&place.node, &place.storage, &place.pool].map(|word| word.as_deref().unwrap_or_default());
    assert_eq!((words, place.vmid), (["pve2", "local-lvm", "lab/db"], Some(9000)));
    let first = Nic {
        bridge: Some("vmbr1".into()),
        vlan: Some(30),
        address: Some("10.0.0.5/24".into()),
        gateway: Some("10.0.0.1".parse().unwrap()),
        firewall: Some(true),
    };
    assert_eq!(plan.nics, [first, Nic::default()]);
    assert_eq!((plan.mounts[0].storage.as_deref(), plan.mounts[0].backup), (Some("slow"), Some(false)));
    let web = &guests[2].plan;
    assert_eq!((web.kind, web.onboot, web.tags.len(), web.place.vmid), (None, None, 0, None));
    assert_eq!(web.nics[0].address.as_deref(), Some("dhcp"));
}

#[test]
fn what_local_guests_have_not_is_for_their_backend_to_say() {
    let guests = parse(
        "[[guest]]\nname = \"a\"\ngolden = \"g\"\nkind = \"lxc\"\nmounts = [{ path = \"/a\", backup = true }]\n",
    );
    let plan = &guests.unwrap()[0].plan;
    assert_eq!((plan.kind, plan.mounts[0].backup), (Some(Kind::Lxc), Some(true)));
}

#[test]
fn lists_and_first_numbers_name_guests() {
    let names = |text: &str| -> Vec<String> {
        let guests = parse(&format!("[[guest]]\ngolden = \"g\"\n{text}")).unwrap();
        guests.iter().map(|guest| guest.plan.name.to_string()).collect()
    };
    assert_eq!(names("names = [\"a\", \"b-2\"]"), ["a", "b-2"]);
    assert_eq!(names("name = \"web-{n}\"\ncount = 3\nfirst = 99"), ["web-99", "web-100", "web-101"]);
    assert_eq!(names("name = \"web-{n}\"\ncount = 1\nfirst = 0"), ["web-00"]);
    assert_eq!(names("name = \"a\"\nlifecycle = \"keep\""), ["a"]);
}

#[test]
fn guests_have_the_defaults_unless_they_say_otherwise() {
    let guests = parse(
        "[defaults]\ngolden = \"g\"\non_failure = \"keep\"\ndeadline = \"1h\"\nmounts = [{ path = \"/a\" }]\n\
         [defaults.readiness]\ntimeout = \"5m\"\nrequire = [\"sshd\"]\n\
         [[guest]]\nname = \"a\"\n\
         [[guest]]\nname = \"b\"\ngolden = \"/other\"\non_failure = \"rollback\"\nmounts = []\n\
         [guest.readiness]\ntimeout = \"7m\"\n",
    )
    .unwrap();
    let told = |guest: &GuestSpec| {
        let plan = &guest.plan;
        (plan.golden.clone(), plan.mounts.len(), guest.keep_on_failure, guest.timeout_ms)
    };
    assert_eq!(told(&guests[0]), ("/specs/g".into(), 1, true, 300_000));
    assert_eq!(told(&guests[1]), ("/other".into(), 0, false, 420_000));
    assert_eq!((guests[0].deadline_ms, &guests[1].require[..]), (Some(3_600_000), &["sshd".to_owned()][..]));
}

#[test]
fn secrets_are_sources_for_each_guest() {
    let guests = parse(
        "[defaults]\ngolden = \"g\"\n[[defaults.secrets]]\npath = \"/var/lib/sops/age.txt\"\nfile = \"keys/{name}.txt\"\n\
         [[guest]]\nname = \"web-{n}\"\ncount = 2\n\
         [[guest]]\nname = \"db\"\n[[guest.secrets]]\npath = \"/etc/db.key\"\ncommand = [\"/usr/bin/pass\", \"db/{name}\"]\n\
         mode = \"0440\"\nowner = \"root:postgres\"\nallow_env = true\n\
         [[guest]]\nname = \"bare\"\nsecrets = []\n",
    )
    .unwrap();
    let secret = &guests[1].plan.secrets[0];
    assert_eq!(secret.source, SecretSource::File("/specs/keys/web-02.txt".into()));
    assert_eq!((secret.mode.to_string().as_str(), secret.owner.to_string().as_str()), ("0400", "root:root"));
    let db = &guests[2].plan.secrets[0];
    let words = ["/usr/bin/pass", "db/db"].map(str::to_owned).to_vec();
    assert_eq!(db.source, SecretSource::Command(words));
    assert_eq!((db.expected().mode.as_str(), db.expected().owner.as_str()), ("0440", "root:postgres"));
    assert_eq!((db.allow_env, secret.allow_env, guests[3].plan.secrets.len()), (true, false, 0));
}

#[test]
fn every_bring_up_has_a_deadline() {
    let guests =
        parse("[[guest]]\nname = \"a\"\ngolden = \"g\"\nreadiness = { timeout = \"10m\" }\n").unwrap();
    assert_eq!(guests[0].deadline_ms, Some((2 * 3600 + 600) * 1000));
}

#[test]
fn bad_specs_say_where_and_what() {
    let guest = "[[guest]]\nname = \"a\"\ngolden = \"g\"\n";
    for (text, said) in [
        (String::new(), "at least one [[guest]]"),
        ("[[guest]\n".into(), "line 1"),
        (format!("{guest}colour = 1\n"), "colour"),
        (format!("{guest}colour = 1\n"), "line 4"),
        (format!("{guest}{guest}"), "two guests are called `a`"),
        (format!("{guest}count = 2\n"), "web-{n}"),
        (format!("{guest}memory = \"lots\"\n"), "512M"),
        (format!("{guest}memory = \"0M\"\n"), "memory"),
        (format!("{guest}memory = \"99999999999999T\"\n"), "memory"),
        (format!("{guest}backend = \"\"\n"), "`local`, `proxmox` or `incus`"),
        (format!("{guest}backend = \"Prox mox\"\n"), "`local`, `proxmox` or `incus`"),
        (format!("{guest}mounts = [{{ path = \"/a/../b\" }}]\n"), "absolute path"),
        (format!("{guest}mounts = [{{ path = \"rel\" }}]\n"), "absolute path"),
        (format!("{guest}mounts = [{{ path = \"/a\" }}, {{ path = \"/a\" }}]\n"), "two volumes"),
        (format!("{guest}mounts = [{{ path = \"/a\\u001b[31m\" }}]\n"), "guest `a`: mounts.path"),
        (format!("{guest}mounts = [{{ path = \"/a\\tb\" }}]\n"), "control characters"),
        (format!("{guest}readiness = {{ timeout = \"soon\" }}\n"), "90s"),
        (format!("{guest}readiness = {{ timeout = \"é\" }}\n"), "90s"),
        ("[[guest]]\nname = \"A\"\ngolden = \"g\"\n".into(), "not a host name"),
        ("[[guest]]\nname = \"../x\"\ngolden = \"g\"\n".into(), "not a host name"),
        ("[[guest]]\nname = \"a-{n}\"\ncount = 4000\ngolden = \"g\"\n".into(), "1 to 100"),
        ("[[guest]]\nname = \"a-{n}\"\ngolden = \"g\"\n".into(), "needs a count"),
        ("[[guest]]\nname = \"a\"\n".into(), "golden"),
        (format!("{guest}names = [\"b\"]\n"), "exclude each other"),
        ("[[guest]]\ngolden = \"g\"\n".into(), "`name` or `names`"),
        ("[[guest]]\nnames = []\ngolden = \"g\"\n".into(), "the list is empty"),
        ("[[guest]]\nnames = [\"a\"]\ncount = 1\ngolden = \"g\"\n".into(), "a list needs no numbers"),
        ("[[guest]]\nnames = [\"a\", \"a\"]\ngolden = \"g\"\n".into(), "two guests are called `a`"),
        (format!("{guest}first = 3\n"), "{n}"),
        ("[[guest]]\nname = \"a-{n}\"\ncount = 4\nfirst = 4000000000\ngolden = \"g\"\n".into(), "0 to 99999"),
        (format!("[defaults]\nname = \"x\"\n{guest}"), "[defaults]: name"),
        (format!("[defaults]\ncolour = 1\n{guest}"), "line 2"),
        (format!("[default]\ncores = 1\n{guest}"), "default"),
        (format!("{guest}kind = \"jail\"\n"), "line 4"),
        (format!("{guest}node = \"\"\n"), "node = \"\": a name"),
        (format!("{guest}storage = \"a,b\"\n"), "storage = \"a,b\": a name"),
        (format!("{guest}pool = \"/a\"\n"), "pool = \"/a\": a pool"),
        (format!("{guest}vmid = 99\n"), "100 to 999999999"),
        (format!("{guest}vmid = 1000000000\n"), "100 to 999999999"),
        (format!("{guest}vmid = -1\n"), "line 4"),
        ("[[guest]]\nname = \"a-{n}\"\ncount = 2\ngolden = \"g\"\nvmid = 100\n".into(), "cannot have one number"),
        ("[[guest]]\nnames = [\"a\", \"b\"]\ngolden = \"g\"\nvmid = 100\n".into(), "cannot have one number"),
        (format!("{guest}vmid = 100\n{}vmid = 100\n", guest.replace("\"a\"", "\"b\"")), "two guests are called `100`"),
        (format!("[defaults]\nvmid = 100\n{guest}"), "[defaults]: vmid"),
        (format!("{guest}nics = [{{ bridge = \"a,ip=b\" }}]\n"), "nics.bridge"),
        (format!("{guest}nics = [{{ vlan = 0 }}]\n"), "1 to 4094"),
        (format!("{guest}nics = [{{ vlan = 70000 }}]\n"), "1 to 4094"),
        (format!("{guest}nics = [{{ address = \"10.0.0.5\" }}]\n"), "10.0.0.5/24"),
        (format!("{guest}nics = [{{ gateway = \"10.0.0.1\" }}]\n"), "DHCP tells"),
        (format!("{guest}nics = [{{ address = \"dhcp\", gateway = \"10.0.0.1\" }}]\n"), "DHCP tells"),
        (format!("{guest}nics = [{{ address = \"10.0.0.5/24\", gateway = \"gw\" }}]\n"), "an IPv4 address is wanted"),
        (format!("{guest}nics = [{{ address = \"10.0.0.5/24\", gateway = \"10.0.0.5\" }}]\n"), "own address"),
        (format!("{guest}nics = [{{ mac = \"x\" }}]\n"), "mac"),
        ("[[guest]]\nname = \"a-{n}\"\ncount = 2\ngolden = \"g\"\nnics = [{ address = \"10.0.0.5/24\" }]\n".into(), "cannot have one address"),
        (format!("{guest}tags = [\"Web\"]\n"), "small letters"),
        (format!("{guest}tags = [\"a;b\"]\n"), "small letters"),
        (format!("{guest}mounts = [{{ path = \"/a,b\" }}]\n"), "absolute path"),
        (format!("{guest}mounts = [{{ path = \"/a\", storage = \"b c\" }}]\n"), "mounts.storage"),
        (format!("{guest}backend = \"proxmox\"\ngolden = \"x\"\n"), "duplicate key"),
        ("[[guest]]\nname = \"a\"\nbackend = \"proxmox\"\ngolden = \"a\\u001bb\"\n".into(), "control characters"),
        (format!("{guest}lifecycle = \"throwaway\"\n"), "line 4"),
        (format!("{guest}destroy_after = \"soon\"\n"), "1s to 366d"),
        (format!("{guest}destroy_after = \"367d\"\n"), "1s to 366d"),
        (format!("{guest}deadline = \"60s\"\n"), "more than readiness.timeout"),
        (format!("{guest}deadline = \"2 days\"\n"), "1s to 24h"),
        (format!("{guest}secrets = [{{ path = \"key\", file = \"/k\" }}]\n"), "secrets.path = \"key\": an absolute path"),
        (format!("{guest}secrets = [{{ path = \"/proc/k\", file = \"/k\" }}]\n"), "hides it"),
        (format!("{guest}secrets = [{{ path = \"/k\", file = \"/k\" }}, {{ path = \"/k\", file = \"/l\" }}]\n"), "one file"),
        (format!("{guest}secrets = [{{ path = \"/k\" }}]\n"), "a `file` or a `command`"),
        (format!("{guest}secrets = [{{ path = \"/k\", file = \"/k\", command = [\"/p\"] }}]\n"), "exclude each other"),
        (format!("{guest}secrets = [{{ path = \"/k\", command = [\"pass\"] }}]\n"), "by its absolute path"),
        (format!("{guest}secrets = [{{ path = \"/k\", file = \"/k\", mode = \"0644\" }}]\n"), "secrets.mode = \"0644\": octal digits"),
        (format!("{guest}secrets = [{{ path = \"/k\", file = \"/k\", owner = \"root\" }}]\n"), "USER:GROUP"),
        (format!("{guest}secrets = [{{ path = \"/k\", content = \"hunter2\" }}]\n"), "content"),
        (format!("{guest}golden_mark = \"x\"\n"), "golden_mark"),
    ] {
        let message = parse(&text).expect_err(&text);
        assert!(message.contains(said), "{text}\n gave {message}\n without {said}");
    }
}

#[test]
fn lives_are_read_and_a_guest_may_take_back_what_the_defaults_say() {
    let text = "[defaults]\ngolden = \"g\"\nlifecycle = \"ephemeral\"\ndestroy_after = \"2h\"\n[[guest]]\nname = \"a\"\n\
                [[guest]]\nname = \"b\"\nlifecycle = \"keep\"\ndestroy_after = \"never\"\n[[guest]]\nname = \"c\"\ndestroy_after = \"7d\"\n";
    let lives: Vec<(bool, Option<u64>)> = parse(text)
        .unwrap()
        .into_iter()
        .map(|guest| (guest.plan.ephemeral, guest.destroy_after_ms))
        .collect();
    assert_eq!(lives, [(true, Some(7_200_000)), (false, None), (true, Some(604_800_000))]);
}

#[test]
fn the_spec_that_readme_shows_is_one() {
    let readme = include_str!("../../../../README.md");
    let shown = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("README shows a spec");
    let guests = parse(shown).unwrap();
    assert_eq!((guests.len(), guests[0].require.as_slice()), (3, &["sshd".to_owned()][..]));
}

/// The keys that the parser names where it meets one that there is not.
fn keys(text: &str) -> Vec<String> {
    let error = parse(text).unwrap_err();
    let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    let expected = expected.lines().next().unwrap_or_default();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_page_of_specs_has_a_row_for_every_key_and_a_key_for_every_row() {
    let guest = "[[guest]]\nname = \"a\"\n";
    let mut wanted: Vec<String> = keys(&format!("{guest}nothing = 1\n"));
    assert!(wanted.len() > 20, "{wanted:?}");
    wanted.retain(|key| key != "readiness"); // its keys say all
    for (table, text) in [
        ("readiness", "[guest.readiness]\nnothing = 1\n"),
        ("nics", "[[guest.nics]]\nnothing = 1\n"),
        ("mounts", "[[guest.mounts]]\nnothing = 1\n"),
        ("secrets", "[[guest.secrets]]\nnothing = 1\n"),
    ] {
        wanted.extend(keys(&format!("{guest}{text}")).into_iter().map(|key| format!("{table}.{key}")));
    }
    let page = include_str!("../../../../docs/spec.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut rows: Vec<&str> = rows.collect();
    rows.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(rows, wanted);
}

#[test]
fn the_specs_that_the_page_of_specs_shows_are_some() {
    let guests = shown(include_str!("../../../../docs/spec.md"));
    assert_eq!((guests.len(), guests[0].len()), (1, 5));
}

#[test]
fn the_spec_that_the_page_of_secrets_shows_is_one() {
    let page = include_str!("../../../../docs/secrets.md");
    let shown = page.split("```toml\n").find(|block| block.contains("[[guest]]")).expect("it shows a spec");
    let guests = parse(shown.split("```").next().unwrap_or_default()).unwrap();
    let secrets = &guests[1].plan.secrets;
    assert_eq!(secrets[0].source, SecretSource::File("/etc/firstlight/secrets/web-02.age".into()));
    assert_eq!((guests.len(), secrets[1].mode.to_string().as_str()), (2, "0440"));
}

/// The guests of each spec that a page shows: the quick start's, then the long one.
fn shown(page: &str) -> Vec<Vec<GuestSpec>> {
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("[[guest]]")).map(|block| parse(block).unwrap()).collect()
}

#[test]
fn the_specs_that_the_pages_of_proxmox_and_incus_show_are_some() {
    for (page, backend) in [
        (include_str!("../../../../docs/proxmox.md"), "proxmox"),
        (include_str!("../../../../docs/incus.md"), "incus"),
    ] {
        let specs = shown(page);
        let names: Vec<Vec<&str>> = specs
            .iter()
            .map(|guests| guests.iter().map(|guest| guest.plan.name.as_str()).collect())
            .collect();
        assert_eq!(names, [vec!["web-01", "web-02", "web-03"], vec!["web-01", "web-02", "web-03", "db"]]);
        assert!(specs.iter().flatten().all(|guest| guest.backend == backend), "{backend}");
    }
    let db = &shown(include_str!("../../../../docs/proxmox.md"))[1][3].plan;
    assert_eq!((db.place.vmid, db.nics[0].vlan, db.mounts[0].backup), (Some(9000), Some(30), Some(true)));
}

#[test]
fn the_spec_in_the_nixos_example_is_one() {
    let example = include_str!("../../../../packaging/nixos/example.nix");
    let lines = example.lines().map_while(|line| line.strip_prefix('#'));
    let text: Vec<&str> = lines.filter_map(|line| line.strip_prefix("   ")).collect();
    let guests = parse(&text.join("\n")).unwrap();
    let [guest] = guests.as_slice() else { panic!("{guests:?}") };
    // Incus writes into no machine before it runs.
    assert_eq!((guest.backend.as_str(), guest.plan.kind), ("incus", None));
    let [secret] = guest.plan.secrets.as_slice() else { panic!("{guest:?}") };
    assert_eq!(secret.source, SecretSource::File("/etc/firstlight/secrets/stack-01.age".into()));
    // What its own check looks for; and it has longer to come up than its checks have.
    let (path, mode) = (secret.path.display(), secret.mode);
    assert!(example.contains(&format!(
        "path = \"{path}\";\n          owner = \"{}\";\n          mode = \"{mode}\";",
        secret.owner
    )));
    assert!(example.contains("settings.checks.deadline = \"45m\"") && guest.timeout_ms > 45 * 60_000);
}
