use std::path::Path;
use std::time::Duration;

use super::*;

/// A folder with these files; the first is the configuration, the others its fragments.
fn sources(files: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("firstlight.toml");
    let fragments = folder.path().join("firstlight.toml.d");
    std::fs::create_dir(&fragments).unwrap();
    for (name, text) in files {
        let path = if *name == "main" { file.clone() } else { fragments.join(name) };
        std::fs::write(path, text).unwrap();
    }
    (folder, Sources { file, host_name: "pve1".to_owned(), ..Sources::default() })
}

fn only(text: &str) -> Result<Configuration, ConfigError> {
    load(&sources(&[("main", text)]).1)
}

fn row<'a>(rows: &'a [Row], key: &str) -> (&'a str, &'a str) {
    let row = rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no {key} in {rows:#?}"));
    (&row.value, &row.origin)
}

#[test]
fn without_any_file_the_defaults_count() {
    let sources = Sources {
        file: "/nonexistent/firstlight.toml".into(),
        host_name: "pve1".into(),
        ..Sources::default()
    };
    let settings = load(&sources).unwrap().settings;
    assert_eq!(settings.state, Path::new("/var/lib/firstlight-host"));
    assert_eq!(settings.store.url, "sqlite:/var/lib/firstlight-host/firstlight.db");
    assert_eq!(settings.companion.name, "pve1");
    assert_eq!(settings.companion.lease, Duration::from_secs(20));
    assert_eq!(settings.limits.get("node"), Some(&4));
    assert_eq!(settings.reports.listen, "0.0.0.0:7443".parse().unwrap());
    assert_eq!(settings.api.socket, Path::new("/var/lib/firstlight-host/control.sock"));
    assert!(settings.api.listen.is_none() && settings.api.tokens.is_empty());
    assert_eq!(settings.retention.jobs, Some(Duration::from_secs(90 * 86_400)));
    let named = Sources { file_is_named: true, ..sources };
    assert!(load(&named).unwrap_err().to_string().contains("/nonexistent/firstlight.toml:1: cannot be read"));
}

#[test]
fn later_sources_win_key_by_key_and_each_value_knows_where_it_came_from() {
    let (folder, mut sources) = sources(&[
        ("main", "state = \"/srv/a\"\n[companion]\nlease = \"30s\"\ngrace = \"90s\"\n[limits]\nnode = 2\n"),
        ("10-more.toml", "[companion]\nlease = \"40s\"\nname = \"one\"\n[limits]\n\"node:pve1\" = 8\n"),
        ("20-more.toml", "[companion]\n\nname = \"two\"\ngrace = \"\"\n"),
        (".hidden.toml", "= broken"),
        ("30-old.toml.bak", "= broken"),
    ]);
    sources.variables.insert("FIRSTLIGHT_LISTEN".into(), "127.0.0.1:1".into());
    sources.variables.insert("FIRSTLIGHT_COMPANION_ROOM".into(), "7".into());
    sources.variables.insert("FIRSTLIGHT_BIN".into(), "not ours".into());
    assert_eq!(sources.unknown_variables(), ["FIRSTLIGHT_BIN"]);
    let sources = sources.flag("--listen", "reports.listen", Some("127.0.0.1:2")).flag(
        "--state",
        "state",
        None::<&str>,
    );
    let rows = check(&sources).unwrap();
    let at = |name: &str, line: usize| format!("{}:{line}", folder.path().join(name).display());
    for (key, value, origin) in [
        ("state", "\"/srv/a\"", at("firstlight.toml", 1)),
        ("companion.lease", "\"40s\"", at("firstlight.toml.d/10-more.toml", 2)),
        ("companion.name", "\"two\"", at("firstlight.toml.d/20-more.toml", 3)),
        ("companion.grace", "\"60s\"", "default".into()),
        ("companion.room", "\"7\"", "$FIRSTLIGHT_COMPANION_ROOM".into()),
        ("reports.listen", "\"127.0.0.1:2\"", "--listen".into()),
        ("limits.node", "2", at("firstlight.toml", 6)),
        ("limits.\"node:pve1\"", "8", at("firstlight.toml.d/10-more.toml", 5)),
        ("limits.storage", "4", "default".into()),
        ("store.url", "\"sqlite:/srv/a/firstlight.db\"", "default".into()),
    ] {
        assert_eq!(row(&rows, key), (value, origin.as_str()), "{key}");
    }
}

#[test]
fn tables_with_a_name_are_merged_by_it() {
    let (_folder, sources) = sources(&[
        (
            "main",
            "[[api.token]]\nname = \"ci\"\nfile = \"/etc/ci\"\n[[api.token]]\nname = \"page\"\nfile = \"credential:page\"\n",
        ),
        ("10.toml", "[[api.token]]\nname = \"ci\"\nrole = \"operator\"\n"),
    ]);
    let tokens = load(&sources).unwrap().settings.api.tokens;
    let shown: Vec<_> =
        tokens.iter().map(|token| (token.name.as_str(), token.role, token.file.to_string())).collect();
    assert_eq!(
        shown,
        [("ci", Role::Operator, "/etc/ci".to_owned()), ("page", Role::Read, "credential:page".to_owned())]
    );
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_is_wanted() {
    for (text, said) in [
        (
            "[companion]\nleese = \"1s\"\n",
            ":2: there is no key `companion.leese`; the nearest is `companion.lease`",
        ),
        ("\nlease = \"1s\"\n", ":2: there is no key `lease`; the nearest is `companion.lease`"),
        ("[stoer]\nurl = \"x\"\n", ":1: there is no key `stoer`; the nearest is `store.url`"),
        ("[api]\nlisten.port = 3\n", ":2: `api.listen` cannot be a table"),
        ("store = \"sqlite:/x\"\n", ":1: `store` is a table: [store] is wanted"),
        ("[companion]\nlease = 20\n", ":2: companion.lease = 20: a time like"),
        ("[companion]\nlease = \"10ms\"\n", ":2: companion.lease: at least 1s"),
        ("[companion]\nroom = 0\n", ":2: companion.room: a companion needs room"),
        ("[companion]\nroom = 1.5\n", ":2: `companion.room` cannot be a float"),
        ("[limits]\nnode = -1\n", ":2: limits.node = -1: a whole number"),
        ("state = \"relative\"\n", ":1: state = \"relative\": an absolute path"),
        ("[reports]\nlisten = \"0.0.0.0:0\"\n", "a port that is not 0"),
        ("[reports]\nurl = \"http://x\"\n", ":2: reports.url: https://HOST:PORT"),
        ("[reports]\nconnections_per_address = 0\n", ":2: reports.connections_per_address: from 1 to 256"),
        ("[reports]\nconnections_per_address = 257\n", ":2: reports.connections_per_address: from 1 to 256"),
        ("[store]\nurl = \"mysql://x\"\n", ":2: store.url: sqlite:/PATH or"),
        (
            "[store]\nurl = \"sqlite:/srv/other.db\"\n",
            ":2: store.url: the embedded store lives in the state folder",
        ),
        ("[retention]\njobs = \"forever\"\n", "or `never`, is wanted"),
        ("[companion]\nname = \"a\\u001bb\"\n", ":2: companion.name: up to 128 bytes without control"),
        ("[proxmox]\nnode = \"pve1\"\n", ":2: proxmox.addresses is wanted too"),
        ("[proxmox]\naddresses = [\"pve1\"]\n", ":2: proxmox.token is wanted too"),
        (
            "[proxmox]\naddresses = [\"http://pve1\"]\n",
            ":2: proxmox.addresses = [\"http://pve1\"]: a list of nodes",
        ),
        ("[proxmox]\naddresses = []\ntoken = \"/t\"\n", ":2: proxmox.addresses: one node at least"),
        (
            "[proxmox]\naddresses = [\"pve1\"]\ntoken = \"/t\"\n",
            ":2: a pin is wanted: `firstlight trust ADDRESS`",
        ),
        ("[proxmox]\nkeys = [\"sha256//x\"]\n", ":2: proxmox.keys = [\"sha256//x\"]: a list of keys"),
        ("[proxmox]\nkeys = []\n", ":2: proxmox.keys: the list is empty"),
        (
            "[proxmox]\nfingerprints = [\"AA:BB\"]\n",
            ":2: proxmox.fingerprints = [\"AA:BB\"]: a list of SHA-256",
        ),
        ("[proxmox]\nca = \"pem\"\n", ":2: proxmox.ca = \"pem\": an absolute path"),
        (
            "[proxmox]\nca = \"/a\"\nkeys = [\"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]\n",
            ":2: proxmox.ca: proxmox.keys is set too",
        ),
        (
            "[proxmox]\nvmids = \"9\"\n",
            ":2: proxmox.vmids = \"9\": FIRST-LAST, from 100 to 999999999, is wanted",
        ),
        ("[proxmox]\ntags = [\"Web\"]\n", ":2: proxmox.tags = [\"Web\"]: a list of tags"),
        ("[proxmox]\nbridge = \"vmbr0,ip=x\"\n", ":2: proxmox.bridge = \"vmbr0,ip=x\": a name"),
        ("[proxmox]\nallow_root_lines = 1\n", ":2: proxmox.allow_root_lines = 1: true or false"),
        ("[retention]\njobs = \"99999d\"\n", "at most 3650d"),
        ("[log]\nlevel = \"loud=very\"\n", ":2: log.level: "),
        ("[log]\nlevel = \"bogus=,,\"\n", ":2: log.level: "),
        ("[log]\nlevel = \"inof\"\n", ":2: log.level: one of error, warn, info, debug, trace is wanted"),
        ("[log]\nlevel = \"firstlight=debug\"\n", ":2: log.level: one of error, warn"),
        ("[log]\nlevel = \"off\"\n", ":2: log.level: one of error, warn"),
        ("[log]\nlevel = \"info,firstlight=off\"\n", ":2: log.level: errors are always shown"),
        ("[api]\nsocket_group = \"no-such-group\"\n", "this machine knows no \"no-such-group\""),
        ("[api.peers]\nuids = [1, \"no-such-user\"]\n", "this machine knows no \"no-such-user\""),
        ("[api]\nlisten = \"127.0.0.1:1\"\n", "nobody could use it"),
        (
            "[api]\nlisten = \"127.0.0.1:1\"\nclient_ca = \"/ca\"\n",
            ":2: api.listen: api.certificate and api.key are wanted too",
        ),
        ("[[api.client]]\nname = \"anna\"\n", "[[api.client]] counts only with api.client_ca"),
        ("[[api.token]]\nname = \"ci\"\n", ":2: the token \"ci\" needs a `file`"),
        ("[[api.token]]\nfile = \"/x\"\n", ":1: every [[api.token]] needs a `name`"),
        (
            "[[api.token]]\nname = \"a\"\nfile = \"/x\"\n[[api.token]]\nname = \"a\"\n",
            ":4: two [[api.token]]",
        ),
        ("[api.token]\nname = \"a\"\n", "`api.token` is a list: [[api.token]]"),
        (
            "[[api.token]]\nname = \"a\"\nfile = \"/x\"\nrole = \"admin\"\n",
            ":4: api.token.a.role = \"admin\": `read` or `operator`",
        ),
        ("a = 1\na = 2\n", ":2: duplicate key"),
        ("=", ":1: "),
    ] {
        let error = only(text).expect_err(text).to_string();
        assert!(error.contains(said), "{text}\nsaid: {error}\nnot: {said}");
    }
}

#[test]
fn who_only_asks_a_companion_needs_the_socket_and_nothing_else() {
    for (text, socket) in [
        ("state = \"/srv/a\"\n", Some("/srv/a/control.sock")),
        ("state = \"/srv/a\"\n[companion]\nlease = 3\n", Some("/srv/a/control.sock")),
        ("stat = 1\n[api]\nsocket = \"/run/x.sock\"\n", Some("/run/x.sock")),
        ("state = \"/srv/a\"\n[companion]\nname = \"\n", Some("/srv/a/control.sock")),
        ("state = \"srv\"\n", None),
        ("[api]\nsocket = \"control.sock\"\n", None),
    ] {
        let (_folder, sources) = sources(&[("main", text)]);
        let found = super::socket(&sources);
        assert_eq!(found.as_ref().ok().map(|(socket, _)| socket.as_path()), socket.map(Path::new), "{text}");
        let told = found.map_or_else(Some, |(_, told)| told);
        assert_eq!(told, load(&sources).err(), "{text}");
    }
    let named = Sources { file: "/nonexistent/x.toml".into(), file_is_named: true, ..Sources::default() };
    assert!(super::socket(&named).is_err(), "the file that was named is wanted");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let error = only("stat = \"/x\"\n[companion]\nroom = \"x\"\ngrace = 1\n").unwrap_err();
    assert_eq!(error.problems.len(), 3, "{error}");
}

#[test]
fn a_secret_that_was_written_where_its_file_belongs_is_not_repeated() {
    for text in [
        "[store]\npassword_file = \"hunter2\"\n",
        "[[api.token]]\nname = \"ci\"\nfile = \"hunter2\"\n",
        "[store]\nurl = \"postgres://me:hunter2@db/firstlight\"\n",
        "[store]\nurl = \"postgres://db/firstlight?user=me&password=hunter2\"\n",
        "[api]\nkey = \"credential:../hunter2\"\n",
        "[proxmox]\ntoken = \"root@pam!x=hunter2\"\n",
    ] {
        let error = only(text).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("firstlight.toml:"), "{error}");
    }
}

#[test]
fn secrets_are_read_from_guarded_files_and_credentials_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let file = SecretFile::File(path.clone());
    assert_eq!(code(&file.read(None)), "secret-unreadable");
    std::fs::write(&path, "  s3cret\n").unwrap();
    for (mode, expected) in [
        (0o600, ""),
        (0o400, ""),
        (0o640, "secret-exposed"),
        (0o604, "secret-exposed"),
        (0o620, "secret-exposed"),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(code(&file.read(None)), expected, "{mode:o}");
    }
    let credential = SecretFile::parse("credential:token").unwrap();
    assert_eq!(code(&credential.read(None)), "no-credential");
    // systemd's own mode for units with a user.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
    let secret = credential.read(Some(folder.path().as_os_str())).unwrap();
    assert_eq!((secret.expose(), format!("{secret:?}").contains("s3cret")), (&b"s3cret"[..], false));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "\n").unwrap();
    assert_eq!(code(&file.read(None)), "secret-unreadable");
    assert_eq!(code(&SecretFile::File(folder.path().to_owned()).read(None)), "secret-exposed");
    assert_eq!(SecretFile::parse("token"), None);
    assert_eq!(SecretFile::parse("credential:"), None);
}

