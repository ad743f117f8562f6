//! Certificates of the host CA for guests: who gets one, for which names, and when anew.
//!
//! A guest gets its certificates with the acknowledgement of its report, and later ones with that of its evidence. Names are
//! what the operator called the guest; addresses those that were chosen for it, or that the hypervisor lists: nothing
//! that the guest says of itself.

use std::net::IpAddr;

use async_trait::async_trait;
use firstlight_shared::error::{Chain, Code};
use firstlight_shared::wire::HostKey;
use ssh_key::PublicKey;

use super::facts::reached_at;
use super::hosts::host_of;
use crate::clock::now_ms;
use crate::config::SshCaSettings;
use crate::intake::Certify;
use crate::job::fold;
use crate::outcome::Fault;
use crate::ssh_ca::{CaError, CaKey, Terms, is_due, of_guest, problem_of, sign};
use crate::store::{Store, StoreError, StoredCertificate};

/// A key that an operator has signed: of a host that is no guest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForeignKey {
    /// The public key line.
    pub public_key: String,
    /// Names and addresses for which the certificate shall hold; no patterns.
    pub principals: Vec<String>,
    /// Seconds; as configured, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity_s: Option<u64>,
}

/// The CA as others know it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct ShownAuthority {
    /// The public key line.
    pub public_key: String,
    pub fingerprint: String,
    /// The socket of the ssh-agent that has the key; absent, if it is in a file.
    pub agent: Option<String>,
    /// Seconds that a certificate holds.
    pub validity_s: u64,
    /// Guests' names are certified in each of these, too.
    pub domains: Vec<String>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("{}", .0.message)]
    Refused(Fault),
}

/// The CA and what it has issued.
#[derive(Debug, Clone)]
pub struct Certifier {
    store: Store,
    settings: SshCaSettings,
}

/// Whom certificates are for.
struct Subject<'a> {
    job: &'a str,
    guest: &'a str,
    principals: Vec<String>,
    validity_s: u64,
    by: &'a str,
}

impl Certifier {
    pub fn new(store: Store, settings: SshCaSettings) -> Self {
        Self { store, settings }
    }

    /// None: there is no CA.
    ///
    /// # Errors
    /// There is one, and it cannot be used.
    pub async fn authority(&self) -> Result<Option<ShownAuthority>, CertifyError> {
        let Some(key) = self.key().await? else { return Ok(None) };
        Ok(Some(ShownAuthority {
            public_key: key.line().trim_end().to_owned(),
            fingerprint: key.fingerprint().to_string(),
            agent: key.in_agent().map(|socket| socket.display().to_string()),
            validity_s: self.settings.validity.as_secs(),
            domains: self.settings.domains.clone(),
        }))
    }

    /// The guest's current certificates, or, if `anew`, fresh ones; those that are due are made. None: there is no CA, or
    /// nobody has verified keys of this guest.
    ///
    /// # Errors
    /// The store or the CA fails.
    pub async fn of_guest(
        &self,
        job: &str,
        by: &str,
        anew: bool,
    ) -> Result<Option<Vec<StoredCertificate>>, CertifyError> {
        let Some(key) = self.key().await? else { return Ok(None) };
        let Some(row) = self.store.job(job).await? else { return Ok(None) };
        let guest = row.guest.clone();
        let Some(host) = host_of(&self.store, row).await? else { return Ok(None) };
        let subject = self.subject(job, &guest, &self.addresses(job).await?, by);
        self.current(key, subject, &host.keys, anew).await.map(Some)
    }

    /// A certificate for a host that is no guest.
    ///
    /// # Errors
    /// The names or the key cannot be certified; there is no CA; the store or the CA fails.
    pub async fn foreign(
        &self,
        wanted: &ForeignKey,
        by: &str,
    ) -> Result<Vec<StoredCertificate>, CertifyError> {
        let bad = |what: String| CertifyError::Refused(Fault::new("bad-request", what));
        if wanted.principals.is_empty() {
            return Err(bad("a certificate without names would hold for every host: name some".to_owned()));
        }
        for principal in &wanted.principals {
            if let Some(problem) = problem_of(principal) {
                let shown = firstlight_shared::text::escape(principal, 100);
                return Err(bad(format!("it cannot be certified for `{shown}`: {problem}")));
            }
        }
        let validity_s = wanted.validity_s.unwrap_or(self.settings.validity.as_secs());
        if validity_s == 0 || validity_s > 3650 * 86_400 {
            return Err(bad("a validity of 1 second to 3650 days is wanted".to_owned()));
        }
        let key = self.key().await?.ok_or_else(|| CertifyError::Refused(no_authority()))?;
        let public = PublicKey::from_openssh(wanted.public_key.trim()).map_err(CaError::HostKey)?;
        let host_key = HostKey::of(&public).map_err(CaError::HostKey)?;
        let guest = wanted.principals.first().cloned().unwrap_or_default();
        let subject =
            Subject { job: "", guest: &guest, principals: wanted.principals.clone(), validity_s, by };
        self.current(key, subject, &[host_key], true).await
    }

