//! One connection: requests in, answers out, and the faults that break it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::super::answer::Answer;
use super::super::call::{Call, Method, Parameters};
use super::super::faults::Fault;
use super::super::route::is_direct;
use super::super::task::Doom;
use super::super::world::{Step, World};
use super::http::{self, Head};
use super::shared::{Logged, Shared};

/// Idle connections are closed after exactly this.
const IDLE: Duration = Duration::from_secs(5);
/// The last of so many requests says close.
const REQUESTS: u32 = 100;
const TO_HTTPS: &[u8] = b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://localhost:8006/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What becomes of a request.
enum Outcome {
    Answer(Answer),
    /// The connection breaks, now.
    Cut,
}

pub(super) async fn serve(shared: Arc<Shared>, node: String, number: u64, stream: TcpStream) {
    let mut first = [0_u8; 1];
    match tokio::time::timeout(IDLE, stream.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    if first[0] != 0x16 {
        return send_to_https(stream).await;
    }
    let strange = shared.lock().faults.is_strange(&node);
    let Some(config) = shared.certificate(&node, strange) else { return };
    let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    let mut left = REQUESTS;
    let mut buffer = Vec::new();
    while let Some((head, body)) = read(&mut stream, &mut buffer).await {
        left -= 1;
        let (bytes, close) = match head {
            Err(answer) => (http::render(&answer, false, true), true),
            Ok(head) => match answer(&shared, &node, number, &head, &body).await {
                (Outcome::Cut, _) => return,
                (Outcome::Answer(answer), relayed) => {
                    let close = answer.status >= 400 || left == 0 || head.close;
                    (http::render(&answer, relayed, close), close)
                }
            },
        };
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if close {
            break;
        }
    }
    let _ = stream.shutdown().await;
}

/// What was asked is read first: closing on unread bytes would take the answer back.
async fn send_to_https(mut stream: TcpStream) {
    let mut asked = [0_u8; 4096];
    // Whoever speaks plain HTTP may be gone already.
    let _ = tokio::time::timeout(IDLE, stream.read(&mut asked)).await;
    let _ = stream.write_all(TO_HTTPS).await;
    let _ = stream.shutdown().await;
}

/// The next request; none once the connection is done with.
async fn read(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut Vec<u8>,
) -> Option<(Result<Head, Answer>, Vec<u8>)> {
    loop {
        match http::parse_head(buffer) {
            Err(answer) => return Some((Err(answer), Vec::new())),
            Ok(Some((head, end))) if http::refuse(&head).is_err() => {
                buffer.drain(..end);
                return Some((Ok(head), Vec::new()));
            }
            Ok(Some((head, end))) if buffer.len() >= end + head.length => {
                let body = buffer[end..end + head.length].to_vec();
                buffer.drain(..end + head.length);
                return Some((Ok(head), body));
            }
            Ok(_) => {}
        }
        match tokio::time::timeout(IDLE, stream.read_buf(buffer)).await {
            Ok(Ok(count)) if count > 0 => {}
            _ => return None,
        }
    }
}

/// The outcome, and whether it went through a daemon's worker.
async fn answer(shared: &Shared, node: &str, number: u64, head: &Head, body: &[u8]) -> (Outcome, bool) {
    let request = http::refuse(head).and_then(|method| Ok((method, http::parameters(head, body)?)));
    let (method, parameters) = match request {
        Ok(request) => request,
        Err(refused) => return (Outcome::Answer(refused), false),
    };
    let target = head.target.split('?').next().unwrap_or_default();
    let formats = ["/api2/json", "/api2/extjs"];
    let Some(path) = formats.iter().find_map(|format| target.strip_prefix(format)) else {
        return (Outcome::Answer(Answer::plain(501, "no such uri")), false);
    };
    let relayed = !is_direct(method, path);
    let (fault, who) = {
        let mut state = shared.lock();
        let fault = state.faults.take(method, path);
        (fault, state.world.access.authenticate(head.authorization.as_deref()))
    };
    let at = shared.bring_up_to_date();
    let mut entry = Logged::new(node, number, method, path, &parameters, fault.as_ref(), at);
    let outcome = match who {
        Err(reason) => refuse_slowly(shared, reason).await,
        Ok(who) => {
            let _worker = if relayed { shared.worker(node, path).await } else { None };
            entry.who.clone_from(&who);
            carry_out(shared, fault, call(node, &who, method, path, parameters)).await
        }
    };
    if let Outcome::Answer(answer) = &outcome {
        (entry.status, entry.reason) = (Some(answer.status), answer.reason.clone());
    }
    shared.note(entry);
    match outcome {
        Outcome::Answer(answer) if target.starts_with("/api2/extjs") => {
            (Outcome::Answer(answer.as_extjs()), relayed)
        }
        outcome => (outcome, relayed),
    }
}

fn call(node: &str, who: &str, method: Method, path: &str, parameters: Parameters) -> Call {
    Call::new(node, who, method, path, parameters)
}

async fn refuse_slowly(shared: &Shared, reason: &str) -> Outcome {
    let after = shared.lock().world.profile.unauthorized;
    shared.pause(after).await;
    Outcome::Answer(Answer::bare(401, reason))
}

async fn carry_out(shared: &Shared, fault: Option<Fault>, call: Call) -> Outcome {
    match fault {
        None => Outcome::Answer(run(shared, call, |_| {}).await),
        Some(Fault::Delay(delay)) => {
            shared.pause(delay).await;
            Outcome::Answer(run(shared, call, |_| {}).await)
        }
        Some(Fault::CutBefore) => Outcome::Cut,
        Some(Fault::CutAfter) => {
            run(shared, call, |_| {}).await;
            Outcome::Cut
        }
        Some(Fault::Late(delay)) => {
            late(shared, call, delay);
            Outcome::Cut
        }
        Some(Fault::Fails(text)) => Outcome::Answer(super::super::answer::Refusal::died(text).into()),
        Some(Fault::Unreachable) => Outcome::Answer(Answer::bare(595, "Connection refused")),
        Some(Fault::TimedOut { applied }) => {
            let limit = shared.lock().world.profile.relay;
            if applied {
                late(shared, call, limit);
            }
            shared.pause(limit).await;
            Outcome::Answer(Answer::bare(596, "Connection timed out"))
        }
        Some(Fault::Unauthorized) => refuse_slowly(shared, "Authentication failed!").await,
        Some(Fault::TaskFails(text)) => Outcome::Answer(
            run(shared, call, move |world| world.doom = Some(Doom::Fails(text.clone()))).await,
        ),
        Some(Fault::TaskLost) => {
            Outcome::Answer(run(shared, call, |world| world.doom = Some(Doom::Lost)).await)
        }
        Some(Fault::LosesRace) => Outcome::Answer(run(shared, call, |world| world.lose_race = true).await),
    }
}

fn late(shared: &Shared, call: Call, delay: Duration) {
    let mut state = shared.lock();
    let at = shared.now(&state.world) + delay;
    state.world.call_late(at, call);
    drop(state);
    shared.wake();
}

/// Calls until there is an answer, then takes the real daemon's time.
async fn run(shared: &Shared, mut call: Call, prepare: impl Fn(&mut World)) -> Answer {
    call.arrived = shared.bring_up_to_date();
    let answer = loop {
        let changed = shared.changed();
        let step = {
            let mut state = shared.lock();
            prepare(&mut state.world);
            let step = state.world.call(&call);
            // What was prepared for this call must not meet another one.
            (state.world.doom, state.world.lose_race) = (None, false);
            step
        };
        match step {
            Step::Answer(answer) => break *answer,
            Step::Wait { until } => shared.wait(changed, until).await,
        }
    };
    shared.wake();
    shared.pause(answer.after).await;
    answer
}
