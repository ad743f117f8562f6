//! A copy of the embedded store: whole, durable, and for its owner's eyes only.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::AnyConnection;

use crate::store::error::{StoreError, failed};

pub(super) async fn to_file(sql: &mut AnyConnection, to: &Path) -> Result<(), StoreError> {
    let in_the_way = |error| StoreError::file(to, error);
    // Fails if it exists, and nobody else can read it from its first byte on.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(in_the_way)?;
    let copied = copy(sql, to).await;
    if copied.is_err() {
        // Half a copy is none.
        let _ = std::fs::remove_file(to);
    }
    copied
}

async fn copy(sql: &mut AnyConnection, to: &Path) -> Result<(), StoreError> {
    let name = to.to_str().ok_or_else(|| StoreError::file(to, std::io::ErrorKind::InvalidFilename.into()))?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(sql).await.map_err(failed("write its copy"))?;
    let durable = || {
        File::open(to)?.sync_all()?;
        let folder = to.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    durable().map_err(|error| StoreError::file(to, error))
}
