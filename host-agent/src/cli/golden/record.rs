//! `--record`: what was found goes to the companion, for its page of goldens.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::args::PlaceArguments;
use super::super::client::{Client, Place};
use super::super::failure::{Exit, Failure};
use super::super::live::say;
use super::super::{Session, left, up};
use crate::bringup::VerdictRequest;
use crate::daemon::Purpose;
use crate::golden::Report;
use crate::store::GoldenVerdict;

/// A golden as a companion knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    backend: String,
    /// None: the file that is looked at, by its path.
    golden: Option<String>,
}

/// `local`, or `BACKEND:NAME`.
pub(super) fn known(text: &str) -> Result<Known, String> {
    let (backend, golden) = match text.split_once(':') {
        Some((backend, golden)) => (backend, Some(golden.to_owned())),
        None => (text, None),
    };
    let needs_name = backend != "local" && golden.is_none();
    if backend.is_empty() || needs_name || golden.as_deref() == Some("") {
        return Err("BACKEND:NAME is wanted, the name as specs have it: \
             `proxmox:local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst`, `incus:debian`"
            .to_owned());
    }
    Ok(Known { backend: backend.to_owned(), golden })
}

/// Size of the file, before it is read. None: a folder.
pub(super) fn size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|about| about.len())
}

pub(super) async fn record(
    place: &PlaceArguments,
    known: &Known,
    path: &Path,
    bytes: Option<u64>,
    report: &Report,
) -> Result<(), Failure> {
    let golden = match &known.golden {
        Some(name) => name.clone(),
        None => own_name(path)?,
    };
    let request = VerdictRequest { backend: known.backend.clone(), golden, bytes, look: report.in_short() };
    let session = Session { place: place.clone(), client: Client::new(Place::of(place)?) };
    let post = session.client.post::<GoldenVerdict>("/v1/golden-verdicts", &request);
    if session.client.answers().await {
        post.await?;
    } else if let Some(settings) = left(&session)? {
        up::within(&settings, Purpose::Look, post).await?;
    } else {
        post.await?;
    }
    say(&format!("recorded for {} golden {}", known.backend, request.golden));
    Ok(())
}

/// As a spec beside it has it: links in its folder are resolved, itself is not.
fn own_name(path: &Path) -> Result<String, Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = path.file_name().and_then(OsStr::to_str).and_then(|name| {
        let whole: PathBuf = folder.canonicalize().ok()?.join(name);
        whole.into_os_string().into_string().ok()
    });
    named.ok_or_else(|| {
        Failure::new(Exit::BadInput, format!("{}: no name for this golden", path.display()))
            .hint("say how specs name it: --record=local:/PATH")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_golden_is_named_as_specs_name_it() {
        let is = |backend: &str, golden: Option<&str>| {
            Ok(Known { backend: backend.into(), golden: golden.map(Into::into) })
        };
        assert_eq!(known("local"), is("local", None));
        assert_eq!(known("local:/g/x.tar"), is("local", Some("/g/x.tar")));
        assert_eq!(known("proxmox:local:backup/x"), is("proxmox", Some("local:backup/x")));
        for wrong in ["", ":", "proxmox", "incus:", ":x"] {
            assert!(known(wrong).unwrap_err().contains("BACKEND:NAME"), "{wrong}");
        }
    }
}
