//! Without a companion: clear ends, and nothing made.

use crate::rig::{Rig, exists, program, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_a_companion_that_is_not_there_is_told_what_to_do() {
    let rig = Rig::idle();
    for words in [
        &["jobs"][..],
        &["show", "web-01"],
        &["watch"],
        &["watch", "web-01"],
        &["reports"],
        &["known-hosts"],
        &["cancel", "web-01"],
        &["destroy", "web-01"],
        &["store", "check"],
    ] {
        rig.run(words).await.ends_with(5).tells(&["no companion answers", "firstlight serve"]);
        assert!(!exists(&rig.state()), "{words:?} made a state folder");
    }
    let spec = rig.spec(&["web-01"], "");
    rig.run(&["up", &spec, "--detach"]).await.ends_with(5).tells(&["--detach"]);
    assert!(!exists(&rig.state()));
}

#[tokio::test]
async fn wrong_usage_ends_with_its_own_code() {
    for words in [
        &["no-such-command"][..],
        &["up"],
        &["jobs", "--in", "ready"],
        &["--url", "https://x", "jobs"],
        &["--url", "http://x", "--pin", "x", "jobs"],
        &["--url", "https://x", "--pin", "x", "jobs"],
    ] {
        let ran = run(program(words)).await.ends_with(2);
        assert!(ran.stderr.starts_with("error: ") && ran.stdout.is_empty(), "{ran:#?}");
    }
}

#[tokio::test]
async fn help_has_the_exit_codes_and_the_description_is_printed() {
    let help = run(program(&["--help"])).await.ends_with(0);
    assert!(help.stdout.contains("Exit codes:\n  0 ") && help.stdout.contains("\n  130 "), "{}", help.stdout);
    let described = run(program(&["openapi"])).await.ends_with(0).json();
    assert!(described["paths"]["/v1/up"]["post"].is_object());
    let script = run(program(&["completions", "bash"])).await.ends_with(0);
    assert!(script.stdout.contains("_firstlight()"));
}

#[tokio::test]
async fn a_bad_spec_is_shown_with_its_place() {
    let rig = Rig::idle();
    let spec = rig.spec(&["web-01"], "memroy = 3");
    for command in ["up", "plan"] {
        rig.run(&[command, &spec]).await.ends_with(3).tells(&["memroy", "line 4"]);
    }
    rig.run(&["plan", "/no/such.toml"]).await.ends_with(3).tells(&["/no/such.toml"]);
}
