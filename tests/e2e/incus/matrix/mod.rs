//! Bring-ups and removals on a real server, each with one thing that goes wrong at one of its requests. However it ends,
//! it ends in one of two ways: one guest, proved, or everything as it was before.

mod deaths;
mod requests;

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use firstlight_tests::rig::incus::{Between, Fate, GOLDEN, IncusServer, Onward, Spot};
use firstlight_tests::{paths, wait};

use super::site::{Site, newest, text};

/// Every case ends sooner.
const LIMIT: Duration = Duration::from_secs(240);
/// Longer than the companion remembers profiles and networks.
const MEMORY: Duration = Duration::from_secs(7);
const FINAL: [&str; 4] = ["done", "rolled-back", "needs-operator", "abandoned"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    BringUp,
    Removal,
}

/// What happens when the request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Harm(Fate),
    /// `kill -9`, with the request still to be done, or done already.
    CompanionDies(Fate),
    ServerDies(Fate),
}

/// The request at which it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    At(Spot),
    /// The first of its kind that the job sends in this step.
    Step(&'static str, Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Change,
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    work: Work,
    place: Place,
    trouble: Trouble,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::At(spot) => write!(f, "{:?}, {spot}: {:?}", self.work, self.trouble),
            Place::Step(step, kind) => write!(f, "{:?}, {step} ({kind:?}): {:?}", self.work, self.trouble),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Clean,
    /// There is no job: whoever asked for it was told so, or lost the companion.
    NotBegun,
}

/// How a case ended, and in which step of the job its request came.
type Played = (Case, End, String);

/// A project, a companion and who is between it and the server. Case after case is played on it.
struct Ground<'a> {
    site: Site<'a>,
    between: Between,
}

impl<'a> Ground<'a> {
    fn on(server: &'a IncusServer) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let project = format!("matrix-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let mut site = Site::without_companion(server, &project, &[]);
        let between = Between::before(&server.socket()).unwrap();
        let secrets = site.path("secrets");
        fs::create_dir(&secrets).unwrap();
        fs::write(secrets.join("one"), "of a test\n").unwrap();
        fs::set_permissions(secrets.join("one"), fs::Permissions::from_mode(0o600)).unwrap();
        site.serve(&format!(
            "{}[secrets]\nfiles = [\"{}\"]\n",
            site.by_socket_at(between.socket()),
            secrets.display()
        ));
        Self { site, between }
    }

    /// With a volume and a secret: all the steps that there are.
    fn spec(&self, guest: &str) -> String {
        let more = format!(
            "mounts = [{{ path = \"/srv/data\", size = \"64M\" }}]\n\
             secrets = [{{ path = \"/etc/of-a-test\", file = \"{}\" }}]\n[guest.readiness]\ntimeout = \"120s\"\n",
            self.site.path("secrets/one").display()
        );
        self.site.spec(guest, GOLDEN, &more)
    }

    /// The requests of a bring-up and of a removal that go well, in their order.
    fn spots(&mut self) -> [Vec<Spot>; 2] {
        let guest = name();
        self.between.pass();
        let ran = self.site.run(&["up", &self.spec(&guest)]);
        assert!(ran.ok(), "{}\n{}", ran.said(), self.site.said());
        let up = self.between.seen();
        self.between.pass();
        self.site.destroy(&[&guest]);
        let down = self.between.seen();
        self.site.assert_clean();
        [up, down]
    }

