//! `keys`: makes what is missing of the configured types at once, as `ssh-keygen -A` does; for image builders and
//! hands. What is there is left alone, and neither stamp nor decision is touched.

use firstlight_shared::error::Chain;

use super::{HostKeys, KeyType, MadeKey, Private, install, make, scan};
use crate::sys::Root;

/// Makes and installs the missing keys; each type on a thread of its own, since RSA takes so much longer.
///
/// # Errors
/// One line: the folder cannot be read, a key not be made, or none be written. Nothing is then half there.
pub(crate) fn make_missing(
    root: &Root,
    types: impl Fn(&HostKeys) -> Vec<KeyType>,
) -> Result<Vec<MadeKey>, String> {
    let present = scan(root).map_err(|error| Chain(&error).to_string())?;
    let missing: Vec<KeyType> =
        types(&present).into_iter().filter(|kind| !has_private(&present, *kind)).collect();
    let made: Vec<MadeKey> = std::thread::scope(|scope| {
        let threads: Vec<_> = missing.iter().map(|kind| scope.spawn(|| make(*kind))).collect();
        let made = threads.into_iter().map(|thread| match thread.join() {
            Ok(made) => made.map_err(|error| Chain(&error).to_string()),
            Err(_) => Err("a thread that makes keys ended".to_owned()),
        });
        made.collect::<Result<_, _>>()
    })?;
    install(root, &present, &made, &[]).map_err(|error| Chain(&error).to_string())?;
    Ok(made)
}

/// A public half alone is no key; anything else of that name may be somebody's.
fn has_private(present: &HostKeys, kind: KeyType) -> bool {
    let name = present.place_of(kind).name;
    present.named(&name).is_some_and(|key| key.private != Private::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Fuse;

    #[test]
    fn missing_keys_are_made_and_present_ones_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        let one = |_: &HostKeys| KeyType::ALL[..1].to_vec();
        let two = |_: &HostKeys| KeyType::ALL[..2].to_vec();
        let first = make_missing(&root, one).unwrap();
        assert_eq!(first.len(), 1);
        let second = make_missing(&root, two).unwrap();
        assert_eq!(second.iter().map(|key| key.kind).collect::<Vec<_>>(), [KeyType::Ecdsa]);
        assert!(make_missing(&root, two).unwrap().is_empty());
        let now = scan(&root).unwrap();
        assert!(now.keys.iter().all(|key| key.is_whole()) && now.keys.len() == 2, "{now:?}");
        assert_eq!(now.named("ssh_host_ed25519_key").unwrap().fingerprint(), Some(first[0].fingerprint()));
    }

    #[test]
    fn a_foreign_file_in_place_of_a_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/ssh/ssh_host_ed25519_key");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "somebody's").unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        let one = |_: &HostKeys| vec![KeyType::Ed25519];
        assert!(make_missing(&root, one).unwrap().is_empty());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
    }
}
