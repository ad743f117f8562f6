use firstlight_shared::check::Verdict;

use super::super::{Bus, Context, Machine, run};
use super::*;

const FOLDER: &str = "etc/firstlight/checks.d";

fn root_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let machine = Machine::open(folder.path()).unwrap();
    (folder, machine)
}

fn loaded(files: &[(&str, &str)]) -> (Vec<Check>, Vec<String>) {
    let (_folder, machine) = root_with(files);
    let mut problems = Vec::new();
    let checks = load(&machine.root, &Settings::default(), &mut problems);
    (checks, problems)
}

fn ids(checks: &[Check]) -> Vec<&str> {
    checks.iter().map(|check| check.id.as_str()).collect()
}

const BUILT_IN: [&str; 5] = ["system-running", "sshd", "network", "hostname", "machine-id"];

#[test]
fn without_files_the_built_in_checks_are_made() {
    let (checks, problems) = loaded(&[]);
    assert_eq!(ids(&checks), BUILT_IN);
    assert_eq!(problems, [""; 0]);
}

#[test]
fn a_file_in_etc_masks_the_same_name_in_usr() {
    let usr = |name: &str| format!("usr/lib/firstlight/checks.d/{name}");
    let check = |id: &str| format!("[[check]]\nid = \"{id}\"\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n");
    let (checks, problems) = loaded(&[
        (&usr("a.toml"), &check("a-usr")),
        (&usr("b.toml"), &check("b-usr")),
        (&usr("c.toml"), &check("c-usr")),
        (&usr("note.txt"), "no check"),
        (&format!("{FOLDER}/b.toml"), &check("b-etc")),
        (&format!("{FOLDER}/c.toml"), ""),
    ]);
    assert_eq!(ids(&checks)[5..], ["a-usr", "b-etc"]);
    assert_eq!(problems, [""; 0]);
}

#[test]
fn a_built_in_check_can_be_tuned_by_its_id() {
    let text = "[[check]]\nid = \"network\"\nkind = \"network\"\nseverity = \"advisory\"\ndeadline = \"5m\"\n\
        interval = \"2s\"\ninterface = \"eth1\"\n";
    let (checks, problems) = loaded(&[(&format!("{FOLDER}/net.toml"), text)]);
    assert_eq!(ids(&checks), BUILT_IN);
    let network = &checks[2];
    assert_eq!(network.severity, Severity::Advisory);
    assert_eq!((network.deadline, network.interval), (Duration::from_secs(300), Duration::from_secs(2)));
    assert_eq!(problems, [""; 0]);
}

/// Each text, the id that is unknown because of it, and what the problem says.
const WRONG: [(&str, &str, &str); 14] = [
    ("[[check]]\nid = \"a\"\nkind = \"tpc\"\n", "a", "x.toml line 1: there is no kind `tpc`"),
    (
        "[[check]]\nkind = \"tcp\"\naddress = \"1.1.1.1:1\"\n",
        "checks-d-x-1",
        "x.toml line 1: a check needs an `id`",
    ),
    ("\n[[check]]\nid = \"A b\"\nkind = \"sshd\"\n", "checks-d-x-1", "x.toml line 3: `A b` is no id"),
    ("[[check]]\nid = \"a\"\n", "a", "line 1: a check needs a `kind`"),
    (
        "[[check]]\nid = \"a\"\nkind = \"tcp\"\naddress = \"1.1.1.1:1\"\nport = 1\n",
        "a",
        "x.toml line 5: unknown field `port`",
    ),
    ("[[check]]\nid = \"a\"\nkind = \"tcp\"\n", "a", "line 1: missing field `address`"),
    (
        "[[check]]\nid = \"a\"\nkind = \"tcp\"\naddress = \"localhost:1\"\n",
        "a",
        "x.toml line 4: invalid socket address",
    ),
    (
        "[[check]]\nid = \"a\"\nkind = \"sshd\"\nseverity = \"must\"\n",
        "a",
        "x.toml line 4: unknown variant `must`",
    ),
    (
        "[[check]]\nid = \"a\"\nkind = \"sshd\"\ndeadline = \"90\"\n",
        "a",
        "x.toml line 4: `90` is no time span",
    ),
    ("[[check]]\nid = \"a\"\nkind = \"sshd\"\ndeadline = \"7h\"\n", "a", "a `deadline` is at most 6h"),
    ("[[check]]\nid = \"network\"\nkind = \"sshd\"\n", "network", "is of kind `network`, not `sshd`"),
    ("[[check]\nid = \"a\"\n", "checks-d-x", "x.toml line 1"),
    ("[check]\nid = \"a\"\n", "checks-d-x", "write [[check]]"),
    ("[[checks]]\nid = \"a\"\n", "checks-d-x", "line 1: unknown key `checks`"),
];

