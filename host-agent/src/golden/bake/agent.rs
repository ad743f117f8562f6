//! The guest agent of a build: which program, whether it is one of the golden's machine, and its own `seal`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::recipe::{Architecture, Recipe};
use super::tools::Tools;
use crate::outcome::Fault;

const NAME: &str = "firstlight-guest";

/// What is baked in, and what bakes it in: the same, unless it is for another machine than this one.
#[derive(Debug)]
pub(super) struct Agent {
    program: PathBuf,
    sealer: PathBuf,
}

impl std::fmt::Display for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "by {}", self.program.display())
    }
}

impl Agent {
    /// The one that is named, or beside this program, or where its package puts it.
    ///
    /// # Errors
    /// `no-agent`: there is none, or none for the recipe's architecture.
    pub(super) fn find(named: Option<&Path>, architecture: Architecture) -> Result<Self, Fault> {
        let program = one(named, architecture)?;
        let here = match std::env::consts::ARCH {
            "aarch64" => Architecture::Arm64,
            _ => Architecture::Amd64,
        };
        let sealer = if architecture == here { program.clone() } else { one(None, here)? };
        Ok(Self { program, sealer })
    }

    /// Takes every identity from the root, installs the agent with its units and enables them.
    ///
    /// # Errors
    /// What the agent says.
    pub(super) fn seal(&self, tools: Tools<'_>, recipe: &Recipe, root: &Path) -> Result<(), Fault> {
        let words = arguments(recipe, root, &self.program);
        let sealed = tools.run(&self.sealer.display().to_string(), &words, |_| ());
        sealed.map_err(|fault| match fault.code.as_str() {
            "tool-failed" => Fault { code: "seal-failed".to_owned(), ..fault }
                .with_hint("what is refused may be kept: agent.keep = [\"ITEM\"] in the recipe"),
            _ => fault,
        })
    }
}

fn one(named: Option<&Path>, architecture: Architecture) -> Result<PathBuf, Fault> {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(NAME)));
    let known = beside.into_iter().chain([Path::new("/usr/bin").join(NAME)]);
    let agent = match named {
        Some(named) => Some(named.to_owned()),
        None => known.into_iter().find(|path| path.is_file()),
    };
    let Some(agent) = agent else {
        return Err(Fault::new(
            "no-agent",
            "there is no firstlight-guest beside this program or in /usr/bin",
        )
        .with_hint("install its package, or name the program: --agent FILE"));
    };
    let mut head = [0; 20];
    let read = File::open(&agent).and_then(|mut file| file.read_exact(&mut head));
    if let Err(error) = read {
        return Err(Fault::new("no-agent", format!("the agent {} cannot be read: {error}", agent.display()))
            .with_hint("name the guest's program: --agent FILE"));
    }
    if !head.starts_with(b"\x7fELF") || head[18] != architecture.elf() {
        let what = format!("the agent {} is no program for {}", agent.display(), architecture.as_str());
        return Err(Fault::new("no-agent", what)
            .with_hint("name the one that was built for the recipe's architecture: --agent FILE"));
    }
    std::path::absolute(&agent).map_err(|error| Fault::new("no-agent", error.to_string()))
}

/// Arguments of the agent that seals the root.
fn arguments(recipe: &Recipe, root: &Path, program: &Path) -> Vec<String> {
    let words = ["--root", &root.display().to_string(), "seal", "--program", &program.display().to_string()];
    let keep = recipe.agent.keep.iter().flat_map(|item| ["--keep".to_owned(), item.clone()]);
    words.into_iter().map(str::to_owned).chain(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_for_the_golden_s_machine_is_baked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent");
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[18] = 62;
        std::fs::write(&file, &bytes).unwrap();
        assert!(one(Some(&file), Architecture::Amd64).is_ok());
        let other = one(Some(&file), Architecture::Arm64).unwrap_err();
        assert!(other.code == "no-agent" && other.message.contains("arm64"), "{other}");
        for wrong in ["", "#!/bin/sh\n, and more of a script"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(one(Some(&file), Architecture::Amd64).unwrap_err().hint.unwrap().contains("--agent"));
        }
        assert_eq!(one(Some(folder.path()), Architecture::Amd64).unwrap_err().code, "no-agent");
    }

    #[test]
    fn the_recipe_says_what_is_kept() {
        let text = "name = \"a\"\nsuite = \"b\"\nagent.keep = [\"snakeoil\"]\n";
        let words = arguments(&Recipe::parse(text).unwrap(), Path::new("/w/root"), Path::new("/a"));
        assert_eq!(words, ["--root", "/w/root", "seal", "--program", "/a", "--keep", "snakeoil"]);
    }
}