    fn subject<'a>(&self, job: &'a str, guest: &'a str, addresses: &[IpAddr], by: &'a str) -> Subject<'a> {
        let principals = of_guest(guest, &self.settings.domains, addresses);
        Subject { job, guest, principals, validity_s: self.settings.validity.as_secs(), by }
    }

    async fn addresses(&self, job: &str) -> Result<Vec<IpAddr>, StoreError> {
        let events = self.store.events(job).await?;
        Ok(fold(&events).map(|state| reached_at(&state)).unwrap_or_default())
    }

    /// One for each key. What is new is recorded first.
    async fn current(
        &self,
        ca: CaKey,
        subject: Subject<'_>,
        keys: &[HostKey],
        anew: bool,
    ) -> Result<Vec<StoredCertificate>, CertifyError> {
        if subject.principals.is_empty() {
            return Ok(Vec::new());
        }
        let known = if anew { Vec::new() } else { self.store.certificates_of_job(subject.job).await? };
        let now = now_ms() / 1000;
        let (authority, renew_before) =
            (ca.line().trim_end().to_owned(), self.settings.renew_before.as_secs());
        let good =
            |one: &&StoredCertificate| !is_due(one, &authority, &subject.principals, now, renew_before);
        let (mut current, mut wanted) = (Vec::new(), Vec::new());
        for key in keys {
            let mut of_key = known.iter().filter(|one| one.fingerprint == key.fingerprint);
            match of_key.find(good) {
                Some(one) => current.push(one.clone()),
                None => wanted.push(blank(&subject, key, &authority, now)),
            }
        }
        if wanted.is_empty() {
            return Ok(current);
        }
        let lines: Vec<String> = wanted.iter().map(|(_, line, _)| line.clone()).collect();
        let terms: Vec<Terms> = wanted.iter().map(|(_, _, terms)| terms.clone()).collect();
        // An agent may take its time.
        let signed = tokio::task::spawn_blocking(move || {
            lines.iter().zip(&terms).map(|(line, terms)| sign(&ca, line, terms)).collect::<Vec<_>>()
        });
        let signed = signed.await.map_err(|_| CaError::Sign(ssh_key::Error::Crypto))?;
        let mut issued = Vec::new();
        for ((blank, ..), line) in wanted.into_iter().zip(signed) {
            match line {
                Ok(certificate) => issued.push(StoredCertificate { certificate, ..blank }),
                // Of a kind that cannot be certified: the others can.
                Err(error @ CaError::HostKey(_)) if subject.by == RENEWAL || subject.by == REPORT => {
                    tracing::warn!(guest = subject.guest, error = %Chain(&error), "a host key got no certificate");
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.store.keep_certificates(&issued).await?;
        current.extend(issued);
        Ok(current)
    }

    async fn key(&self) -> Result<Option<CaKey>, CaError> {
        let settings = self.settings.clone();
        tokio::task::spawn_blocking(move || CaKey::load(&settings))
            .await
            .map_err(|_| CaError::Sign(ssh_key::Error::Crypto))?
    }
}

/// Who asked, where no person did.
const REPORT: &str = "report";
const RENEWAL: &str = "renewal";

/// A certificate that is not signed yet, the key's line and the terms.
fn blank(
    subject: &Subject<'_>,
    key: &HostKey,
    authority: &str,
    now: u64,
) -> (StoredCertificate, String, Terms) {
    let id = match subject.job {
        "" => format!("firstlight {}", subject.guest),
        job => format!("firstlight {} {job}", subject.guest),
    };
    let terms = Terms::new(id, subject.principals.clone(), now, subject.validity_s);
    let blank = StoredCertificate {
        serial: terms.serial,
        authority: authority.to_owned(),
        job: subject.job.to_owned(),
        guest: subject.guest.to_owned(),
        fingerprint: key.fingerprint.clone(),
        principals: terms.principals.clone(),
        valid_after: terms.valid_after,
        valid_before: terms.valid_before,
        issued_at_ms: now_ms(),
        by: subject.by.to_owned(),
        certificate: String::new(),
        revoked: false,
    };
    (blank, key.public_key.clone(), terms)
}

/// The operator has not made a CA.
pub fn no_authority() -> Fault {
    Fault::new("no-ssh-ca", "this companion has no host CA").with_hint(
        "`firstlight ca init`, on the companion's machine, makes one; `[ssh_ca] enabled` must not be false",
    )
}

#[async_trait]
impl Certify for Certifier {
    async fn for_report(&self, job: &str, guest: &str, keys: &[HostKey]) -> Vec<String> {
        let made = async {
            let Some(key) = self.key().await? else { return Ok(Vec::new()) };
            let subject = self.subject(job, guest, &self.addresses(job).await?, REPORT);
            self.current(key, subject, keys, false).await
        };
        lines(guest, made.await)
    }

    async fn for_evidence(&self, job: &str, guest: &str) -> Vec<String> {
        lines(guest, self.of_guest(job, RENEWAL, false).await.map(Option::unwrap_or_default))
    }
}

/// A guest is none the less ready without a certificate.
fn lines(guest: &str, made: Result<Vec<StoredCertificate>, CertifyError>) -> Vec<String> {
    match made {
        Ok(made) => made.into_iter().map(|one| one.certificate).collect(),
        Err(error) => {
            tracing::error!(guest, error = %Chain(&error), "the guest gets no host certificate");
            Vec::new()
        }
    }
}

impl From<CertifyError> for Fault {
    fn from(error: CertifyError) -> Self {
        let hint = "the key, or the ssh-agent that has it, is for the companion's user: docs/ssh-trust.md";
        match error {
            CertifyError::Refused(fault) => fault,
            CertifyError::Ca(error) => Self::new(error.code(), Chain(&error).to_string()).with_hint(hint),
            CertifyError::Store(error) => Self::new(error.code(), Chain(&error).to_string()),
        }
    }
}
