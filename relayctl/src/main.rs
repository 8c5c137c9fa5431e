//! `relayctl`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(relayctl::main(std::env::args_os()))
}
