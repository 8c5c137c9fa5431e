//! `loadtests`: the load harness behind `cargo xtask bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadtests::cli::main()
}
