//! sshd_config(5) as far as host keys and ports need it: read as OpenSSH's servconf.c reads it.
//!
//! Where sshd takes the first value, so does this; where it collects, this collects. What sshd would refuse is a
//! problem with file and line, and its value does not count. Pure over a provider of files; every input is bounded.

mod glob;
mod line;

use std::collections::BTreeSet;

use firstlight_shared::error::Chain;

use crate::paths;
use crate::sys::{Kind, Root};

/// As deep as sshd follows includes. Source: SERVCONF_MAX_DEPTH in servconf.c.
const MAX_DEPTH: usize = 16;
/// A tree of includes may not keep the boot: far more than any real configuration has.
const MAX_FILES: usize = 512;
const MAX_LINES: usize = 50_000;
const MAX_PROBLEMS: usize = 16;
/// Source: MAX_PORTS in servconf.h.
const MAX_PORTS: usize = 256;
const DEFAULT_PORT: u16 = 22;
/// What relative includes are relative to, with a slash.
const SSH_DIR: &str = "/etc/ssh/";
/// What sshd looks for where no `HostKey` line says otherwise; all of them are optional.
const DEFAULT_KEYS: [&str; 3] =
    ["/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key"];

/// Where configuration files come from. Paths are absolute, inside the root.
pub(crate) trait Files {
    /// # Errors
    /// There is something and it cannot be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String>;
    /// Names in a folder, sorted by bytes; empty if there is none.
    ///
    /// # Errors
    /// There is a folder and it cannot be read.
    fn list(&self, folder: &str) -> Result<Vec<String>, String>;
    fn exists(&self, path: &str) -> bool;
}

impl Files for Root {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let path = path.trim_start_matches('/');
        if self.kind(path) == Some(Kind::Folder) {
            // fopen(3) opens it and getline(3) finds nothing.
            return Ok(Some(Vec::new()));
        }
        Root::read(self, path).map_err(|error| Chain(&error).to_string())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let folder = folder.trim_matches('/');
        Root::list(self, if folder.is_empty() { "." } else { folder })
            .map_err(|error| Chain(&error).to_string())
    }

    fn exists(&self, path: &str) -> bool {
        self.kind(path.trim_matches('/')).is_some()
    }
}

/// One `ListenAddress` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    /// An address or a name, without brackets.
    pub host: String,
    /// Every port of the `Port` lines, if none.
    pub port: Option<u16>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SshdConfig {
    ports: Vec<u16>,
    pub listen: Vec<Listen>,
    host_keys: Vec<String>,
    /// Paths of `HostCertificate` lines, absolute.
    pub certificates: Vec<String>,
    /// The agent that holds private host keys, if one is named: a socket, or `SSH_AUTH_SOCK`.
    pub host_key_agent: Option<String>,
    /// The value of `HostKeyAlgorithms`.
    pub host_key_algorithms: Option<String>,
    /// Patterns of `Include` lines outside of any `Match` block that does not apply.
    includes: Vec<String>,
    /// There is more that was not read.
    pub is_cut_off: bool,
    /// What cannot be read, and what sshd refuses.
    pub problems: Vec<String>,
}

impl SshdConfig {
    /// The configuration of the SSH server in a root; the defaults where there is none.
    pub(crate) fn load(root: &Root) -> Self {
        Self::read(root, &format!("/{}", paths::SSHD_CONFIG))
    }

    pub(crate) fn read(files: &impl Files, path: &str) -> Self {
        let mut reader = Reader { files, config: Self::default(), files_read: 0, lines_read: 0 };
        match files.read(path) {
            Ok(Some(bytes)) => {
                reader.files_read = 1;
                let mut active = true;
                reader.file(path, &bytes, &mut active, false, 0);
            }
            Ok(None) => {}
            Err(problem) => {
                reader.config.is_cut_off = true;
                reader.config.problems.push(problem);
            }
        }
        reader.config
    }