#[test]
fn what_is_wrong_is_a_problem_with_file_and_line_and_an_unknown_check() {
    for (text, id, said) in WRONG {
        let good = "[[check]]\nid = \"good\"\nkind = \"failed-units\"\n";
        let path = format!("{FOLDER}/x.toml");
        let (checks, problems) = loaded(&[(&path, text), (&format!("{FOLDER}/y.toml"), good)]);
        let broken: Vec<&str> = checks.iter().filter(|c| c.kind.is_err()).map(|c| c.id.as_str()).collect();
        assert_eq!(broken, [id], "{text}: {problems:?}");
        assert!(problems.len() == 1 && problems[0].contains(said), "{text}: {problems:?}");
        assert!(problems[0].starts_with("/etc/firstlight/checks.d/x.toml line "), "{problems:?}");
        assert!(ids(&checks).contains(&"good"), "{text}");
    }
}

#[test]
fn two_checks_of_one_id_are_both_not_believed() {
    let text =
        "[[check]]\nid = \"a\"\nkind = \"failed-units\"\n[[check]]\nid = \"a\"\nkind = \"failed-units\"\n";
    let (checks, problems) = loaded(&[(&format!("{FOLDER}/x.toml"), text)]);
    assert_eq!(ids(&checks)[5..], ["a"]);
    assert!(checks[5].kind.is_err());
    assert!(problems[0].contains("x.toml line 4") && problems[0].contains("x.toml line 1"), "{problems:?}");
}

#[test]
fn one_wrong_check_leaves_the_others_of_its_file() {
    let text = "[[check]]\nid = \"a\"\nkind = \"nix\"\n[[check]]\nid = \"b\"\nkind = \"failed-units\"\n";
    let (checks, problems) = loaded(&[(&format!("{FOLDER}/x.toml"), text)]);
    let after: Vec<(&str, bool)> = checks[5..].iter().map(|c| (c.id.as_str(), c.kind.is_ok())).collect();
    assert_eq!((after, problems.len()), (vec![("a", false), ("b", true)], 1));
}

#[test]
fn checks_beyond_the_limit_are_named_and_unknown() {
    let check = |n: usize| format!("[[check]]\nid = \"c{n}\"\nkind = \"failed-units\"\n");
    let text: String = (0..140).map(check).collect();
    let (checks, problems) = loaded(&[(&format!("{FOLDER}/x.toml"), &text)]);
    assert_eq!(checks.len(), MAX_CHECKS);
    assert!(checks.last().unwrap().kind.is_err());
    assert!(problems[0].contains("c122, c123"), "{problems:?}");
}

