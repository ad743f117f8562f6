//! `firstlight golden build`: makes a golden from a recipe. The same recipe and the same state of the mirror give the same
//! bytes.
//!
//! `recipe` -> `stage`, `bootstrap` (mmdebstrap) -> `tidy`, `agent` (seal) -> `outputs` -> lint. All is made in a folder of
//! its own where the outputs go, and appears by a rename at the end; a build that fails or is interrupted leaves nothing.

mod agent;
mod archive;
mod bootstrap;
mod disk;
mod incus;
mod outputs;
mod proxmox;
mod recipe;
mod stage;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;

pub(crate) use recipe::{Format, Recipe};

use self::tools::Tools;
use super::{Limits, Report, Severity};
use crate::clock::now_s;
use crate::outcome::Fault;

/// Where apt keeps the program that fetches one file.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// Whether the build is to end.
#[derive(Debug, Default)]
pub(crate) struct Watch(AtomicBool);

impl Watch {
    pub(crate) fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// `interrupted`.
    fn check(&self) -> Result<(), Fault> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Fault::new("interrupted", "interrupted; what was made is removed")),
            false => Ok(()),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) recipe: PathBuf,
    /// Empty: the recipe's.
    pub(crate) formats: Vec<Format>,
    pub(crate) agent: Option<PathBuf>,
    /// The folder where outputs appear.
    pub(crate) output: PathBuf,
    /// Take the place of outputs that are there.
    pub(crate) replace: bool,
    /// Keep the root, also of a build that fails.
    pub(crate) keep_root: bool,
    /// Rules of the lint whose errors are let pass; `all`: those of all.
    pub(crate) allow: Vec<String>,
    pub(crate) limits: Limits,
}

/// One thing that was made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) path: PathBuf,
    /// Of a folder: of its root as tar.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) lint: Report,
}

/// How long a stage took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stage {
    pub(crate) stage: &'static str,
    pub(crate) seconds: f64,
}

/// What a build ended with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Built {
    pub(crate) name: String,
    /// The golden's date, in seconds since 1970: no file is younger.
    pub(crate) epoch: u64,
    /// Whether the lint lets it pass. If not, nothing was put in place.
    pub(crate) fit: bool,
    pub(crate) outputs: Vec<Output>,
    /// The root, if it was to be kept.
    pub(crate) root: Option<PathBuf>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) seconds: f64,
}

/// A build at work.
struct Bench<'a> {
    tools: Tools<'a>,
    talk: &'a dyn Fn(&str),
    stages: Vec<Stage>,
}

impl Bench<'_> {
    fn stage<T>(
        &mut self,
        stage: &'static str,
        what: &str,
        work: impl FnOnce(Tools<'_>, &dyn Fn(&str)) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.tools.watch.check()?;
        (self.talk)(&format!("{stage}: {what}"));
        let began = Instant::now();
        let done = work(self.tools, &|line| (self.talk)(&format!("  {line}")))?;
        self.stages.push(Stage { stage, seconds: seconds(began) });
        Ok(done)
    }
}

/// In milliseconds' steps.
fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}

/// Builds. Blocks, for minutes. `talk` gets a line for each stage, and more lines indented.
///
/// # Errors
/// Something is missing, wrong, or failed. A golden that the lint refuses is no error: see [`Built::fit`].
pub(crate) fn build(order: &Order, watch: &Watch, talk: &dyn Fn(&str)) -> Result<Built, Fault> {
    let began = Instant::now();
    let recipe = Recipe::load(&order.recipe)?;
    let formats = recipe.formats(&order.formats)?;
    let agent = agent::Agent::find(order.agent.as_deref(), recipe.architecture)?;
    demand(&formats)?;
    let work = workshop(&order.output)?;
    let mut bench = Bench { tools: Tools { watch, epoch: 0 }, talk, stages: Vec::new() };
    let epoch = epoch(&mut bench, &recipe, work.path())?;
    bench.tools.epoch = epoch;
    outputs::refuse_present(order, &recipe, &formats, epoch)?;

    let root = work.path().join("root");
    let kept = order.keep_root.then(|| order.output.join(format!("{}-root", recipe.name)));
    let made = make(&mut bench, order, &recipe, &formats, &agent, work.path());
    let made = made.and_then(|made| {
        watch.check()?;
        let fit = made.iter().all(|made| passes(&made.output.lint, &order.allow));
        if fit {
            outputs::put_in_place(&made, order.replace)?;
        }
        Ok((fit, made.into_iter().map(|made| made.output).collect()))
    });
    // Of the folder format it is the output itself.
    let root = kept.filter(|kept| root.is_dir() && std::fs::rename(&root, kept).is_ok());
    if let (Some(root), Err(_)) = (&root, &made) {
        talk(&format!("kept: {}", root.display()));
    }
    let (fit, outputs) = made?;
    Ok(Built { name: recipe.name, epoch, fit, outputs, root, stages: bench.stages, seconds: seconds(began) })
}