fn code(result: &Result<firstlight_shared::secret::Secret, SecretError>) -> &'static str {
    use firstlight_shared::error::Code as _;
    result.as_ref().err().map_or("", |error| error.code())
}

#[test]
fn a_cluster_is_told_of_as_a_whole_or_not_at_all() {
    assert_eq!(only("").unwrap().settings.proxmox, None, "its defaults alone make no backend");
    let key = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let text = format!(
        "[proxmox]\naddresses = [\"pve1\", \"[fd00::1]:443\"]\ntoken = \"credential:t\"\nkeys = [{key:?}]\n"
    );
    let found = only(&text).unwrap().settings.proxmox.unwrap();
    let addresses: Vec<_> = found.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["pve1:8006", "[fd00::1]:443"]);
    assert_eq!(found.pin, PinSettings::Keys(vec![key.parse().unwrap()]));
    assert_eq!((found.bridge.as_str(), found.vmids), ("vmbr0", 100..=999_999_999));
    assert_eq!((found.tags, found.allow_root_lines), (vec!["firstlight".to_owned()], false));

    // Variables: lists are joined by commas, and `""` takes back.
    let (_folder, mut sources) = sources(&[("main", &text)]);
    for (name, value) in [
        ("ADDRESSES", "a, b:1"),
        ("KEYS", ""),
        ("CA", "/x.pem"),
        ("VMIDS", "9000-9099"),
        ("TAGS", "a,b"),
        ("ALLOW_ROOT_LINES", "true"),
    ] {
        sources.variables.insert(format!("FIRSTLIGHT_PROXMOX_{name}"), value.into());
    }
    let found = load(&sources).unwrap().settings.proxmox.unwrap();
    assert_eq!((found.addresses.len(), found.vmids, found.tags.len()), (2, 9000..=9099, 2));
    assert_eq!((found.pin, found.allow_root_lines), (PinSettings::Authority("/x.pem".into()), true));
}

