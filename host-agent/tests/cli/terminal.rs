//! On a real terminal: pictures that are drawn over each other, colours, a size that changes, Ctrl-C.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use tokio::process::{Child, Command};

use crate::rig::{Rig, program};

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    /// Our side: what is written here is typed.
    master: File,
    /// The program's side, for its settings.
    slave: OwnedFd,
    before: Termios,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(rig: &Rig, words: &[&str], variables: &[(&str, &str)], (columns, lines): (u16, u16)) -> Self {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let inner = program(words);
        // A session of its own, so that this is the terminal whose Ctrl-C it gets.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(inner.as_std().get_program()).args(inner.as_std().get_args());
        for (name, _) in inner.as_std().get_envs() {
            command.env_remove(name);
        }
        command.env("FIRSTLIGHT_STATE", rig.state()).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.envs(variables.iter().copied()).stdin(side()).stdout(side()).stderr(side());
        let before = tcgetattr(&pair.slave).unwrap();
        let child = command.kill_on_drop(true).spawn().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (master, notes) = (File::from(pair.master), Arc::clone(&heard));
        let mut listening = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = listening.read(&mut piece) {
                notes.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { child, master, slave: pair.slave, before, heard }
    }

    fn resize(&self, columns: u16, lines: u16) {
        let mut stty = std::process::Command::new("stty");
        stty.args(["cols", &columns.to_string(), "rows", &lines.to_string()]);
        assert!(stty.stdin(self.slave.try_clone().unwrap()).status().unwrap().success());
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }

    /// Waits until what is seen is so.
    async fn shows(&self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let seen = seen(&self.raw());
            if !seen.is_empty() && is_so(&seen) {
                return;
            }
            assert!(Instant::now() < deadline, "{what} is not seen: {seen:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its exit code, and all that it wrote; the terminal is as it was.
    async fn end(mut self) -> (Option<i32>, String) {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let code = ended.expect("it ends").unwrap().code();
        assert_eq!(tcgetattr(&self.slave).unwrap(), self.before, "its settings");
        // What is on its way to our side.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let raw = self.raw();
        // The cursor is never hidden, no other screen is entered, no scrolling is restricted: nothing is to be undone.
        for mode in ["\u{1b}[?", "\u{1b}7", "\u{1b}c", "\u{1b}]"] {
            assert!(!raw.contains(mode), "{mode:?}: {raw:?}");
        }
        (code, raw)
    }
}

/// What a terminal shows of this, line by line: cursor up, erase below and colours are understood, and nothing else.
fn seen(raw: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut row, mut chars) = (0, raw.chars());
    while let Some(c) = chars.next() {
        match c {
            '\r' => {}
            '\n' => {
                row += 1;
                lines.resize(lines.len().max(row + 1), String::new());
            }
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['), "{raw:?}");
                let digits: String = chars.by_ref().take_while(|c| c.is_ascii_digit() || *c == ';').collect();
                let end = raw[..raw.len() - chars.as_str().len()].chars().last();
                match end {
                    Some('A') => row -= digits.parse::<usize>().unwrap(),
                    Some('J') => {
                        lines.truncate(row);
                        lines.push(String::new());
                    }
                    Some('m') => {}
                    other => panic!("{other:?} in {raw:?}"),
                }
            }
            c => lines[row].push(c),
        }
    }
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_is_drawn_anew_in_every_size_and_left_by_ctrl_c() {
    let rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    let guests = ["web-01", "web-02", "web-03", "web-04"];
    rig.run(&["up", &rig.spec(&guests, ""), "--detach"]).await.ends_with(0);
    for guest in guests {
        rig.await_state(guest, "waiting").await;
    }
    let mut terminal = Terminal::start(&rig, &["watch"], &[], (80, 24));
    terminal.shows("the fleet", |seen| seen[0] == "4 at work" && seen.len() == 6).await;
    terminal
        .shows("its heading", |seen| seen.len() == 6 && seen[1] == "At work:" && seen[5].contains("web-04"))
        .await;
    terminal.resize(24, 6);
    let fits = |seen: &[String]| seen.len() <= 5 && seen.iter().all(|line| line.chars().count() <= 24);
    terminal.shows("less", |seen| fits(seen) && seen.last().is_some_and(|line| line.contains("more"))).await;
    terminal.resize(100, 30);
    terminal.shows("all of it", |seen| seen.len() == 6 && seen[5].contains("report")).await;
    rig.hypervisor.change(|manner| manner.silent = false);
    terminal
        .shows("the end", |seen| seen.len() == 6 && seen[0] == "4 ready" && seen[1] == "Ended since:")
        .await;
    terminal.master.write_all(b"\x03").unwrap();
    let (code, raw) = terminal.end().await;
    assert_eq!(code, Some(0), "{raw:?}");
    // The last picture stays, and what comes next begins below it.
    let left = seen(&raw);
    assert!(left[0] == "4 ready" && left[5].contains("web-04"), "{left:#?}");
    assert!(raw.trim_end_matches("^C").ends_with('\n'), "{raw:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_as_wide_as_the_terminal_and_coloured_unless_that_is_not_wanted() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    for (words, variables, coloured) in [
        (&["report", "web-01"][..], &[][..], true),
        (&["report", "web-01"], &[("NO_COLOR", "1")], false),
        (&["report", "web-01"], &[("NO_COLOR", "")], true),
        (&["report", "web-01"], &[("TERM", "dumb")], false),
        (&["blame", "web-01"], &[("NO_COLOR", "1")], false),
        (&["duplicates"], &[("NO_COLOR", "1")], false),
    ] {
        let terminal = Terminal::start(&rig, words, variables, (60, 24));
        let (code, raw) = terminal.end().await;
        assert_eq!(code, Some(0), "{raw}");
        assert_eq!(raw.contains('\u{1b}'), coloured, "{words:?} {variables:?}: {raw:?}");
        for line in seen(&raw) {
            assert!(line.chars().count() <= 60, "{words:?}: {line}");
        }
    }
}
