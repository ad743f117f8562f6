//! The guest's binary is static, and stays alive in a foreign root whatever its name service says.

use std::fs;
use std::path::Path;
use std::process::Command;

use firstlight_tests::golden::{HOSTILE_NSSWITCH, Variant};
use firstlight_tests::{page, paths, run};

use crate::support::unpacked;

#[test]
fn the_guest_binary_asks_for_no_interpreter_and_no_libraries() {
    let guest = paths::given(paths::GUEST_VARIABLE);
    let headers = run::must(run::command(["readelf", "--wide", "--program-headers"]).arg(&guest)).unwrap();
    assert!(headers.contains("LOAD"), "{headers}");
    assert!(!headers.contains("INTERP"), "{headers}");
    let dynamic = run::must(run::command(["readelf", "--wide", "--dynamic"]).arg(&guest)).unwrap();
    assert!(!dynamic.contains("NEEDED"), "{dynamic}");
}

/// Four megabytes with everything; it was built by the very command that users build it with.
#[test]
fn the_guest_binary_is_as_small_as_the_page_says() {
    const LIMIT: u64 = 4_000_000;
    /// In hundredths: more is a change to tell of.
    const NEAR: u64 = 3;
    let guest = paths::given(paths::GUEST_VARIABLE);
    let size = fs::metadata(&guest).unwrap().len();
    println!("the guest's static binary has {size} bytes");
    let sections = run::must(run::command(["readelf", "--wide", "--section-headers"]).arg(&guest)).unwrap();
    assert!(sections.contains(" .text ") && !sections.contains(" .symtab "), "not stripped:\n{sections}");
    assert!(
        size <= LIMIT,
        "{size} bytes, {LIMIT} is the limit; {} says what costs what",
        "docs/guest-size.md"
    );
    page::assert_size("docs/guest-size.md", "makes a static-pie of", size, NEAR);
}

/// glibc's name service is not merely unused: it is not there (guest-agent/static.toml).
#[test]
fn the_guest_binary_has_no_name_service() {
    let guest = fs::read(paths::given(paths::GUEST_VARIABLE)).unwrap();
    let holds = |text: &str| guest.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("GLIBC_TUNABLES"), "no glibc at all? then this test says nothing");
    for text in ["nsswitch.conf", "/etc/gai.conf", "libnss_"] {
        assert!(!holds(text), "{text}: something brings glibc's name service back");
    }
}

/// The control: a static program that asks for a name does die in this root. Without that, nothing would be proved.
fn assert_that_the_root_is_hostile(root: &Path) {
    let source = root.join("asks.c");
    fs::write(
        &source,
        "#include <pwd.h>\nint main(void) { return getpwnam(\"nobody-has-this-name\") != 0; }\n",
    )
    .unwrap();
    let mut compiler = run::command(["cc", "-static", "-w", "-o"]);
    run::must(compiler.arg(root.join("asks")).arg(&source)).unwrap();
    let ran = run::run(run::command(["chroot"]).arg(root).arg("/asks")).unwrap();
    let libc =
        |root: &Path| fs::canonicalize(root.join("usr/lib/x86_64-linux-gnu/libc.so.6")).and_then(fs::read);
    let same_libc = libc(Path::new("/")).unwrap() == libc(root).unwrap();
    assert!(
        same_libc || ran.code < 0 || ran.code > 128,
        "a static getpwnam() survives in this root: {}",
        ran.said()
    );
}

#[test]
fn no_path_of_the_guest_binary_dies_in_a_debian_13_root_with_a_hostile_nsswitch() {
    let root = unpacked(Variant::Cloud);
    assert_eq!(fs::read_to_string(root.path().join("etc/nsswitch.conf")).unwrap(), HOSTILE_NSSWITCH);
    assert_that_the_root_is_hostile(&root.path());
    let claim = r#"{"version":1,"id":"aa","secret":"00112233","intent":"provision","hostname":"chrooted",
        "url":"https://127.0.0.1:1","pin":"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}"#;
    let credentials = root.path().join("run/credentials/@system");
    fs::create_dir_all(&credentials).unwrap();
    fs::write(credentials.join("firstlight.claim"), claim).unwrap();

    // In namespaces of its own: `identity` sets a host name, `report` wants a network that answers nothing.
    let commands: &[&[&str]] = &[
        &["--version"],
        &["--help"],
        &["plan"],
        &["plan", "--json"],
        &["status"],
        &["identity"],
        &["plan", "--json"],
        &["status", "--json"],
        &["keys"],
        &["adopt"],
        &["report"],
        &["status", "--json"],
        &["--root", "/", "plan"],
        &["no-such-command"],
    ];
    for words in commands {
        let mut command = Command::new("unshare");
        command.args([
            "--uts",
            "--net",
            "--mount",
            "timeout",
            "--preserve-status",
            "--kill-after=5",
            "10",
            "chroot",
        ]);
        command.arg(root.path()).arg("/usr/bin/firstlight-guest").args(*words);
        let ran = run::run(&mut command).unwrap();
        // 143 is our own SIGTERM to a report that goes on trying; any other signal is a death.
        let alive = ran.code < 126 || (ran.code == 143 && words == &["report"]);
        assert!(alive, "{words:?} died: {}", ran.said());
        assert_eq!(
            ran.code == 0,
            !matches!(words, ["no-such-command"] | ["report"] | ["adopt"]),
            "{words:?}: {}",
            ran.said()
        );
    }
    let sshd = run::run(run::command(["chroot"]).arg(root.path()).args([
        "sh",
        "-c",
        "mkdir -p /run/sshd; /usr/sbin/sshd -t",
    ]));
    let sshd = sshd.unwrap();
    assert!(sshd.ok(), "sshd does not take the keys: {}", sshd.said());
}

/// What tests use to kill it must not be in what people bake in.
#[test]
fn the_binary_has_no_fault_points_and_every_command_that_readme_shows() {
    let guest = paths::given(paths::GUEST_VARIABLE);
    let bytes = fs::read(&guest).unwrap();
    assert!(!bytes.windows(15).any(|window| window == b"FIRSTLIGHT_FUSE"), "the fault points are in it");
    let help = run::must(Command::new(&guest).arg("--help")).unwrap();
    let readme = fs::read_to_string(paths::root().join("README.md")).unwrap();
    let shown: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("firstlight-guest ")?.split_whitespace().next())
        .collect();
    assert!(shown.len() >= 4, "{shown:?}");
    for command in shown {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(command)),
            "no command `{command}`:\n{help}"
        );
    }
}
