use super::*;

fn parse(text: &str) -> Result<Vec<GuestSpec>, String> {
    parse_spec(text, Path::new("x.toml"), Path::new("/specs"))
        .map_err(|error| firstlight_shared::error::Chain(&error).to_string())
}

#[test]
fn a_counted_guest_becomes_many_and_defaults_hold() {
    let guests = parse("[[guest]]\nname = \"web-{n}\"\ncount = 3\ngolden = \"g.tar\"\n").unwrap();
    let names: Vec<&str> = guests.iter().map(|guest| guest.plan.name.as_str()).collect();
    assert_eq!(names, ["web-01", "web-02", "web-03"]);
    assert_eq!(guests[0].plan.golden, Path::new("/specs/g.tar"));
    assert_eq!(
        (guests[0].backend.as_str(), guests[0].timeout_ms, guests[0].intent),
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
        (format!("{guest}backend = \"vmware\"\n"), "`local` only"),
        (format!("{guest}mounts = [{{ path = \"/a/../b\" }}]\n"), "absolute path"),
        (format!("{guest}mounts = [{{ path = \"rel\" }}]\n"), "absolute path"),
        (format!("{guest}mounts = [{{ path = \"/a\" }}, {{ path = \"/a\" }}]\n"), "two volumes"),
        (format!("{guest}readiness = {{ timeout = \"soon\" }}\n"), "90s"),
        (format!("{guest}readiness = {{ timeout = \"é\" }}\n"), "90s"),
        ("[[guest]]\nname = \"A\"\ngolden = \"g\"\n".into(), "not a host name"),
        ("[[guest]]\nname = \"../x\"\ngolden = \"g\"\n".into(), "not a host name"),
        ("[[guest]]\nname = \"a-{n}\"\ncount = 4000\ngolden = \"g\"\n".into(), "1 to 100"),
        ("[[guest]]\nname = \"a-{n}\"\ngolden = \"g\"\n".into(), "needs a count"),
        ("[[guest]]\nname = \"a\"\n".into(), "golden"),
    ] {
        let message = parse(&text).expect_err(&text);
        assert!(message.contains(said), "{text}\n gave {message}\n without {said}");
    }
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