#[test]
fn what_cannot_be_read_is_not_taken_for_absent() {
    let (folder, machine) = root_with(&[(&format!("{FOLDER}/big.toml"), &" ".repeat((1 << 20) + 1))]);
    std::os::unix::fs::symlink("absent", folder.path().join(FOLDER).join("link.toml")).unwrap();
    std::fs::create_dir(folder.path().join(FOLDER).join("folder.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/null", folder.path().join(FOLDER).join("null.toml")).unwrap();
    let mut problems = Vec::new();
    let checks = load(&machine.root, &Settings::default(), &mut problems);
    let expected = ["checks-d-big", "checks-d-folder", "checks-d-link", "checks-d-null"];
    assert_eq!(ids(&checks)[5..], expected);
    assert!(checks[5..].iter().all(|check| check.kind.is_err()));
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn names_to_skip_that_no_check_has_are_a_problem() {
    let (_folder, machine) = root_with(&[]);
    let settings =
        Settings { skipped_checks: vec!["network".into(), "netwrok".into()], ..Settings::default() };
    let mut problems = Vec::new();
    load(&machine.root, &settings, &mut problems);
    assert!(problems.len() == 1 && problems[0].contains("netwrok"), "{problems:?}");
}

#[test]
fn a_check_that_was_not_understood_is_unknown_in_the_report() {
    let text = "[[check]]\nid = \"a\"\nkind = \"nix\"\nseverity = \"advisory\"\n";
    let (_folder, machine) = root_with(&[(&format!("{FOLDER}/x.toml"), text)]);
    let settings = Settings::default();
    let checks: Vec<Check> =
        load(&machine.root, &settings, &mut Vec::new()).into_iter().filter(|check| check.id == "a").collect();
    let bus = Bus::default();
    let context = Context { machine: &machine, settings: &settings, golden: None, outcome: None, bus: &bus };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let results = runtime.block_on(run(&context, &checks));
    assert_eq!((results[0].verdict, results[0].severity), (Verdict::Unknown, Severity::Advisory));
    assert!(results[0].reason.contains("no kind `nix`"), "{results:?}");
}

/// Every `toml` block of the documentation and every sample, by the parser that guests use.
#[test]
fn samples_and_documentation_are_understood() {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(repository.join("packaging/checks.d")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") {
            texts.push((name, std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
    assert_eq!(texts.len(), 5);
    let manual = std::fs::read_to_string(repository.join("docs/checks.md")).unwrap();
    let examples: Vec<&str> =
        manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    for kind in spec::KINDS {
        assert!(manual.contains(&format!("\n### {kind}\n")), "docs/checks.md has no section on {kind}");
        let example = format!("kind = \"{kind}\"");
        assert!(
            examples.iter().any(|text| text.contains(&example)),
            "docs/checks.md has no example of {kind}"
        );
    }
    texts.extend(
        examples.iter().enumerate().map(|(n, text)| (format!("example{n}.toml"), (*text).to_owned())),
    );
    for (name, text) in texts {
        let (checks, problems) = loaded(&[(&format!("{FOLDER}/{name}"), &text)]);
        assert_eq!(problems, [""; 0], "{name}\n{text}");
        assert!(checks.iter().all(|check| check.kind.is_ok()), "{name}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever stands in a file: no panic, unique kebab-case ids, and a problem for everything that is not understood.
    #[test]
    fn nothing_in_a_file_is_lost_or_kills_the_agent(
        at in 0_usize..4000, byte: u8, cut in 0_usize..4000, noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)
    ) {
        let manual = include_str!("../../../../docs/checks.md");
        let examples: String = manual.split("```toml\n").skip(2).map(|rest| rest.split("```").next().unwrap_or("")).collect();
        let mut bytes = examples.into_bytes();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.splice(cut % length..cut % length, noise);
        let text = String::from_utf8_lossy(&bytes);
        let (checks, problems) = loaded(&[(&format!("{FOLDER}/x.toml"), &text)]);
        let broken = checks.iter().filter(|check| check.kind.is_err()).count();
        proptest::prop_assert!(checks.len() > 5 && checks.len() <= MAX_CHECKS);
        proptest::prop_assert!((broken == 0) == problems.is_empty(), "{:?}", problems);
        let mut names = ids(&checks);
        names.sort_unstable();
        names.dedup();
        proptest::prop_assert_eq!(names.len(), checks.len());
    }
}