    /// Ports in the order of their lines, each once.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let mut seen = BTreeSet::new();
        let ports: Vec<u16> = self.ports.iter().copied().filter(|port| seen.insert(*port)).collect();
        if ports.is_empty() { vec![DEFAULT_PORT] } else { ports }
    }

    /// What sshd listens on, each pair once; `None` stands for every address of the machine.
    pub(crate) fn endpoints(&self) -> Vec<(Option<&str>, u16)> {
        let mut endpoints = Vec::new();
        let mut add = |host, port| {
            if !endpoints.contains(&(host, port)) {
                endpoints.push((host, port));
            }
        };
        for listen in &self.listen {
            let host =
                (!matches!(listen.host.as_str(), "" | "*" | "0.0.0.0" | "::")).then_some(&*listen.host);
            match listen.port {
                Some(port) => add(host, port),
                None => self.ports().into_iter().for_each(|port| add(host, port)),
            }
        }
        if self.listen.is_empty() {
            self.ports().into_iter().for_each(|port| add(None, port));
        }
        endpoints
    }

    /// What systemd listens on in sshd's place (`[::]:22`, `0.0.0.0:22`, `/run/x`) replaces the lines of the file.
    /// Addresses that cannot be reached by TCP leave everything as it is if there are no others.
    pub(crate) fn listen_on(&mut self, sockets: &[String]) {
        let listen = |socket: &String| line::listen(socket).ok().filter(|listen| listen.port.is_some());
        let listens: Vec<Listen> = sockets.iter().filter_map(listen).collect();
        if !listens.is_empty() {
            self.listen = listens;
        }
    }

    /// `HostKey` lines name the paths; without any, sshd takes what it finds at the default ones.
    pub(crate) fn names_host_keys(&self) -> bool {
        !self.host_keys.is_empty()
    }

    /// Absolute paths of private host keys, in the order in which sshd loads them, each once. `none` is no path.
    pub(crate) fn host_key_paths(&self) -> Vec<String> {
        if !self.names_host_keys() {
            return DEFAULT_KEYS.map(str::to_owned).to_vec();
        }
        let mut seen = BTreeSet::new();
        let paths = self.host_keys.iter().filter(|path| *path != "none" && seen.insert(path.as_str()));
        paths.cloned().collect()
    }

    /// Whether a file at this absolute path is, or would be, read as part of the configuration.
    pub(crate) fn would_include(&self, path: &str) -> bool {
        self.includes.iter().any(|pattern| glob::matches_path(pattern, path))
    }

    /// Whether `HostKeyAlgorithms` keeps sshd from serving a key by this algorithm. Source: assemble_algorithms in
    /// servconf.c and match_filter_denylist in match.c.
    pub(crate) fn leaves_out(&self, algorithm: &str) -> bool {
        let Some(list) = &self.host_key_algorithms else { return false };
        let named = |list: &str| list.split(',').any(|pattern| glob::matches(pattern, algorithm));
        match list.as_bytes().first() {
            Some(b'+' | b'^') => false,
            Some(b'-') => named(&list[1..]),
            _ => !named(list),
        }
    }
}

struct Reader<'a, F> {
    files: &'a F,
    config: SshdConfig,
    files_read: usize,
    lines_read: usize,
}

