//! Items that only their owner's program can make anew, and that take longer than sshd may wait: left to the late phase.

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::items::{self, FirstBoot, Item, Reset};
use firstlight_shared::text::escape;

use super::{Scan, find::find};
use crate::sys::{Ended, Root, run_program};

/// `make-ssl-cert` makes an RSA key.
const TIME_LIMIT: Duration = Duration::from_secs(60);
const KEPT: usize = 400;

/// Names of what a walk found and the late phase is to renew.
pub(crate) fn late(scan: &Scan) -> Vec<String> {
    let late = scan.found.iter().filter(|found| found.item.first_boot == FirstBoot::Late);
    let mut names: Vec<String> = late.map(|found| found.item.name.to_owned()).collect();
    names.dedup();
    names
}

/// Of names that may mean other things too, those that are such items.
pub(crate) fn late_among(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| late_item(name).is_some()).cloned().collect()
}

fn late_item(name: &str) -> Option<&'static Item> {
    items::named(name).filter(|item| item.first_boot == FirstBoot::Late)
}

/// Has the owner's program make the item anew, and sees that it did. Nothing to do where it is gone meanwhile.
///
/// # Errors
/// One line.
pub(crate) fn renew_late(root: &Root, name: &str) -> Result<(), String> {
    let Some(item) = late_item(name) else { return Err(format!("there is no item `{name}` to renew late")) };
    let Reset::Run(words) = item.reset else { return Err(format!("{name} has no program that renews it")) };
    let found = find(root, std::iter::once(item)).found;
    found.iter().try_for_each(|found| renew_by(root, &found.path, words))
}

fn renew_by(root: &Root, path: &str, words: &[&str]) -> Result<(), String> {
    let [program, arguments @ ..] = words else { return Err(format!("/{path}: no program is named")) };
    let read = || root.read(path).map(|bytes| bytes.map(zeroize::Zeroizing::new));
    let before = read().map_err(|error| Chain(&error).to_string())?;
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    let ran =
        run_program(program, &arguments, TIME_LIMIT, KEPT).map_err(|error| Chain(&error).to_string())?;
    let said = escape(ran.tail.trim(), 200);
    if ran.ended != Ended::Exited(0) {
        return Err(format!("/{path} is still the golden's: {program} failed: {said}"));
    }
    match read() {
        Ok(now) if now != before => Ok(()),
        Ok(_) => Err(format!("/{path} is still the golden's: {program} left it as it was: {said}")),
        Err(error) => Err(Chain(&error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Fuse;

    #[test]
    fn only_a_program_that_made_something_new_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "golden").unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        let shell = |script: &str| renew_by(&root, "key", &["sh", "-c", script]);
        assert!(shell("true").unwrap_err().contains("left it as it was"));
        assert!(shell("echo no >&2; exit 1").unwrap_err().contains("failed: no"));
        assert!(renew_by(&root, "key", &["no-such-program"]).is_err());
        assert_eq!(shell(&format!("echo new > {}", file.display())), Ok(()));
    }

    #[test]
    fn the_snakeoil_key_is_what_this_is_for() {
        let names = ["rsa", "snakeoil", "ssh-host-keys"].map(str::to_owned);
        assert_eq!(late_among(&names), ["snakeoil"]);
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        assert_eq!(renew_late(&root, "snakeoil"), Ok(()), "nothing is there, so nothing is to be done");
        assert!(renew_late(&root, "rsa").is_err());
    }
}
