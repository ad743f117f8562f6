//! What guests are made of: an image of the server, or an exported instance on this machine.

use std::path::{Path, PathBuf};

use firstlight_shared::text::escape;

use super::client::Client;
use super::client::endpoint::image::{ImageFacts, ReadAlias, ReadImage};
use super::client::endpoint::instance::Kind;
use super::client::verdict::{Class, Code};
use crate::backend::GuestPlan;
use crate::outcome::Fault;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Golden {
    /// Alias or fingerprint.
    Image(String),
    /// An absolute path: what `incus export` writes.
    Export(PathBuf),
}

/// A path begins with `/`; no alias does.
pub(super) fn golden(plan: &GuestPlan) -> Golden {
    match plan.golden.starts_with('/') {
        true => Golden::Export(PathBuf::from(&plan.golden)),
        false => Golden::Image(plan.golden.clone()),
    }
}

pub(super) fn is_export(plan: &GuestPlan) -> bool {
    matches!(golden(plan), Golden::Export(_))
}

/// Containers unless it says otherwise.
pub(super) fn kind(plan: &GuestPlan) -> Kind {
    match plan.kind {
        Some(crate::backend::Kind::Vm) => Kind::VirtualMachine,
        Some(crate::backend::Kind::Lxc) | None => Kind::Container,
    }
}

/// The image of this alias, or of this fingerprint or its beginning.
///
/// # Errors
/// The server has none, or none that the client may use; or there is no answer.
pub(super) async fn image(client: &Client, name: &str) -> Result<ImageFacts, Fault> {
    let fingerprint = match client.send(&ReadAlias { name: name.to_owned() }).await {
        Ok(alias) => alias.target,
        Err(error) if is_missing(error.class) && is_fingerprint(name) => name.to_owned(),
        Err(error) if is_missing(error.class) => return Err(no_image(client, name)),
        Err(error) => return Err(Fault::from(&error)),
    };
    match client.send(&ReadImage { fingerprint }).await {
        Ok(image) => Ok(image),
        Err(error) if is_missing(error.class) => Err(no_image(client, name)),
        Err(error) => Err(Fault::from(&error)),
    }
}

fn is_missing(class: Class) -> bool {
    matches!(class, Class::Gone | Class::Rejected(Code::NoImage))
}

fn is_fingerprint(name: &str) -> bool {
    (6..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn no_image(client: &Client, name: &str) -> Fault {
    let (shown, project) = (escape(name, 120), client.project());
    Fault::new(
        Code::NoImage.as_str(),
        format!(
            "golden: `{}` has no image `{shown}` in project {project}, or the client may not see it",
            client.remote()
        ),
    )
    .with_hint(format!("`incus image list --project {project}` on the server shows what is there"))
}

/// What changes when the file does.
///
/// # Errors
/// There is no such file.
pub(super) async fn file_mark(path: &Path) -> Result<String, Fault> {
    let metadata = length_of(path).await?;
    let written = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let written = written.map_or("?".to_owned(), |since| since.as_secs().to_string());
    Ok(format!("{} bytes, written at {written}", metadata.len()))
}

pub(super) async fn length_of(path: &Path) -> Result<std::fs::Metadata, Fault> {
    let shown = escape(&path.to_string_lossy(), 160);
    let metadata = tokio::fs::metadata(path).await.map_err(|error| {
        Fault::new("no-golden", format!("golden: {shown} cannot be read: {error}")).with_hint(
            "an exported instance (`incus export`) is read by the companion: its user needs the right to",
        )
    })?;
    match metadata.is_file() {
        true => Ok(metadata),
        false => Err(Fault::new("no-golden", format!("golden: {shown} is no file"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wanted::testing::plan;
    use super::*;

    #[test]
    fn a_path_is_an_export_and_everything_else_an_image() {
        for (name, export) in
            [("golden", false), ("6a3082c282f7", false), ("a/b", false), ("/srv/web.tar.gz", true)]
        {
            assert_eq!(is_export(&plan(json!({ "golden": name }))), export, "{name}");
        }
        assert!(is_fingerprint("6a3082c282f7") && !is_fingerprint("golden") && !is_fingerprint("6a30"));
    }
}
