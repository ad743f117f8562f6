//! The .rpm packages, by rpm itself in a root of their own: Debian has the program, and no database of it.

use firstlight_tests::dist::Product;
use firstlight_tests::golden::Variant;
use firstlight_tests::run;

use super::{changed, everything, lines, rpm_file};
use crate::support::unpacked;

#[test]
fn rpm_installs_verifies_and_erases_both() {
    let root = unpacked(Variant::Control);
    let path = root.path();
    // Debian's packages are unknown to rpm, and so is what they provide.
    let rpm = |words: &[&str]| {
        let mut rpm = run::command(["rpm", "--dbpath", "/var/cache/rpm", "--root"]);
        rpm.arg(&path).args(words);
        rpm
    };
    run::must(&mut rpm(&["--initdb"])).unwrap();
    let before = everything(&path);
    for product in Product::ALL {
        let file = rpm_file(product);
        run::must(run::command(["rpm", "--checksig", "--nosignature"]).arg(&file)).unwrap();
        run::must(rpm(&["--install", "--nodeps"]).arg(&file)).unwrap();
        run::must(rpm(&["--verify", "--nodeps"]).arg(product.name())).unwrap();
    }
    for unit in [
        "firstlight-identity.service",
        "firstlight-report.service",
        "firstlight-evidence.timer",
        "firstlight.service",
    ] {
        let asked =
            run::run(run::command(["systemctl", "is-enabled", "--root"]).arg(&path).arg(unit)).unwrap();
        assert_eq!(asked.stdout.trim(), "disabled", "{unit}");
    }
    assert!(std::fs::read_to_string(path.join("etc/passwd")).unwrap().contains("\nfirstlight:"));
    let configuration = lines(&mut rpm(&["--query", "--configfiles", "firstlight"]));
    assert_eq!(configuration, ["/etc/firstlight/firstlight.toml"]);

    run::must(&mut rpm(&["--erase", "firstlight-guest", "firstlight"])).unwrap();
    let left = changed(&before, &everything(&path));
    let folders =
        ["+ etc/credstore", "+ etc/firstlight", "+ etc/firstlight/firstlight.toml.d", "+ usr/share/licenses"];
    let others: Vec<&String> = left
        .iter()
        .filter(|line| !folders.contains(&line.as_str()) && !path.join(&line[2..]).is_dir())
        .collect();
    assert!(others.is_empty(), "{others:?}");
}
