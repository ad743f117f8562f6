//! Tables, properties, and OpenSSH's own parser as the judge.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::sys::Fuse;

/// Files in memory, by absolute path.
#[derive(Debug, Default)]
struct Made(BTreeMap<String, Vec<u8>>);

impl Made {
    fn new(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }
}

impl Files for Made {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(path).cloned())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let prefix = format!("{}/", folder.trim_end_matches('/'));
        let names = self.0.keys().filter_map(|path| path.strip_prefix(&prefix)?.split('/').next());
        let names: BTreeSet<_> = names.map(str::to_owned).collect();
        Ok(names.into_iter().collect())
    }

    fn exists(&self, path: &str) -> bool {
        self.0.keys().any(|known| known == path || known.starts_with(&format!("{path}/")))
    }
}

const CONFIG: &str = "/etc/ssh/sshd_config";

fn read(files: &[(&str, &str)]) -> SshdConfig {
    SshdConfig::read(&Made::new(files), CONFIG)
}

#[test]
fn without_lines_the_defaults_count() {
    for files in [&[][..], &[(CONFIG, "# nothing\n")]] {
        let config = read(files);
        assert_eq!(config.ports(), [22]);
        assert_eq!(config.host_key_paths(), DEFAULT_KEYS);
        assert!(!config.names_host_keys() && config.problems.is_empty());
        assert_eq!(config.endpoints(), [(None, 22)]);
    }
}

#[test]
fn drop_ins_are_read_where_they_are_included() {
    let config = read(&[
        (CONFIG, "Port 1\nInclude sshd_config.d/*.conf\nPort 4\nHostKey /a\n"),
        ("/etc/ssh/sshd_config.d/20-b.conf", "Port 3\nHostKey /c\n"),
        ("/etc/ssh/sshd_config.d/10-a.conf", "Port 2\nHostKey=none\nHostKey b\nHostKey ~/d\nHostKey /c\n"),
        ("/etc/ssh/sshd_config.d/.hidden.conf", "Port 9\n"),
        ("/etc/ssh/sshd_config.d/30.conf.dpkg-old", "Port 9\n"),
    ]);
    assert_eq!(config.ports(), [1, 2, 3, 4]);
    assert_eq!(config.host_key_paths(), ["/b", "/root/d", "/c", "/a"]);
    assert!(config.would_include("/etc/ssh/sshd_config.d/10-firstlight.conf"));
    assert!(!config.would_include("/etc/ssh/sshd_config.d/10-firstlight"));
    assert_eq!(config.problems, Vec::<String>::new());
}

#[test]
fn match_blocks_end_with_the_file_that_opens_them() {
    let config = read(&[
        (CONFIG, "Include a\nPort 2\nMatch User x\nInclude b c\nPort 5\nMatch all\nPort 6\n"),
        ("/etc/ssh/a", "Port 1\nMatch Group y\nX11Forwarding no\n"),
        ("/etc/ssh/b", "Match all\nPort 3\n"),
        ("/etc/ssh/c", "PasswordAuthentication no\n"),
    ]);
    assert_eq!(config.ports(), [1, 2, 6]);
    // Within a block that does not apply, sshd refuses both: `Match all` in /etc/ssh/b does not help.
    assert_eq!(config.problems.len(), 2, "{:?}", config.problems);
    assert!(config.problems[0].starts_with("/etc/ssh/b line 2: port is not allowed within a Match block"));
    assert!(config.problems[1].starts_with("/etc/ssh/sshd_config line 5"));
    assert!(!read(&[(CONFIG, "Match User x\nInclude d/*\n")]).would_include("/etc/ssh/d/x"));
}

#[test]
fn endless_includes_end() {
    let config = read(&[(CONFIG, "Include sshd_config sshd_config\nPort 7\n")]);
    assert!(config.problems.iter().any(|problem| problem.contains("too deeply")), "{:?}", config.problems);
    assert!(config.problems.len() <= MAX_PROBLEMS);
    let long = "Port 22\n".repeat(MAX_LINES + 1);
    assert!(!read(&[(CONFIG, &long)]).problems.is_empty());
}

#[test]
fn addresses_are_joined_with_ports() {
    let config = read(&[(
        CONFIG,
        "ListenAddress 10.0.0.5\nListenAddress [::]:99\nListenAddress fe80::1\nListenAddress name:7\nPort 1\nPort 2\n",
    )]);
    let expected = [
        (Some("10.0.0.5"), 1),
        (Some("10.0.0.5"), 2),
        (None, 99),
        (Some("fe80::1"), 1),
        (Some("fe80::1"), 2),
        (Some("name"), 7),
    ];
    assert_eq!(config.endpoints(), expected);
}

