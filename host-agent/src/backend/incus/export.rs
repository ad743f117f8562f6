//! What an exported instance says of itself: `backup/index.yaml`, the first member of its archive.

use std::io::Read as _;
use std::path::Path;

use firstlight_shared::ids::MacAddress;
use firstlight_shared::text::escape;

use crate::outcome::Fault;

/// Of the index; the configuration of an instance with its snapshots is far smaller.
const MOST: u64 = 4 << 20;
const INDEX: &str = "backup/index.yaml";

/// The MACs of its interfaces, in the order of their names.
///
/// # Errors
/// The file cannot be read, or is no export.
pub(super) async fn macs(file: &Path) -> Result<Vec<MacAddress>, Fault> {
    Ok(macs_in(&index(file).await?))
}

/// Whether it is one, and of a container or a machine (`container`, `virtual-machine`).
pub(super) async fn kind(file: &Path) -> Result<Option<String>, Fault> {
    Ok(value(&index(file).await?, "type"))
}

async fn index(file: &Path) -> Result<String, Fault> {
    let (file, shown) = (file.to_owned(), escape(&file.to_string_lossy(), 160));
    let read = tokio::task::spawn_blocking(move || read_index(&file)).await;
    let wrong = |why: String| {
        Fault::new("no-export", format!("golden: {shown} is no exported instance: {why}")).with_hint(
            "`incus export INSTANCE FILE` writes one; its compression is to be gzip, xz, zstd or none",
        )
    };
    match read {
        Ok(Ok(Some(index))) => Ok(index),
        Ok(Ok(None)) => Err(wrong(format!("it does not begin with {INDEX}"))),
        Ok(Err(error)) => Err(wrong(error.to_string())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn read_index(file: &Path) -> std::io::Result<Option<String>> {
    let mut archive = tar::Archive::new(crate::packing::open(file)?);
    let Some(first) = archive.entries()?.next() else { return Ok(None) };
    let first = first?;
    if first.path()?.to_string_lossy().trim_start_matches("./") != INDEX {
        return Ok(None);
    }
    let mut text = String::new();
    first.take(MOST).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// The instance's own configuration comes before those of its snapshots and volumes.
fn macs_in(index: &str) -> Vec<MacAddress> {
    let mut macs: Vec<(String, MacAddress)> = Vec::new();
    for line in index.lines() {
        let line = line.trim();
        let Some((key, value)) = line.split_once(": ") else { continue };
        let name = key.strip_prefix("volatile.").and_then(|key| key.strip_suffix(".hwaddr"));
        if let (Some(name), Ok(mac)) = (name, value.trim_matches(['"', '\'']).parse())
            && macs.iter().all(|(known, _)| known != name)
        {
            macs.push((name.to_owned(), mac));
        }
    }
    macs.sort_by(|one, other| one.0.cmp(&other.0));
    macs.into_iter().map(|(_, mac)| mac).collect()
}

fn value(index: &str, key: &str) -> Option<String> {
    index.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(": ")?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: t1\nbackend: dir\ntype: container\nconfig:\n  container:\n    config:\n      \
                        volatile.eth1.hwaddr: 10:66:6a:00:00:02\n      volatile.eth0.hwaddr: \"10:66:6a:00:00:01\"\n    \
                        expanded_config:\n      volatile.eth0.hwaddr: 10:66:6a:00:00:0f\n      type: nic\n";

    #[test]
    fn macs_and_kind_are_those_of_the_instance() {
        let macs: Vec<String> = macs_in(TEXT).iter().map(ToString::to_string).collect();
        assert_eq!(macs, ["10:66:6a:00:00:01", "10:66:6a:00:00:02"]);
        assert_eq!(value(TEXT, "type").as_deref(), Some("container"));
    }

    #[tokio::test]
    async fn an_export_is_read_however_it_is_packed_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let archive = |name: &str, member: &str| {
            let path = folder.path().join(name);
            let mut header = tar::Header::new_gnu();
            header.set_size(TEXT.len() as u64);
            header.set_mode(0o644);
            let mut builder = tar::Builder::new(Vec::new());
            builder.append_data(&mut header, member, TEXT.as_bytes()).unwrap();
            let plain = builder.into_inner().unwrap();
            let packed = match name {
                "zstd" => zstd::encode_all(plain.as_slice(), 1).unwrap(),
                "gzip" => {
                    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    std::io::Write::write_all(&mut encoder, &plain).unwrap();
                    encoder.finish().unwrap()
                }
                _ => plain,
            };
            std::fs::write(&path, packed).unwrap();
            path
        };
        for name in ["plain", "gzip", "zstd"] {
            assert_eq!(kind(&archive(name, INDEX)).await.unwrap().as_deref(), Some("container"), "{name}");
        }
        assert_eq!(kind(&archive("other", "etc/passwd")).await.unwrap_err().code, "no-export");
        let text = folder.path().join("text");
        std::fs::write(&text, "no archive").unwrap();
        assert_eq!(kind(&text).await.unwrap_err().code, "no-export");
    }
}