#[test]
fn a_reload_knows_what_counts_at_once_and_what_needs_a_new_start() {
    let old = only("[limits]\nnode = 1\n[companion]\nname = \"a\"\n").unwrap();
    let new = only("[limits]\nnode = 2\nstorage = 9\n[companion]\nname = \"b\"\n[log]\nlevel = \"debug\"\n")
        .unwrap();
    let differences = old.differences(&new);
    assert_eq!(differences.reload, ["limits.node", "limits.storage", "log.level"]);
    assert_eq!(differences.restart, ["companion.name"]);
    assert_eq!(old.differences(&old), Differences::default());
}

#[test]
fn every_key_is_read_by_the_settings() {
    // Names are what the tables are merged by: the reader of the file takes them.
    let unread = KEYS.iter().filter(|key| !key.path.ends_with(".*.name"));
    for key in unread {
        // A value that no key takes: whoever reads it complains.
        let path = key.path.replace('*', "x");
        let text = match path.split_once(".x.") {
            Some((table, word)) => format!("[[{table}]]\nname = \"x\"\n{word} = [[]]\n"),
            None => format!("{path} = [[]]\n"),
        };
        let error = only(&text).expect_err(key.path).to_string();
        assert!(error.contains(" is wanted"), "{}: {error}", key.path);
    }
}