#[test]
fn sockets_of_systemd_replace_ports() {
    let mut config = read(&[(CONFIG, "Port 2222\nListenAddress 10.0.0.5\n")]);
    for (sockets, expected) in [
        (&[][..], vec![(Some("10.0.0.5"), 2222)]),
        (&["/run/ssh.sock", "vsock::22", "@abstract"], vec![(Some("10.0.0.5"), 2222)]),
        (&["0.0.0.0:22", "[::]:22", "127.0.0.1:23"], vec![(None, 22), (Some("127.0.0.1"), 23)]),
    ] {
        config.listen_on(&sockets.iter().map(|socket| (*socket).to_owned()).collect::<Vec<_>>());
        assert_eq!(config.endpoints(), expected);
    }
}

#[test]
fn algorithms_can_be_left_out() {
    let left_out = |line: &str, algorithm| read(&[(CONFIG, line)]).leaves_out(algorithm);
    for (line, rsa, ed25519) in [
        ("", false, false),
        ("HostKeyAlgorithms ssh-ed25519,ecdsa-*", true, false),
        ("HostKeyAlgorithms -rsa-sha2-*,ssh-rsa", true, false),
        ("HostKeyAlgorithms +ssh-rsa", false, false),
        ("HostKeyAlgorithms ^ssh-ed25519", false, false),
        ("HostKeyAlgorithms rsa-sha2-512\nHostKeyAlgorithms ssh-ed25519", false, true),
    ] {
        assert_eq!(left_out(line, "rsa-sha2-512"), rsa, "{line}");
        assert_eq!(left_out(line, "ssh-ed25519"), ed25519, "{line}");
    }
}

#[test]
fn names_match_as_glob_matches() {
    for (pattern, name, expected) in [
        ("*.conf", "a.conf", true),
        ("*.conf", ".conf", false),
        (".*", ".x", true),
        ("[0-9]*", "10", true),
        ("[!0-9]*", "10", false),
        ("[]a]", "]", true),
        ("[a", "[a", true),
        ("a\\*", "a*", true),
        ("a\\*", "ab", false),
        ("?", "é", true),
        ("*a*b*c", "xxaxxbxxc", true),
        ("*a*b*c", "xxaxxbxx", false),
    ] {
        assert_eq!(glob::matches_path(pattern, name), expected, "{pattern} {name}");
    }
}

/// What `sshd -T` makes of a file: ports and host keys, or none if it refuses.
fn sshd_says(folder: &Path, config: &Path) -> Option<(Vec<u16>, Vec<String>, Vec<String>)> {
    // sshd wants this folder before it prints anything.
    fs::create_dir_all("/run/sshd").unwrap();
    let output =
        Command::new("/usr/sbin/sshd").args(["-T", "-f"]).arg(config).current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let no_keys = said.contains("no hostkeys available");
    assert!(!no_keys, "the judge needs a key below {}: {said}", folder.display());
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let values = |keyword: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("{keyword} ")));
        lines.map(str::to_owned).collect()
    };
    let ports = values("port").iter().map(|port| port.parse().unwrap()).collect();
    // In `/`, relative paths become `//path`.
    let keys = values("hostkey").iter().map(|path| path.replacen("//", "/", 1)).collect();
    Some((ports, keys, values("hostcertificate")))
}

/// Each case is the main file; `@` stands for the folder, where `key`, `two words`, `d/*.conf` and others are.
const ODD: &[&str] = &[
    "HostKey @/key\n",
    "hostkey=@/key\nPORT=99\n",
    "HostKey = @/key\nPort = 99\nport 98\n",
    "HostKey  \t @/key  # comment\nPort 99 # x\nPort\t98#x\n",
    "HostKey \"@/two words\"\nHostKey '@/key'\n",
    "HostKey @/two\\ words\n",
    "\"HostKey\" @/key\n\"Port\"=77\n",
    "  HostKey @/key\r\n\r\nPort 77\r\n\x0c\n",
    "HostKey @/key\nHostKey @/key\nHostDSAKey @/two\\ words\n",
    "HostKey @/key extra\n",
    "HostKey\n",
    "HostKey \n",
    "HostKey \"\"\n",
    "HostKey @/key\nPort \"22\nPort 5\n",
    "HostKey @/key\nP\"ort\" 55\n",
    "HostKey @/key\nP\"ort 55\n",
    "HostKey @/key\nPort 0\n",
    "HostKey @/key\nPort 65536\n",
    "HostKey @/key\nPort +23\n",
    "HostKey @/key\nPort ' 23'\n",
    "HostKey @/key\nPort ssh\n",
    "HostKey @/key\nPort == 23\n",
    "HostKey @/key\nPort 23 24\n",
    "HostKey @/key\nMatch all\nPort 9\n",
    "HostKey @/key\nMatch ALL # x\nPort 9\n",
    "HostKey @/key\nMatch User x\nX11Forwarding no\n",
    "HostKey @/key\nMatch User x\nPort 9\n",
    "HostKey @/key\nMatch User x\nHostKey @/key\n",
    "HostKey @/key\nMatch User x\nMatch all\nPort 9\n",
    "HostKey @/key\nMatch all all\n",
    "HostKey @/key\nMatch\n",
    "HostKey @/key\nInclude @/d/*.conf\nPort 5\n",
    "HostKey @/key\nInclude @/d/20.conf @/d/10.conf\nPort 5\n",
    "HostKey @/key\nInclude @/none/*.conf @/d/absent\nPort 5\n",
    "HostKey @/key\nInclude \"@/d/[1-2]?.conf\"\n",
    "HostKey @/key\nInclude @/d/[!1]*.conf\n",
    "HostKey @/key\nInclude @/*/10.conf\n",
    "HostKey @/key\nInclude\n",
    "HostKey @/key\nInclude ~/x\nPort 5\n",
    "HostKey @/key\nInclude @/opens-match\nPort 5\n",
    "HostKey @/key\nMatch User x\nInclude @/d/10.conf\n",
    "HostKey @/key\nMatch User x\nInclude @/all-in-match\n",
    "HostKey @/key\nMatch User x\nInclude @/plain\nMatch all\nPort 6\n",
    "HostKey @/key\nInclude @/endless\n",
    "HostKey @/key\nInclude @/d\n",
    "HostKey @/key\nHostCertificate @/key-cert.pub\n",
    "HostKey @/key\nPort 1\0 junk\n0\n",
    "HostKey @/key\nListenAddress 127.0.0.1:44\nListenAddress [::1]:45\nPort 3\n",
    "HostKey @/key\nListenAddress 127.0.0.1:x\n",
    "HostKey @/key\nListenAddress 127.0.0.1 more\n",
    "HostKey @/key\nHostKey @/key\\\nPort 5\n",
    "HostKey \\\"@/key\\\"\nHostKey @/key\n",
];