    /// How it ended, the step, and whether its request came.
    fn play(&mut self, case: &Case) -> Result<(End, String, bool), String> {
        let guest = name();
        self.between.pass();
        if case.work == Work::Removal {
            let ran = self.site.run(&["up", &self.spec(&guest)]);
            if !ran.ok() {
                return Err(format!("nothing is wrong yet: {}\n{}", ran.said(), self.site.said()));
            }
        }
        let (fate, spec) = (case.trouble.fate(), self.spec(&guest));
        match case.place {
            Place::At(ref spot) => self.between.meet_at(spot, fate),
            Place::Step(wanted, kind) => {
                let mut show = self.site.command(&["show", &guest, "--json"]);
                let mut step = move || newest(&mut show)["step"].clone();
                let is_meant = move |seen: &Spot| match kind {
                    Kind::Any => true,
                    Kind::Change => seen.changes(),
                };
                self.between.meet(move |seen| is_meant(seen) && step() == wanted, fate);
            }
        }
        let words = match case.work {
            Work::BringUp => vec!["up", &spec, "--detach"],
            Work::Removal => vec!["destroy", &guest, "--detach"],
        };
        let held = matches!(fate, Fate::HeldBefore | Fate::HeldAfter);
        let step = match held {
            true => self.die(case.trouble, &guest, &words)?,
            false => {
                self.site.run(&words);
                String::new()
            }
        };
        let end = self.end(case, &guest);
        let met = self.between.has_met();
        self.between.pass();
        let end =
            end.and_then(|end| case.expect(end).map_err(|why| format!("{why}: {}", self.journal(&guest))));
        let end = end.map_err(|why| format!("{why}\n{}", self.site.said()))?;
        self.put_away(&guest)?;
        Ok((end, step, met))
    }

    /// Somebody dies while the request is held; the step of the job at that moment.
    fn die(&mut self, trouble: Trouble, guest: &str, words: &[&str]) -> Result<String, String> {
        // Whoever asks waits for an answer that may never come.
        let mut command = self.site.command(words);
        let mut asked = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let met = wait::until("the request", LIMIT, || {
            let answered = asked.try_wait().unwrap().is_some();
            let ended = answered && FINAL.contains(&self.site.at(guest).0.as_str());
            (self.between.has_met() || ended).then_some(())
        });
        met.map_err(|error| format!("{error}\n{}", self.site.said()))?;
        let step = self.site.at(guest).1;
        if matches!(trouble, Trouble::CompanionDies(_)) {
            self.site.kill_companion();
            self.site.serve_again();
            // It is done only now, however long its sender is gone.
            self.between.release(Onward::Passes);
        } else {
            self.between.go_away().unwrap();
            self.site.server.kill().unwrap();
            self.between.release(Onward::Breaks);
            self.site.server.start_again().unwrap();
            self.between.come_back();
        }
        asked.wait().unwrap();
        Ok(step)
    }

    fn end(&self, case: &Case, guest: &str) -> Result<End, String> {
        let ended = wait::until("the job's end", LIMIT, || {
            let job = self.site.newest(guest);
            let state = text(&job["state"]);
            // Without a job, it was refused before anything was made. A removal that is asked for is yet to begin.
            let rests = state.is_empty() || FINAL.contains(&state.as_str());
            (rests && job["asked"].is_null()).then_some(state)
        });
        let state = ended.map_err(|error| format!("{error}: {:?}", self.site.at(guest)))?;
        let shown = || format!("{:#}", self.site.json(&["show", guest, "--json"]));
        match state.as_str() {
            "done" if case.work == Work::BringUp => {
                let shown = self.site.json(&["show", guest, "--json"]);
                if shown["job"]["trust"] != "attested" {
                    return Err(format!("it is done, and not attested: {shown:#}"));
                }
                let there = self.instances();
                if !matches!(&there[..], [(name, state)] if name == guest && state != "Stopped") {
                    return Err(format!("it is done, and this is there: {there:?}"));
                }
                Ok(End::Complete)
            }
            // The removal was refused, and all is as it was.
            "done" => match self.instances()[..] {
                [_] => Ok(End::Complete),
                ref other => Err(format!("it is still there, with {other:?}")),
            },
            "" | "rolled-back" => {
                let clean = wait::until("a clean server", Duration::from_secs(30), || self.site.clean().ok());
                clean
                    .map_err(|error| format!("{error}: {state} with {:?}\n{}", self.site.clean(), shown()))?;
                Ok(if state.is_empty() { End::NotBegun } else { End::Clean })
            }
            _ => Err(shown()),
        }
    }

    fn journal(&self, guest: &str) -> String {
        self.site.run(&["show", guest, "--events"]).stdout
    }

    /// Names and states of all instances.
    fn instances(&self) -> Vec<(String, String)> {
        let path = format!("/1.0/instances?recursion=1&project={}", self.site.project);
        let listed = self.site.server.get(&path).unwrap();
        let listed = listed.as_array().cloned().unwrap_or_default();
        listed.iter().map(|one| (text(&one["name"]), text(&one["status"]))).collect()
    }