/// From the recipe to outputs that are looked at, all in the build's own folder.
fn make(
    bench: &mut Bench<'_>,
    order: &Order,
    recipe: &Recipe,
    formats: &[Format],
    agent: &agent::Agent,
    work: &Path,
) -> Result<Vec<outputs::Made>, Fault> {
    let root = work.join("root");
    let machine = formats.iter().any(|format| format.is_machine());
    let beside = order.recipe.parent().unwrap_or(Path::new(""));
    let fstab = machine.then(|| disk::fstab(recipe, bench.tools.epoch));
    let hooks = stage::lay_out(recipe, beside, fstab, work)?;
    let hooks: Vec<&Path> = hooks.iter().map(PathBuf::as_path).collect();
    let words = bootstrap::arguments(recipe, machine, &hooks, &root);
    let what =
        format!("{} {}, with mmdebstrap; this takes minutes", recipe.distribution.as_str(), recipe.suite);
    bench.stage("root", &what, |tools, more| {
        tools.run("mmdebstrap", &words, |line| {
            if let Some(said) = line.rsplit('\r').next().and_then(|line| line.strip_prefix("I: ")) {
                more(&firstlight_shared::text::escape(said, 200));
            }
        })
    })?;
    bench.stage("tidy", "logs, lists and caches go", |tools, _| {
        tidy::tidy(&root, tools.epoch).map_err(|error| tools::not_written(&error))
    })?;
    bench.stage("seal", &agent.to_string(), |tools, _| agent.seal(tools, recipe, &root))?;
    outputs::make(bench, order, recipe, formats, work)
}

fn passes(report: &Report, allowed: &[String]) -> bool {
    let lets_pass = |rule: &str| allowed.iter().any(|allowed| allowed == "all" || allowed == rule);
    report.findings.iter().all(|finding| finding.severity < Severity::Error || lets_pass(finding.rule))
}

/// The tools and rights that a build needs.
fn demand(formats: &[Format]) -> Result<(), Fault> {
    let mut wanted = vec!["mmdebstrap", "tar", "chroot"];
    wanted.extend(formats.contains(&Format::Qcow2).then_some("qemu-img"));
    tools::demand(&wanted)?;
    if !nix::unistd::geteuid().is_root() {
        return Err(Fault::new("no-root", "a root is made with its owners, which takes root")
            .with_hint("run it with sudo; or in a user namespace with subordinate ids: unshare --map-auto --map-root-user --mount firstlight golden build ..."));
    }
    Ok(())
}

/// A folder of the build's own where the outputs go; it goes when the build ends.
fn workshop(output: &Path) -> Result<tempfile::TempDir, Fault> {
    let made = std::fs::create_dir_all(output)
        .and_then(|()| std::path::absolute(output))
        .and_then(|output| tempfile::Builder::new().prefix(".firstlight-build-").tempdir_in(output));
    let made = made.and_then(|folder| {
        use std::os::unix::fs::PermissionsExt as _;
        // apt fetches as a user of its own, and must come through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    });
    made.map_err(|error| {
        Fault::new("build-not-written", format!("{}: {error}", output.display()))
            .with_hint("name a folder that you may write to: --output DIR")
    })
}

/// The golden's date: of the environment, the recipe, or the mirror's state.
fn epoch(bench: &mut Bench<'_>, recipe: &Recipe, work: &Path) -> Result<u64, Fault> {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()).or(recipe.epoch);
    let now = now_s();
    let epoch = match given {
        Some(epoch) => epoch,
        None => {
            let address = bootstrap::release(recipe);
            let file = work.join("InRelease");
            bench.stage("date", &format!("of {address}"), |tools, _| {
                let words = ["download-file", &address, &file.display().to_string()];
                tools.run(APT_HELPER, &words, |_| ()).map_err(|fault| match fault.code.as_str() {
                    "interrupted" => fault,
                    _ => Fault::new("no-date", format!("the mirror's state has no date: {}", fault.message))
                        .with_hint(
                            "can this machine's apt reach it? Or give the golden a date: epoch = 1767225600",
                        ),
                })?;
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                bootstrap::date(&text).ok_or_else(|| {
                    Fault::new("no-date", format!("{address} has no date"))
                        .with_hint("give the golden one: epoch = 1767225600")
                })
            })?
        }
    };
    if epoch > now {
        return Err(recipe::bad("epoch", "it is to come, and files of the build would not differ from it")
            .with_hint("name a time that has been, in seconds since 1970; SOURCE_DATE_EPOCH counts first"));
    }
    Ok(epoch)
}

#[cfg(test)]
mod tests;
