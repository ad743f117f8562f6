//! Our own certificate and key for servers of Incus: those that are there, or new ones.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use firstlight_shared::secret::Secret;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::super::failure::{Exit, Failure};
use crate::backend::incus::client::link::ClientCertificate;
use crate::clock::{now_ms, utc};
use crate::config::SecretFile;

/// Of a certificate that we make: a server trusts none that has ended.
const YEARS: i32 = 10;

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The pair, and whether it was made just now.
pub(super) fn load_or_make(files: &Files) -> Result<(ClientCertificate, bool), Failure> {
    let (has_certificate, has_key) = (files.certificate.exists(), files.key.exists());
    match (has_certificate, has_key) {
        (true, true) => load(files).map(|pair| (pair, false)),
        (false, false) => make(files).map(|pair| (pair, true)),
        _ => {
            let (there, missing) =
                if has_key { (&files.key, &files.certificate) } else { (&files.certificate, &files.key) };
            let message = format!("{} is there, and {} is not", there.display(), missing.display());
            Err(Failure::new(Exit::Environment, message)
                .hint("they belong together: bring the other one back, or move this one away"))
        }
    }
}

fn load(files: &Files) -> Result<ClientCertificate, Failure> {
    let key = SecretFile::File(files.key.clone()).read(None).map_err(|error| {
        Failure::new(Exit::Environment, error.to_string())
            .hint("it is for its user alone: chmod 0600, and chown to the companion's user")
    })?;
    let pem = std::fs::read(&files.certificate).map_err(|error| unusable(&files.certificate, error))?;
    ClientCertificate::parse(&pem, &key)
        .map_err(|error| unusable(&files.certificate, format_args!("{error} ({})", files.key.display())))
}

fn make(files: &Files) -> Result<ClientCertificate, Failure> {
    let failed =
        |error: rcgen::Error| Failure::new(Exit::Environment, format!("no certificate can be made: {error}"));
    let key = KeyPair::generate().map_err(failed)?;
    let pem = params().and_then(|params| params.self_signed(&key)).map_err(failed)?.pem();
    let secret = Secret::new(key.serialize_pem().into_bytes());
    // The key first: a certificate without one is of no use to anybody.
    write(&files.key, secret.expose(), 0o600)?;
    write(&files.certificate, pem.as_bytes(), 0o644)?;
    ClientCertificate::parse(pem.as_bytes(), &secret).map_err(|error| unusable(&files.certificate, error))
}

fn params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "firstlight");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    let year: i32 = utc(now_ms()).get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
    // From a while ago: the server's clock may be behind ours.
    (params.not_before, params.not_after) =
        (date_time_ymd(year - 1, 1, 1), date_time_ymd(year + YEARS, 1, 1));
    Ok(params)
}

/// A new file; one that has come meanwhile is not written over.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, error))?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| unusable(path, error))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Environment, format!("{}: {why}", path.display()))
        .hint("run it as root, or name other files with --certificate and --key")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::backend::link::tls::ends_s;

    #[test]
    fn a_pair_is_made_once_and_nobody_else_reads_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            Files { certificate: folder.path().join("a/incus.crt"), key: folder.path().join("a/incus.key") };
        let (first, made) = load_or_make(&files).unwrap();
        assert!(made);
        let (again, made) = load_or_make(&files).unwrap();
        assert!(!made && again.fingerprint() == first.fingerprint());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&files.key), mode(&files.certificate)), (0o600, 0o644));
        let years = (ends_s(first.leaf().unwrap()).unwrap() - i64::try_from(now_ms() / 1000).unwrap())
            / (365 * 86_400);
        assert!((9..=10).contains(&years), "{years}");
    }

    #[test]
    fn half_a_pair_is_no_pair_and_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files { certificate: folder.path().join("c"), key: folder.path().join("k") };
        std::fs::write(&files.key, "x").unwrap();
        assert!(load_or_make(&files).unwrap_err().message.contains("is not"));
        assert_eq!(std::fs::read(&files.key).unwrap(), b"x");
        assert!(!files.certificate.exists());
        std::fs::write(&files.certificate, "y").unwrap();
        // Both are there, the key for everybody to read.
        assert!(load_or_make(&files).is_err());
    }
}