proptest::proptest! {
    /// Whatever the file holds: settings, or problems that each have a place.
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", key in "[a-z_.]{1,20}", value in "[0-9a-z\"{}\\[\\],=. ]{0,20}") {
        for text in [text.clone(), format!("{key} = {value}"), format!("[api]\n{key} = {value}"), format!("[[api.token]]\n{key} = {value}"), format!("[{key}]\n{text}")] {
            let mut merged = Merged::default();
            merged.add_toml(Path::new("x"), &text);
            let settings = Settings::read(&mut merged, "host");
            proptest::prop_assert!(settings.is_ok() || !settings.unwrap_err().problems.is_empty());
        }
    }
}

const SAMPLE: &str = include_str!("../../../packaging/firstlight.toml");

/// Comments of the sample that are keys: `#key = ...` and `#[[table]]`, without a space.
fn uncommented() -> String {
    fn key(line: &str) -> Option<&str> {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || ['[', '"'].contains(&c)))
    }
    SAMPLE.lines().map(|line| key(line).unwrap_or(line).to_owned() + "\n").collect()
}

const PINS: [&str; 4] = ["\nkeys =", "\nserver_certificate =", "\nca =", "\nfingerprints ="];

/// What the sample sets with every key written, of the pins this one only.
fn sample_with_pin(pin: &&str) -> Vec<Row> {
    let text = uncommented().replace("= \"adm\"", "= \"root\"");
    let with = |text: &str, pin: &str| {
        let others = PINS.iter().filter(|other| **other != pin);
        others.fold(text.to_owned(), |text, other| text.replace(other, &other.replace('\n', "\n#")))
    };
    let (before, remote) = text.split_once("[[incus.remote]]").unwrap();
    // Proxmox has one kind less.
    let of_proxmox = if *pin == "\nserver_certificate =" { "\nkeys =" } else { pin };
    let text = format!("{}[[incus.remote]]{}", with(before, of_proxmox), with(remote, pin));
    load(&sources(&[("main", &text)]).1).unwrap().rows()
}

