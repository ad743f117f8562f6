//! The .rpm packages, by rpm itself in a root of their own: Debian has the program, and no database of it.

use std::fs;

use firstlight_tests::dist::{Product, VERSION};
use firstlight_tests::golden::Variant;
use firstlight_tests::run;

use super::{changed, everything, lines, rpm_file};
use crate::support::unpacked;

const IDENTITY: &str = "firstlight-identity.service";
const CONFIGURATION: &str = "etc/firstlight/firstlight.toml";

#[test]
fn rpm_installs_verifies_upgrades_and_erases_both() {
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
        let file = rpm_file(product, 1);
        run::must(run::command(["rpm", "--checksig", "--nosignature"]).arg(&file)).unwrap();
        run::must(rpm(&["--install", "--nodeps"]).arg(&file)).unwrap();
        run::must(rpm(&["--verify", "--nodeps"]).arg(product.name())).unwrap();
    }
    let systemctl = |words: [&str; 2]| {
        run::run(run::command(["systemctl", "--root"]).arg(&path).args(words)).unwrap().stdout
    };
    for unit in [IDENTITY, "firstlight-report.service", "firstlight-evidence.timer", "firstlight.service"] {
        assert_eq!(systemctl(["is-enabled", unit]).trim(), "disabled", "{unit}");
    }
    assert!(fs::read_to_string(path.join("etc/passwd")).unwrap().contains("\nfirstlight:"));
    let configuration = lines(&mut rpm(&["--query", "--configfiles", "firstlight"]));
    assert_eq!(configuration, [format!("/{CONFIGURATION}")]);

    // What was enabled stays so, and what was changed.
    systemctl(["enable", IDENTITY]);
    fs::write(path.join(CONFIGURATION), "[log]\nlevel = \"debug\"\n").unwrap();
    run::must(rpm(&["--upgrade", "--nodeps"]).arg(rpm_file(Product::Guest, 2))).unwrap();
    run::must(rpm(&["--upgrade", "--nodeps", "--replacepkgs"]).arg(rpm_file(Product::Companion, 1))).unwrap();
    assert_eq!(systemctl(["is-enabled", IDENTITY]).trim(), "enabled");
    assert_eq!(
        lines(&mut rpm(&["--query", "firstlight-guest"])),
        [format!("firstlight-guest-{VERSION}-2.x86_64")]
    );
    assert!(fs::read_to_string(path.join(CONFIGURATION)).unwrap().contains("debug"));

    run::must(&mut rpm(&["--erase", "firstlight-guest", "firstlight"])).unwrap();
    let kept = path.join(format!("{CONFIGURATION}.rpmsave"));
    assert!(fs::read_to_string(&kept).unwrap().contains("debug"));
    fs::remove_file(&kept).unwrap();
    let left = changed(&before, &everything(&path));
    let folders =
        ["+ etc/credstore", "+ etc/firstlight", "+ etc/firstlight/firstlight.toml.d", "+ usr/share/licenses"];
    let others: Vec<&String> = left
        .iter()
        .filter(|line| !folders.contains(&line.as_str()) && !path.join(&line[2..]).is_dir())
        .collect();
    assert!(others.is_empty(), "{others:?}");
}
