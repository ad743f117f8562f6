//! Telling of guests at length: the report page, what took how long, what is shared, and the manual.

use std::os::unix::fs::PermissionsExt as _;

use crate::rig::{Rig, program, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_page_is_shown_written_and_printed() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    let page = rig.run(&["report", "web-01"]).await.ends_with(0).stdout;
    for words in [
        "web-01  ready in ",
        "Where the time went",
        "await-report",
        "Identity",
        "Host keys",
        "[ED25519 256]",
        "Checks",
        "02:",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains('\u{1b}') && page.lines().all(|line| line.chars().count() <= 100), "{page}");
    let json = rig.run(&["report", "web-01", "--json"]).await.ends_with(0).json();
    assert_eq!((&json["version"], &json["head"]["state"]), (&1.into(), &"done".into()));
    let job = json["head"]["job"].as_str().unwrap();
    let again = rig.run(&["report", job, "--json"]).await.ends_with(0).json();
    assert_eq!(again["host_keys"], json["host_keys"]);
    // The fingerprint is the one that known-hosts gives.
    let keys = rig.run(&["known-hosts", "web-01", "--json"]).await.ends_with(0).json();
    assert_eq!(keys["hosts"][0]["keys"][0]["fingerprint"], json["host_keys"][0]["fingerprint"]);

    let file = rig.path("web-01.html");
    let to = file.display().to_string();
    let written = rig.run(&["report", "web-01", "--html", &to]).await.ends_with(0);
    assert!(written.stdout.is_empty(), "{written:?}");
    let html = std::fs::read_to_string(&file).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("web-01") && !html.contains("<script"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    rig.run(&["report", "web-02", "--html", &to]).await.ends_with(0);
    assert!(std::fs::read_to_string(&file).unwrap().contains("<title>web-02"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let printed = rig.run(&["report", "web-01", "--html", "-"]).await.ends_with(0).stdout;
    assert!(printed.starts_with("<!doctype html>"));
    let folder = rig.folder.path().display().to_string();
    rig.run(&["report", "web-01", "--html", &folder]).await.ends_with(4).tells(&["regular file"]);
    rig.run(&["report", "web-01", "--html", &format!("{folder}/no/such/x")])
        .await
        .ends_with(4)
        .tells(&["x: "]);
    for command in ["report", "blame"] {
        rig.run(&[command, "nobody"]).await.ends_with(5).tells(&["nobody"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_took_long_is_told_longest_first() {
    let rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.make = std::time::Duration::from_millis(700));
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let blame = rig.run(&["blame", "web-01"]).await.ends_with(0).stdout;
    assert!(blame.contains("restore") && blame.contains(" in all"), "{blame}");
    let blame = rig.run(&["blame", "web-01", "--json"]).await.ends_with(0).json();
    let took: Vec<u64> =
        blame["lines"].as_array().unwrap().iter().map(|line| line["took_ms"].as_u64().unwrap()).collect();
    assert!(took.len() > 5 && took.is_sorted_by(|one, next| one >= next) && took[0] >= 500, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_shared_the_end_says_so() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    let none = rig.run(&["duplicates"]).await.ends_with(0);
    assert!(none.stdout.contains("no identity is shared"), "{none:?}");
    let json = rig.run(&["duplicates", "--json"]).await.ends_with(0).json();
    assert_eq!(json, serde_json::json!({"open": 0, "total": 0, "duplicates": [], "next": null}));
    rig.run(&["duplicates", "--before", "zzz"])
        .await
        .ends_with(3)
        .tells(&["`zzz` is not the `next` of a page"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_share_an_identity_are_told_until_one_is_gone() {
    let rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.alike = true);
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    // The copy is found out, and kept to be looked at.
    let copy = rig.run(&["up", &rig.spec(&["web-02"], "on_failure = \"keep\"")]).await.ends_with(6);
    assert!(copy.stderr.contains("machine-id"), "{copy:?}");
    let shared = rig.run(&["duplicates"]).await.ends_with(1);
    for words in ["machine-id", "web-01", "web-02"] {
        assert!(shared.stdout.contains(words), "{words}: {shared:?}");
    }
    let json = rig.run(&["duplicates", "--json"]).await.ends_with(1).json();
    assert_eq!(
        (&json["open"], &json["duplicates"][0]["kind"]),
        (&1.into(), &"machine-id".into()),
        "{json:#}"
    );
    rig.run(&["destroy", "web-02"]).await.ends_with(0);
    let settled = rig.run(&["duplicates"]).await.ends_with(0);
    assert!(settled.stdout.contains("web-02"), "it is remembered: {settled:?}");
    let json = rig.run(&["duplicates", "--json"]).await.ends_with(0).json();
    assert_eq!((&json["open"], &json["total"]), (&0.into(), &1.into()), "{json:#}");
}

#[tokio::test]
async fn the_manual_and_every_completion_are_printed_without_a_companion() {
    let folder = tempfile::tempdir().unwrap();
    let page = run(program(&["man"])).await.ends_with(0).stdout;
    assert!(page.contains(".TH firstlight 1"), "{page}");
    let to = folder.path().join("man1");
    run(program(&["man", "--dir", &to.display().to_string()])).await.ends_with(0);
    assert_eq!(std::fs::read_to_string(to.join("firstlight.1")).unwrap(), page);
    assert!(to.join("firstlight-report.1").exists() && to.join("firstlight-store-backup.1").exists());
    run(program(&["man", "--dir", "/dev/null"])).await.ends_with(4).tells(&["/dev/null"]);

    for (shell, words) in [
        ("bash", "_firstlight()"),
        ("zsh", "#compdef firstlight"),
        ("fish", "complete -c firstlight"),
        ("elvish", "set edit:completion:arg-completer[firstlight]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = run(program(&["completions", shell])).await.ends_with(0).stdout;
        for word in [words, "duplicates", "blame", "known-hosts", "html"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    // The shell itself reads it, where one is there: bash is.
    let script = run(program(&["completions", "bash"])).await.ends_with(0).stdout;
    let file = folder.path().join("firstlight.bash");
    std::fs::write(&file, script).unwrap();
    let asks = "source \"$1\"; COMP_WORDS=(firstlight dup); COMP_CWORD=1; _firstlight firstlight dup firstlight; \
                echo \"${COMPREPLY[@]}\"";
    let asked =
        tokio::process::Command::new("bash").args(["-c", asks, "bash"]).arg(&file).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "duplicates", "{asked:?}");
}