#[test]
fn the_sample_is_the_defaults_and_shows_every_key() {
    let (_folder, plain) = sources(&[("main", SAMPLE)]);
    assert_eq!(load(&plain).unwrap().settings, only("").unwrap().settings, "as it is, it sets nothing");

    // One kind of pin at a time.
    let shown: Vec<Row> = PINS.iter().flat_map(sample_with_pin).collect();
    let defaults = only("").unwrap();
    for key in KEYS {
        let of_key = |path: &str| {
            let (words, path): (Vec<&str>, Vec<&str>) =
                (key.path.split('.').collect(), path.split('.').collect());
            words.len() == path.len()
                && words.iter().zip(&path).all(|(word, part)| *word == "*" || word == part)
        };
        let row =
            shown.iter().find(|row| of_key(&row.key)).unwrap_or_else(|| panic!("{} is not shown", key.path));
        assert!(row.origin.contains("firstlight.toml:"), "{} is not shown: {}", key.path, row.origin);
        if key.default.is_some() && !key.path.contains('*') {
            let (value, _) = super::tests::row(&shown, key.path);
            let default = defaults.rows().into_iter().find(|row| row.key == key.path).unwrap().value;
            assert_eq!(
                value.trim_matches('"'),
                default.trim_matches('"'),
                "{} has another default",
                key.path
            );
        }
    }
}

