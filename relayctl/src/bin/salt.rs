//! `salt`, `salt-run`, `salt-key` and `salt-call`, by the name it is called by: see `relayctl::salt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(relayctl::salt::main(std::env::args_os()))
}
