//! `firstlight-guest`: see the library beside.

fn main() -> std::process::ExitCode {
    firstlight_guest::main(std::env::args_os().skip(1))
}
