//! A server of Incus: its key is pinned, ours is made, and the lines of the remote are printed. With a token the server
//! trusts us at once; else the command for its side is told.

use std::io::Read as _;
use std::path::Path;

use firstlight_shared::error::Chain;

use super::super::args::PlaceArguments;
use super::super::failure::{Exit, Failure};
use super::super::live::say;
use super::super::print;
use super::super::progress::Progress;
use super::keypair::{Files, load_or_make};
use super::{LIMIT, TrustArguments, agreed, another, shown, wrong_address};
use crate::backend::incus::client::call::Limits;
use crate::backend::incus::client::endpoint::certificate::RedeemToken;
use crate::backend::incus::client::endpoint::project::ListProjects;
use crate::backend::incus::client::endpoint::server::ReadServer;
use crate::backend::incus::client::link::{
    Address, ClientCertificate, Place, Proxy, SERVERS, Server, TrustToken, present,
};
use crate::backend::incus::client::verdict::{ApiError, Patience};
use crate::backend::incus::client::{Client, Settings};
use crate::backend::link::Presented;
use crate::backend::link::pin::Pin;
use crate::config::names::is_word;

/// Longer than any token.
const MAX_TOKEN: u64 = 64 * 1024;

pub(super) async fn trust(place: &PlaceArguments, arguments: &TrustArguments) -> Result<Exit, Failure> {
    let token = arguments.trust_token.as_deref().map(read_token).transpose()?;
    let candidates = match (&arguments.address, &token) {
        (Some(address), _) => vec![SERVERS.read(address).map_err(wrong_address)?],
        (None, Some(token)) => token.addresses.clone(),
        (None, None) => Vec::new(),
    };
    if let Some(name) = arguments.name.iter().chain(&arguments.project).find(|name| !is_word(name)) {
        return Err(Failure::new(Exit::Usage, format!("`{name}` is no name of letters, digits and `-_.`")));
    }
    let (address, presented) = first_that_answers(&candidates, arguments.proxy.as_ref()).await?;
    say(shown(&address.to_string(), &presented)?.trim_end());
    compared(&address, &presented, token.as_ref(), arguments)?;
    let files = files(place, arguments);
    let (certificate, made) = load_or_make(&files)?;
    if made {
        say(&format!("made {} and its key {}", files.certificate.display(), files.key.display()));
    }
    let client = client(&address, &presented, certificate, arguments)?;
    let trusted = trusted(&client, token.as_ref()).await?;
    let project = match &arguments.project {
        Some(project) => project.clone(),
        None if trusted => only_project(&client).await,
        None => "default".to_owned(),
    };
    print(&lines(&address, &presented, &files, &project, arguments))?;
    tell(&files, &project, trusted);
    Ok(Exit::Ok)
}

/// A secret is not for the command line, which everybody can read.
fn read_token(file: &Path) -> Result<TrustToken, Failure> {
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().lock().take(MAX_TOKEN).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|file| file.take(MAX_TOKEN).read_to_string(&mut text)),
    };
    let shown = file.display();
    read.map_err(|error| Failure::new(Exit::BadInput, format!("{shown}: {error}")))?;
    // `incus config trust add` says a line of its own before the token.
    let token = text.trim().lines().last().unwrap_or_default();
    TrustToken::parse(token).map_err(|error| {
        Failure::new(Exit::BadInput, format!("{shown}: {error}"))
            .hint("on the server: incus config trust add firstlight --restricted --projects PROJECT")
    })
}

/// A server names all of its addresses; we need not reach each.
async fn first_that_answers(
    candidates: &[Address],
    proxy: Option<&Proxy>,
) -> Result<(Address, Presented), Failure> {
    let mut failure = None;
    for address in candidates {
        let progress = Progress::start(&format!("connecting to {address}"));
        let presented = present(address, proxy, LIMIT).await;
        drop(progress);
        match presented {
            Ok(presented) => return Ok((address.clone(), presented)),
            Err(error) => failure = Some(Chain(&error).to_string()),
        }
    }
    let why = failure.unwrap_or_else(|| "no address is named".to_owned());
    Err(Failure::new(Exit::Environment, why).hint(
        "is the address right, does the server listen there (`incus config get core.https_address`), and may this machine reach it?",
    ))
}