    /// The guest goes, if it is there, and nothing is left of it.
    fn put_away(&self, guest: &str) -> Result<(), String> {
        if self.site.at(guest).0 == "done" {
            let ran = self.site.run(&["destroy", guest]);
            if !ran.ok() {
                return Err(format!("it cannot be removed: {}\n{}", ran.said(), self.site.said()));
            }
        }
        self.site.clean().map_err(|left| format!("left behind: {left}\n{}", self.site.said()))
    }
}

impl Trouble {
    fn fate(self) -> Fate {
        match self {
            Self::Harm(fate) | Self::CompanionDies(fate) | Self::ServerDies(fate) => fate,
        }
    }
}

impl Case {
    /// Where it is clear what must follow.
    fn expect(&self, end: End) -> Result<End, String> {
        // What refuses may be believed; all else costs nothing but time.
        let may_refuse = matches!(self.trouble, Trouble::Harm(Fate::Refused(500 | 403, _)));
        let may_not_begin = may_refuse || !matches!(self.trouble, Trouble::Harm(_));
        match (self.work, end) {
            (Work::BringUp, End::NotBegun) if !may_not_begin => Err("it was refused, for nothing".to_owned()),
            (Work::BringUp, End::Clean) if !may_refuse => Err("it was undone, for nothing".to_owned()),
            (Work::Removal, End::Complete) if !may_refuse => Err("it was not removed".to_owned()),
            _ => Ok(end),
        }
    }
}

/// No other test has it.
fn name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("case-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// Plays all cases, on so many grounds at once.
fn all(server: &IncusServer, mut cases: Vec<Case>, grounds: usize) -> Vec<Played> {
    if let Ok(only) = std::env::var(paths::ONLY_VARIABLE) {
        cases.retain(|case| case.to_string().contains(&only));
    }
    let (count, began) = (cases.len(), Instant::now());
    let (cases, ends, wrong) =
        (Mutex::new(VecDeque::from(cases)), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let work = || {
        let mut ground = Ground::on(server);
        while let Some(mut case) = { cases.lock().unwrap().pop_front() } {
            let played = catch_unwind(AssertUnwindSafe(|| play(&mut ground, &mut case)));
            let played = played.unwrap_or_else(|_| Err("it panicked".to_owned()));
            match played {
                Ok((end, step)) => {
                    if paths::full() {
                        let _ = writeln!(std::io::stderr(), "incus faults: {end:?}: {case} {step}");
                    }
                    ends.lock().unwrap().push((case, end, step));
                }
                Err(why) => {
                    let _ = writeln!(std::io::stderr(), "incus faults: wrong: {case}: {why}");
                    wrong.lock().unwrap().push(format!("{case}: {why}"));
                    // What it left must not be the next one's.
                    ground = Ground::on(server);
                }
            }
        }
        ground.site.end();
    };
    thread::scope(|scope| {
        for _ in 0..grounds {
            scope.spawn(work);
        }
    });
    let (ends, wrong) = (ends.into_inner().unwrap(), wrong.into_inner().unwrap());
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n\n"));
    let ended = |wanted: End| ends.iter().filter(|(_, end, _)| *end == wanted).count();
    let [complete, clean, not_begun] = [End::Complete, End::Clean, End::NotBegun].map(ended);
    let _ = writeln!(
        std::io::stderr(),
        "incus faults: {count} cases in {} s: {complete} complete, {clean} clean, {not_begun} not begun",
        began.elapsed().as_secs()
    );
    ends
}

/// How often it looks depends on how long things take: where there are fewer reads, the last of them is an earlier one.
fn play(ground: &mut Ground<'_>, case: &mut Case) -> Result<(End, String), String> {
    let mut waited = false;
    loop {
        let (end, step, met) = ground.play(case)?;
        match &mut case.place {
            _ if met => return Ok((end, step)),
            Place::At(spot) if spot.nth > 0 => spot.nth -= 1,
            Place::At(spot) if spot.is_remembered() && !waited => {
                thread::sleep(MEMORY);
                waited = true;
            }
            Place::At(spot) if spot.may_not_come() => return Ok((end, step)),
            _ => return Err("its request did not come".to_owned()),
        }
    }
}