impl<F: Files> Reader<'_, F> {
    fn problem(&mut self, problem: String) {
        if self.config.problems.len() < MAX_PROBLEMS {
            self.config.problems.push(problem);
        }
    }

    /// `active`: lines count. `syntax_only`: no `Match` block in this file makes them count again.
    fn file(&mut self, path: &str, bytes: &[u8], active: &mut bool, syntax_only: bool, depth: usize) {
        if depth > MAX_DEPTH {
            return self.problem(format!("{path}: included too deeply, sshd refuses it"));
        }
        for (number, text) in line::lines(bytes).iter().enumerate() {
            self.lines_read += 1;
            if self.lines_read > MAX_LINES {
                self.config.is_cut_off = true;
                return self.problem(format!("{path}: the configuration of sshd is too long to be read"));
            }
            let place = format!("{path} line {}", number + 1);
            match line::parse(text) {
                Ok(None) => {}
                Ok(Some((keyword, arguments))) => {
                    let done = self.directive(&keyword, &arguments, active, syntax_only, depth);
                    if let Err(reason) = done {
                        self.problem(format!("{place}: {reason}: sshd refuses it"));
                    }
                }
                Err(reason) => self.problem(format!("{place}: {reason}: sshd refuses it")),
            }
        }
    }

    fn directive(
        &mut self,
        keyword: &str,
        arguments: &[String],
        active: &mut bool,
        syntax_only: bool,
        depth: usize,
    ) -> Result<(), String> {
        match keyword {
            "match" => {
                let matches_all = arguments.first().is_some_and(|word| word.eq_ignore_ascii_case("all"));
                if arguments.is_empty() || (matches_all && arguments.len() > 1) {
                    return Err("bad Match condition".to_owned());
                }
                // Every other criterion needs a connection.
                *active = matches_all && !syntax_only;
                return Ok(());
            }
            "include" => return self.include(arguments, active, depth),
            "port" | "listenaddress" | "hostkey" | "hostdsakey" | "hostcertificate" | "hostkeyagent"
            | "hostkeyalgorithms" => {}
            _ => return Ok(()),
        }
        if !*active {
            return Err(format!("{keyword} is not allowed within a Match block"));
        }
        let value = arguments.first().filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| format!("{keyword} without a value"))?;
        let takes = match arguments.get(1) {
            Some(word) if keyword == "listenaddress" && word == "rdomain" => 3..=3,
            _ => 1..=1,
        };
        if !takes.contains(&arguments.len()) {
            return Err(format!("bad arguments of {keyword}"));
        }
        let config = &mut self.config;
        match keyword {
            "port" if config.ports.len() >= MAX_PORTS => return Err("too many ports".to_owned()),
            "port" => config.ports.push(line::port(value)?),
            "listenaddress" => config.listen.push(line::listen(value)?),
            "hostcertificate" if value.eq_ignore_ascii_case("none") => {}
            "hostcertificate" => config.certificates.push(absolute(value)),
            "hostkeyagent" => {
                let agent = if value == "SSH_AUTH_SOCK" { value.clone() } else { absolute(value) };
                config.host_key_agent.get_or_insert(agent);
            }
            "hostkeyalgorithms" => {
                config.host_key_algorithms.get_or_insert_with(|| value.clone());
            }
            _ => config.host_keys.push(absolute(value)),
        }
        Ok(())
    }

    /// # Errors
    /// There have been too many.
    fn another_file(&mut self) -> Result<(), String> {
        self.files_read += 1;
        if self.files_read > MAX_FILES {
            self.config.is_cut_off = true;
            return Err("more files are included than can be read".to_owned());
        }
        Ok(())
    }

    fn include(&mut self, patterns: &[String], active: &mut bool, depth: usize) -> Result<(), String> {
        if patterns.is_empty() || patterns.iter().any(String::is_empty) {
            return Err("Include without a file name".to_owned());
        }
        for pattern in patterns {
            let pattern = match pattern.as_bytes().first() {
                // glob(3) is called without GLOB_TILDE: such a pattern is relative and matches nothing.
                Some(b'~') => continue,
                Some(b'/') => pattern.clone(),
                _ => format!("{SSH_DIR}{pattern}"),
            };
            let outer = *active;
            if outer && !self.config.includes.contains(&pattern) {
                self.config.includes.push(pattern.clone());
            }
            self.another_file()?;
            for path in glob::expand(self.files, &pattern)? {
                self.another_file()?;
                match self.files.read(&path) {
                    Ok(Some(bytes)) => self.file(&path, &bytes, active, !outer, depth + 1),
                    Ok(None) => self.problem(format!("{path}: cannot be opened, sshd refuses it")),
                    Err(problem) => {
                        self.config.is_cut_off = true;
                        self.problem(problem);
                    }
                }
                *active = outer;
            }
        }
        Ok(())
    }
}

/// As derelativise_path of servconf.c: sshd runs in `/` and as root.
fn absolute(path: &str) -> String {
    if path.eq_ignore_ascii_case("none") {
        return "none".to_owned();
    }
    match (path.strip_prefix("~/"), path == "~") {
        (Some(rest), _) => format!("/root/{rest}"),
        (None, true) => "/root".to_owned(),
        (None, false) if path.starts_with('/') => path.to_owned(),
        (None, false) => format!("/{path}"),
    }
}

#[cfg(test)]
mod tests;
