//! Whether we are trusted, how, and for what. Pure.

use super::facts::RemoteFacts;
use crate::backend::findings::{Findings, State};
use crate::backend::incus::client::endpoint::server::Server;
use crate::backend::incus::client::verdict::Class;

pub(super) fn judge_access(remote: &RemoteFacts, server: &Server, findings: &mut Findings) {
    let what = format!("trust of {}", remote.name);
    if !server.is_trusted() {
        let own = remote.tls.as_ref().and_then(|tls| tls.own);
        let own = own.map_or_else(|| "ours".to_owned(), |own| own.to_string());
        findings
            .say(State::Fail, what, format!("the server does not trust our certificate ({own})"))
            .with_fix([
                add_certificate(&remote.project),
                "on the server; CERTIFICATE is the file that `certificate` names".to_owned(),
            ]);
        return;
    }
    let Some(_) = &remote.tls else {
        findings.say(State::Ok, what, "over its socket: who may open it administers the server");
        return;
    };
    match &remote.known_as {
        Some(Ok(trusted)) if trusted.restricted => {
            let projects = match trusted.projects.is_empty() {
                true => "no project".to_owned(),
                false => trusted.projects.join(", "),
            };
            let why = format!("known as `{}`, restricted to {projects}", trusted.name);
            findings.say(State::Ok, what, why);
        }
        Some(Ok(trusted)) => {
            let why = format!("known as `{}`, not restricted: it administers the server", trusted.name);
            findings.say(State::Ok, what, why).with_fix([format!(
                "`incus config trust edit FINGERPRINT` can restrict it to project {}",
                remote.project
            )]);
        }
        // Trusted by the server's authority (PKI), it is in no list.
        Some(Err(error)) if matches!(error.class, Class::Gone | Class::Denied) => {
            findings.say(State::Ok, what, "trusted, and not in the list that is shown to us");
        }
        Some(Err(error)) => {
            findings.say(State::Unknown, what, format!("trusted; for what cannot be told: {error}"));
        }
        None => {
            findings.say(State::Ok, what, format!("trusted ({})", server.auth_user_method));
        }
    }
}

/// For the server's side.
fn add_certificate(project: &str) -> String {
    format!(
        "incus config trust add-certificate CERTIFICATE --name firstlight --restricted --projects {project}"
    )
}
