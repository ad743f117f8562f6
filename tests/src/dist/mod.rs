//! `cargo xtask package`: both programs as people install them, in one folder: .deb, .rpm and a tarball each, with checksums,
//! a bill of materials (CycloneDX) and the licences of what is linked in.
//!
//! What is in a package is said once, in `tree`; cargo-deb, rpmbuild and tar pack that tree. The version is the
//! workspace's. The same programs and the same commit give the same bytes.

mod again;
mod archive;
mod bill;
mod crates;
mod deb;
mod licences;
mod product;
mod rpm;
mod tree;
mod usage;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::args::PackageArguments;
use crate::build::{self, Programs};
use crate::{packages, paths, run};
pub use product::Product;

/// The workspace's version: this package inherits it, as all do.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The other machine that the guest's program is made for.
const ARM64: &str = "aarch64-unknown-linux-gnu";

/// One packaging of one program.
#[derive(Debug, Clone)]
pub struct Order {
    pub product: Product,
    pub program: PathBuf,
    /// As rustc names it.
    pub target: String,
    /// Debian's revision and RPM's release: packages of the same version, made anew.
    pub revision: u32,
    /// Light compression, and no symbols: an unoptimised program of a hundred megabytes.
    pub quick: bool,
}

impl Order {
    /// `x86_64`, `aarch64`.
    fn machine(&self) -> &str {
        self.target.split('-').next().unwrap_or_default()
    }

    /// Whether it is for the machine that makes it.
    fn is_native(&self) -> bool {
        paths::host_triple().is_ok_and(|host| host == self.target)
    }

    /// `NAME-VERSION-MACHINE`.
    fn stem(&self) -> String {
        format!("{}-{VERSION}-{}", self.product.name(), self.machine())
    }
}

/// `cargo xtask package`: builds, packs, and gives the folder.
pub fn run(arguments: &PackageArguments) -> Result<PathBuf> {
    // A build would bring a lock file up to date that is not, and pack what nobody has looked at.
    run::must(build::cargo().args(["metadata", "--locked", "--format-version", "1"]))
        .context("Cargo.lock does not fit the manifests")?;
    let host = paths::host_triple()?;
    let target = arguments.target.clone().unwrap_or_else(|| host.clone());
    let mut orders = Vec::new();
    let mut order = |product, program| {
        let (target, quick) = (target.clone(), arguments.dev);
        orders.push(Order { product, program, target, revision: arguments.revision, quick });
    };
    if target == host {
        let Programs { companion, guest } = build::programs(!arguments.dev)?;
        order(Product::Guest, guest);
        order(Product::Companion, companion);
    } else {
        // The companion prints its own manual and completions, and a program of another machine cannot.
        order(Product::Guest, build::guest_for(&target)?);
    }
    let folder = paths::target().join("packages");
    make(&orders, Kinds::All, &folder)?;
    if arguments.twice {
        again::compare(arguments, &folder)?;
    }
    Ok(folder)
}

/// Which packages to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    All,
    Deb,
}

/// Makes packages of all orders, and the checksums of what is in the folder.
pub fn make(orders: &[Order], kinds: Kinds, folder: &Path) -> Result<()> {
    packages::ensure(packages::PACKAGING)?;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let moment = moment()?;
    for order in orders {
        eprintln!("packing {} for {}", order.product.name(), order.target);
        let linked = crates::linked(order.product, &order.target)?;
        let licences = licences::text(order, &linked)?;
        let bill = bill::document(order, &linked, moment)?;
        let plain = tree::plain(order, &licences)?;
        deb::make(order, &tree::debian(order, plain.clone(), &licences, moment)?, moment, folder)?;
        if kinds == Kinds::Deb {
            continue;
        }
        rpm::make(order, &tree::rpm(order, plain.clone(), &licences), moment, folder)?;
        archive::make(order, &tree::tarball(plain, &licences), moment, folder)?;
        let put = |end: &str, text: &str| {
            let path = folder.join(format!("{}.{end}", order.stem()));
            fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
        };
        put("cdx.json", &bill)?;
        put("licences.txt", &licences)?;
    }
    archive::checksums(folder)
}

/// Installs what packages are made and looked at with.
pub fn prepare() -> Result<()> {
    packages::ensure(packages::PACKAGING)?;
    packages::ensure(packages::LINTIAN)?;
    deb::tool().map(drop)
}

/// For the tests: packages of these programs in folders by their revision, `1` and `2`, of the companion's second only the
/// .deb; the guest's first a second time in `again`; with `full`, the guest's for another machine in `arm64`.
pub fn for_tests(programs: &Programs, full: bool) -> Result<PathBuf> {
    let all = emptied(paths::scratch().join("package/tests"))?;
    let host = paths::host_triple()?;
    let order = |product, program: &Path, target: &str, revision| {
        let (program, target) = (program.to_owned(), target.to_owned());
        Order { product, program, target, revision, quick: true }
    };
    let guest = |revision| order(Product::Guest, &programs.guest, &host, revision);
    let companion = |revision| order(Product::Companion, &programs.companion, &host, revision);
    make(&[guest(1), companion(1)], Kinds::All, &all.join("1"))?;
    make(&[guest(2)], Kinds::All, &all.join("2"))?;
    make(&[companion(2)], Kinds::Deb, &all.join("2"))?;
    make(&[guest(1)], Kinds::All, &all.join("again"))?;
    if full {
        let program = build::guest_for(ARM64)?;
        make(&[order(Product::Guest, &program, ARM64, 1)], Kinds::All, &all.join("arm64"))?;
    }
    Ok(all)
}

/// What packages are dated: `SOURCE_DATE_EPOCH`, or the commit's own time. In seconds.
fn moment() -> Result<u64> {
    let text = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => run::must(run::command(["git", "log", "-1", "--format=%ct"]).current_dir(paths::root()))
            .context(
                "without git, SOURCE_DATE_EPOCH has to say what the packages are dated (seconds since 1970)",
            )?,
    };
    let moment = text.trim().parse();
    ensure!(moment.is_ok(), "SOURCE_DATE_EPOCH is no number of seconds: {}", text.trim());
    Ok(moment.unwrap_or_default())
}

/// Bytes as `gzip -9n` packs them: the same every time.
fn gzipped(bytes: &[u8]) -> Result<Vec<u8>> {
    gzipped_by("-9", bytes)
}

/// With this option for how hard to try.
fn gzipped_by(level: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut gzip = run::command(["gzip", level, "-n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("gzip cannot be started")?;
    let mut into = gzip.stdin.take().context("gzip takes no input")?;
    let bytes = bytes.to_owned();
    let writer = std::thread::spawn(move || into.write_all(&bytes));
    let output = gzip.wait_with_output()?;
    ensure!(output.status.success() && matches!(writer.join(), Ok(Ok(()))), "gzip failed");
    Ok(output.stdout)
}

/// An empty folder.
fn emptied(folder: PathBuf) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// Where trees are staged; the assets in the Cargo.toml of both programs name it.
fn stage(order: &Order, kind: &str) -> Result<PathBuf> {
    emptied(paths::scratch().join("package").join(order.product.name()).join(kind))
}