/// By the token, which came from the server itself; by what was read there before; or by a person, now.
fn compared(
    address: &Address,
    presented: &Presented,
    token: Option<&TrustToken>,
    arguments: &TrustArguments,
) -> Result<(), Failure> {
    let address = address.to_string();
    match token {
        Some(token) if token.server != presented.certificate => Err(another(&address)),
        Some(_) if arguments.fingerprint.is_none() => Ok(()),
        _ => {
            let how = [
                "compare the fingerprint on the server itself:".to_owned(),
                format!("  incus info | grep certificate_fingerprint   # {}", presented.certificate.plain()),
                "  openssl x509 -in /var/lib/incus/server.crt -noout -fingerprint -sha256".to_owned(),
            ];
            let again = format!(
                "read it on the server, then: firstlight trust {address} --backend incus --fingerprint AA:BB:.."
            );
            agreed(&address, presented, arguments.fingerprint, &how, &again)
        }
    }
}

fn files(place: &PlaceArguments, arguments: &TrustArguments) -> Files {
    let sources = place.sources();
    let folder = sources.file.parent().unwrap_or(Path::new("/")).to_owned();
    let or =
        |given: &Option<std::path::PathBuf>, name: &str| given.clone().unwrap_or_else(|| folder.join(name));
    Files { certificate: or(&arguments.certificate, "incus.crt"), key: or(&arguments.key, "incus.key") }
}

fn client(
    address: &Address,
    presented: &Presented,
    certificate: ClientCertificate,
    arguments: &TrustArguments,
) -> Result<Client, Failure> {
    let server = Server {
        address: address.clone(),
        pin: Pin::Keys(vec![presented.key]),
        certificate,
        proxy: arguments.proxy.clone(),
    };
    let settings = Settings {
        name: address.to_string(),
        place: Place::Server(server),
        project: "default".to_owned(),
        limits: Limits::default(),
        patience: Patience::NONE,
    };
    Client::new(settings).map_err(|error| Failure::new(Exit::Environment, Chain(&error).to_string()))
}

/// Whether it trusts us, in the end.
async fn trusted(client: &Client, token: Option<&TrustToken>) -> Result<bool, Failure> {
    let failed = |error: ApiError| Failure::new(Exit::Environment, error.to_string());
    let trusted = client.send(&ReadServer).await.map_err(failed)?.is_trusted();
    let Some(token) = token.filter(|_| !trusted) else { return Ok(trusted) };
    let redeem = RedeemToken { token: token.expose().to_owned() };
    client.send(&redeem).await.map_err(|error| {
        failed(error).hint("a token counts once, and may have ended: `incus config trust list-tokens` shows those that are left")
    })?;
    Ok(client.send(&ReadServer).await.map_err(failed)?.is_trusted())
}

/// The one that we may see, if there is only one.
async fn only_project(client: &Client) -> String {
    let projects = client.send(&ListProjects).await.unwrap_or_default();
    match &projects[..] {
        [only] => only.name.clone(),
        _ => "default".to_owned(),
    }
}

/// For the configuration.
fn lines(
    address: &Address,
    presented: &Presented,
    files: &Files,
    project: &str,
    arguments: &TrustArguments,
) -> String {
    let host = Some(address.host.as_str()).filter(|host| is_word(host)).unwrap_or("incus");
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let line = |key: &str, value: &str| format!("{key} = {}\n", quoted(value));
    let mut text = "[[incus.remote]]\n".to_owned();
    text += &line("name", arguments.name.as_deref().unwrap_or(host));
    text += &line("address", &format!("https://{address}"));
    text += &format!(
        "keys = [{}] # of the certificate {}\n",
        quoted(&presented.key.to_string()),
        presented.certificate
    );
    text += &line("certificate", &files.certificate.to_string_lossy());
    text += &line("key", &files.key.to_string_lossy());
    text += &line("project", project);
    if let Some(proxy) = &arguments.proxy {
        text += &line("proxy", &proxy.to_string());
    }
    text
}

fn tell(files: &Files, project: &str, trusted: bool) {
    if trusted {
        say("the server trusts our certificate");
    } else {
        let name = files.certificate.file_name().unwrap_or_default().to_string_lossy();
        say(&format!(
            "the server does not trust our certificate yet. Copy {} there (it is no secret), and then, there:",
            files.certificate.display()
        ));
        say(&format!(
            "  incus config trust add-certificate {name} --name firstlight --restricted --projects {project}"
        ));
    }
    say(&format!(
        "hint: the lines belong into the configuration; the companion's user has to be able to read {}",
        files.key.display()
    ));
    say("hint: then `firstlight doctor --backend incus` tries it");
}
