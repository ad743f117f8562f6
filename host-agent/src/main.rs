//! `firstlight`: see `firstlight --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    firstlight::cli::main()
}
