//! `firstlight golden build`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use firstlight_shared::text::escape;

use super::super::failure::{Exit, Failure};
use super::super::interrupt::Interrupts;
use super::super::live::say;
use super::super::{print, render};
use super::{LIMITS, summary, table};
use crate::golden::Severity;
use crate::golden::bake::{Built, Format, Order, Output, Watch, build};

#[derive(Debug, Args)]
pub(in super::super) struct BuildArguments {
    /// What it is made of, a file of TOML.
    recipe: PathBuf,
    /// What to write, else as the recipe says; `pve,incus` for one.
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',')]
    formats: Vec<Format>,
    /// Where to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// The guest agent that is baked in, else firstlight-guest beside this program or in /usr/bin.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Take the place of outputs that are there.
    #[arg(long)]
    replace: bool,
    /// Keep the root as a folder, NAME-root, even if the build fails.
    #[arg(long)]
    keep_root: bool,
    /// Let errors of this rule of the lint pass; `all`: of every rule.
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    allow: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &BuildArguments) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let order = Order {
        recipe: arguments.recipe.clone(),
        formats: arguments.formats.clone(),
        agent: arguments.agent.clone(),
        output: arguments.output.clone(),
        replace: arguments.replace,
        keep_root: arguments.keep_root,
        allow: arguments.allow.clone(),
        limits: LIMITS,
    };
    let watch = Arc::new(Watch::default());
    let watched = Arc::clone(&watch);
    let mut work = tokio::task::spawn_blocking(move || build(&order, &watched, &|line| say(line)));
    // Ctrl-C is answered by the build itself, which cleans up first.
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = interrupts.next() => {
                say("interrupted: cleaning up");
                watch.interrupt();
            }
        }
    };
    let ended = ended.map_err(|error| Failure::new(Exit::Environment, format!("the build died: {error}")))?;
    let built = match ended {
        Err(fault) if fault.code == "interrupted" => {
            say(&fault.message);
            return Ok(Exit::Interrupted);
        }
        ended => ended?,
    };
    tell(&built, arguments.json)?;
    Ok(if built.fit { Exit::Ok } else { Exit::NotReady })
}

fn tell(built: &Built, json: bool) -> Result<(), Failure> {
    for output in &built.outputs {
        if !json && output.lint.reaches(Severity::Warning) {
            say(table(&output.lint).trim_end());
        }
        say(&summary(&output.lint));
    }
    if !built.fit {
        say("error: the lint found errors: nothing was put in place");
        say("hint: mend the recipe; or let a rule pass: --allow RULE");
    }
    match json {
        true => print(&render::json(built)),
        false if built.fit => print(&lines(built)),
        false => return Ok(()),
    }?;
    say(&format!("{} in {:.0} s", if built.fit { "built" } else { "not built" }, built.seconds));
    Ok(())
}

fn lines(built: &Built) -> String {
    let row = |output: &Output| {
        let path = escape(&output.path.display().to_string(), 400);
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let size = format!("{:.1} MB", output.bytes as f64 / 1e6);
        vec![output.format.as_str().to_owned(), path, size, output.sha256.clone()]
    };
    let mut text = render::table(&["FORMAT", "PATH", "SIZE", "SHA256"], built.outputs.iter().map(row));
    if let Some(root) = &built.root {
        text.push_str(&format!("root: {}\n", escape(&root.display().to_string(), 400)));
    }
    text
}