#[test]
fn openssh_reads_every_odd_file_as_we_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let key = crate::keys::make(crate::keys::KeyType::Ed25519).unwrap();
    for name in ["key", "two words"] {
        fs::write(folder.path().join(name), key.private.as_bytes()).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir(folder.path().join("d")).unwrap();
    for (name, text) in [
        ("d/10.conf", "Port 10\n"),
        ("d/20.conf", "Port 20\nHostKey @/two\\ words\n"),
        ("d/.30.conf", "Port 30\n"),
        ("opens-match", "Port 4\nMatch User y\n"),
        ("all-in-match", "Match all\nPort 8\n"),
        ("plain", "X11Forwarding no\n"),
        ("endless", "Include @/endless\n"),
    ] {
        fs::write(folder.path().join(name), text.replace('@', at)).unwrap();
    }
    let root = Root::open(Path::new("/"), Fuse::intact()).unwrap();
    for (number, text) in ODD.iter().enumerate() {
        let config = folder.path().join(format!("config-{number}"));
        fs::write(&config, text.replace('@', at)).unwrap();
        let ours = SshdConfig::read(&root, config.to_str().unwrap());
        match sshd_says(folder.path(), &config) {
            None => assert!(!ours.problems.is_empty(), "sshd refuses, we do not: {text:?}: {ours:?}"),
            Some((ports, keys, certificates)) => {
                assert_eq!(ours.problems, Vec::<String>::new(), "sshd takes {text:?}");
                let own = if ours.ports.is_empty() { vec![22] } else { ours.ports.clone() };
                assert_eq!(
                    (own, &ours.host_keys, &ours.certificates),
                    (ports, &keys, &certificates),
                    "{text:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic_or_hang(bytes: Vec<u8>, included in "[ -~\n]{0,200}") {
        let mut files = Made::new(&[("/etc/ssh/sshd_config.d/a.conf", &included)]);
        files.0.insert("/etc/ssh/b".to_owned(), bytes.clone());
        let mut main = b"Include sshd_config.d/* b\n".to_vec();
        main.extend_from_slice(&bytes);
        files.0.insert(CONFIG.to_owned(), main);
        let config = SshdConfig::read(&files, CONFIG);
        prop_assert!(config.problems.len() <= MAX_PROBLEMS && !config.ports().is_empty());
        prop_assert!(config.host_key_paths().iter().all(|path| path.starts_with('/')));
    }

    #[test]
    fn words_of_the_language_never_panic(
        words in proptest::collection::vec(
            prop_oneof![
                Just("HostKey"), Just("Port"), Just("Match"), Just("all"), Just("Include"), Just("*"), Just("\""),
                Just("="), Just(" "), Just("\n"), Just("\\"), Just("'"), Just("#"), Just("/etc/ssh/*"), Just("22"),
                Just("ListenAddress"), Just("["), Just("]:"), Just("["), Just("~"),
            ],
            0..60,
        )
    ) {
        let text = words.concat();
        let config = read(&[(CONFIG, &text), ("/etc/ssh/x", &text)]);
        prop_assert!(!config.endpoints().is_empty());
    }

    #[test]
    fn a_pattern_matches_itself_escaped(name in "[a-z*?\\[\\]\\\\.]{1,20}") {
        let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
        prop_assert!(glob::matches(&escaped, &name));
        prop_assert!(glob::matches("*", &name));
    }
}
