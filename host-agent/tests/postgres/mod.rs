//! A PostgreSQL of a test's own: a new cluster in a temporary folder, reached over a unix socket only, gone when dropped.

#![allow(dead_code, reason = "each test program uses its part")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tempfile::TempDir;

/// The database's superuser, and the account that runs the server where the tests run as root.
const ACCOUNT: &str = "postgres";

#[derive(Debug)]
pub(crate) struct Cluster {
    folder: TempDir,
    server: Option<Child>,
}

impl Cluster {
    /// Makes the cluster and serves it.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-pg-").tempdir().unwrap();
        if nix::unistd::geteuid().is_root() {
            let account = User::from_name(ACCOUNT).unwrap().expect("PostgreSQL's account is there");
            std::os::unix::fs::chown(folder.path(), Some(account.uid.as_raw()), Some(account.gid.as_raw()))
                .unwrap();
        }
        // The socket is for the tests, whoever runs them.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut initdb = command("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--username",
            ACCOUNT,
            "-D",
        ]);
        let made = initdb.arg(folder.path().join("data")).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut cluster = Self { folder, server: None };
        cluster.resume();
        cluster
    }

    /// For the store; the database is an empty one.
    pub(crate) fn url(&self) -> String {
        self.address("postgres")
    }

    /// Makes another empty database; answers its address.
    pub(crate) fn database(&self, name: &str) -> String {
        self.sql(&format!("CREATE DATABASE \"{name}\""));
        self.address(name)
    }

    fn address(&self, database: &str) -> String {
        format!("postgres://{ACCOUNT}@localhost/{database}?host={}", self.folder.path().display())
    }

    /// Ends the server at once, its connections with it; what was committed stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = kill(Pid::from_raw(server.id().try_into().unwrap()), Signal::SIGQUIT);
            server.wait().unwrap();
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// SIGKILL: nothing is put in order; its other processes notice, and end.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Serves the same cluster (again).
    pub(crate) fn resume(&mut self) {
        self.server = Some(self.spawned());
        self.await_ready();
    }

    fn spawned(&self) -> Child {
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        postgres.args(["-c", "listen_addresses=", "-c", "max_connections=300"]);
        postgres.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Statements for the test's own looks and faults; what they print.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let output = self.psql(statement);
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Has statements run by themselves until they or the server end.
    pub(crate) fn hold(&self, statements: &str) {
        let mut held =
            self.psql_command(statements).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::spawn(move || held.wait());
        std::thread::sleep(Duration::from_millis(500));
    }

    /// From now on this role needs its password.
    pub(crate) fn guard(&self, role: &str) {
        let lines = format!("local all {role} scram-sha-256\nlocal all all trust\n");
        std::fs::write(self.folder.path().join("data/pg_hba.conf"), lines).unwrap();
        self.sql("SELECT pg_reload_conf()");
    }

    fn psql(&self, statement: &str) -> std::process::Output {
        self.psql_command(statement).output().unwrap()
    }

    fn psql_command(&self, statement: &str) -> Command {
        let mut psql = command("psql");
        psql.args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            ACCOUNT,
        ]);
        psql.arg("-h").arg(self.folder.path()).args(["-d", "postgres", "-c", statement]);
        psql
    }

    fn await_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.psql("SELECT 1").status.success() {
            // While processes of one that was killed still end, the next one does not begin.
            if self.server.as_mut().is_some_and(|server| server.try_wait().unwrap().is_some()) {
                self.server = Some(self.spawned());
            }
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One of PostgreSQL's programs, as its own account, which ends with the thread that started it.
fn command(program: &str) -> Command {
    let program = find(program);
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups", "--pdeathsig", "QUIT"]);
    command.arg(program).current_dir("/");
    command
}

/// Debian keeps them off the path, in a folder per version; the newest is taken.
fn find(program: &str) -> PathBuf {
    let number = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    folders.sort_by_key(|folder| number(folder));
    let found =
        folders.iter().rev().map(|folder| folder.join("bin").join(program)).find(|path| path.is_file());
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut on_path = std::env::split_paths(&on_path).map(|folder| folder.join(program));
    found
        .or_else(|| on_path.find(|path| path.is_file()))
        .expect("PostgreSQL is there: apt install postgresql")
}
