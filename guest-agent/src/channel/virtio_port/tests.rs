//! The conversation over a socket pair, which reads and writes as a port does.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::channel::tests::{ack_text, message};

/// What came of an exchange in which `stale` stood in the port and `answer` was the host's; and the lines it read.
fn converse_with(stale: &str, answer: String) -> (Result<Answer, String>, Vec<String>) {
    let (port, mut host) = UnixStream::pair().unwrap();
    port.set_nonblocking(true).unwrap();
    host.write_all(stale.as_bytes()).unwrap();
    let server = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut reader = BufReader::new(host.try_clone().unwrap());
        while lines.len() < 2 {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            lines.push(line);
        }
        // In two parts: a line need not come at once.
        let (first, second) = answer.split_at(answer.len() / 2);
        host.write_all(first.as_bytes()).unwrap();
        std::thread::sleep(PAUSE * 2);
        let _ = host.write_all(second.as_bytes());
        lines
    });
    let port = File::from(OwnedFd::from(port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let limited = tokio::time::timeout(Duration::from_secs(10), converse(&port, &message())).await;
        limited.unwrap().map_err(|error| error.to_string())
    });
    (answer, server.join().unwrap())
}

#[test]
fn the_report_goes_out_as_one_line_after_an_empty_one() {
    let (answer, lines) = converse_with("", format!("{}\n", ack_text(message().sha256())));
    assert!(matches!(answer, Ok(Answer::Acknowledged(_))), "{answer:?}");
    assert_eq!(lines[0], "\n");
    assert_eq!(lines[1].trim_end().as_bytes(), &*message().body);
}

#[test]
fn what_an_earlier_user_left_is_no_answer() {
    let ours = message().sha256().to_owned();
    let stale = format!(
        "{{\"half\": \n{}\n{{\"code\":\"claim-used\",\"message\":\"old\"}}\n{{\"tail",
        ack_text(&ours)
    );
    let other = r#"{"report_sha256":"other","code":"claim-used","message":"not for this one"}"#;
    let garbage = "\u{0}\u{1b}[31m garbage";
    let answer = format!("{garbage}\n\n{}\n{other}\n{}\n", ack_text("other"), ack_text(&ours));
    let (answer, _) = converse_with(&stale, answer);
    assert!(matches!(answer, Ok(Answer::Acknowledged(_))), "{answer:?}");
}

#[test]
fn a_refusal_is_heard() {
    let (answer, _) = converse_with("", "{\"code\":\"claim-used\",\"message\":\"no\"}\n".to_owned());
    assert!(matches!(&answer, Ok(Answer::Refused(refusal)) if refusal.code == "claim-used"), "{answer:?}");
}

#[test]
fn endless_garbage_and_a_closed_end_are_errors() {
    let (answer, _) = converse_with("", "x".repeat(2 * MAX_ANSWER));
    assert!(answer.is_err_and(|error| error.contains("full")));
    let (answer, _) = converse_with("", "{\"half\":".to_owned());
    assert!(answer.is_err_and(|error| error.contains("nobody")));
    let (port, host) = UnixStream::pair().unwrap();
    port.set_nonblocking(true).unwrap();
    drop(host);
    let port = File::from(OwnedFd::from(port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(converse(&port, &message())).is_err());
}

proptest::proptest! {
    #[test]
    fn no_line_is_taken_for_an_acknowledgement_of_this_report_but_one(line: Vec<u8>, sha256 in "[0-9a-f]{64}") {
        let ours = message();
        proptest::prop_assert!(understand(&line, ours.sha256()).is_none());
        proptest::prop_assert!(understand(ack_text(&sha256).as_bytes(), ours.sha256()).is_none());
    }
}