/// docs/companion.md: one row for each key, with its default, and no row that is none.
#[test]
fn the_page_lists_every_key_and_no_other() {
    let page = include_str!("../../../docs/companion.md");
    let cells = |line: &'static str| {
        line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`'])).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<&str>> = page.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
    let keys: Vec<&Vec<&str>> =
        rows.iter().filter(|row| row.len() == 4 && (row[2] == "reload" || row[2] == "restart")).collect();
    let listed: Vec<&str> = keys.iter().map(|row| row[0]).collect();
    let known: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(listed, known);
    for (row, key) in keys.iter().zip(KEYS) {
        assert_eq!(row[2] == "reload", key.reloads, "{}", key.path);
        if let Some(default) = key.default {
            assert_eq!(row[1], default, "{}", key.path);
        }
    }
}

/// Blocks of a page that configure a backend.
fn configurations(page: &'static str, table: &str) -> Vec<&'static str> {
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains(table)).collect()
}

/// docs/proxmox.md: its configurations, with the pin that `trust` adds.
#[test]
fn the_configurations_that_the_page_of_proxmox_shows_are_some() {
    let pin = "[proxmox]\nkeys = [\"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]\n";
    let shown = configurations(include_str!("../../../docs/proxmox.md"), "[proxmox]\n");
    let nodes = shown.iter().map(|shown| {
        let (_folder, sources) = sources(&[("main", shown), (pins::PIN_FILE, pin)]);
        load(&sources).unwrap().settings.proxmox.unwrap().addresses.len()
    });
    assert_eq!(nodes.collect::<Vec<_>>(), [1, 2]);
}

/// docs/incus.md: the quick start's, and the one with a pool.
#[test]
fn the_configurations_that_the_page_of_incus_shows_are_some() {
    let shown = configurations(include_str!("../../../docs/incus.md"), "[incus]\n");
    let pools = shown.iter().map(|shown| {
        let (_folder, sources) = sources(&[("main", shown)]);
        load(&sources).unwrap().settings.incus.unwrap().pool
    });
    assert_eq!(pools.collect::<Vec<_>>(), [None, Some("default".to_owned())]);
}
