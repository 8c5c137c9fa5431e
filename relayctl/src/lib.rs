//! The operator's command line: one file per command, and nothing that a program could not do over the public API.
//!
//! In reading order:
//!
//! * `cli` (the words on the command line), `arguments` (a job's arguments, read as Salt reads them), `exit` (codes)
//! * `contexts` (which fabric), `tokens` (as whom, where no certificate says it), `connect` (a connection to its top master), `api` (what is asked of it)
//! * `job` (submit once, watch without gaps, the result), `output` (what a person or a program sees of it)
//! * the commands: `run` (and `plan`), `jobs`, `schedule`, `minions`, `fabric`, `context`, `store`, [`dev`]
//!
//! What a job *does* is decided by the tiers; nothing here knows more than the events of a watch tell.

mod api;
mod approvals;
mod arguments;
mod audit;
mod ca;
mod cli;
mod completions;
mod connect;
mod context;
mod contexts;
pub mod dev;
mod exit;
mod fabric;
mod job;
mod jobs;
mod keys;
mod login;
mod man;
mod minions;
mod output;
mod passwd;
mod plan;
mod policy;
mod prompt;
mod run;
pub mod salt;
mod schedule;
mod store;
mod token;
mod tokens;
mod topology;
mod when;

use std::{ffi::OsString, io::IsTerminal};

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use exit::Exit;
use output::Output;

/// Runs one command line and returns the exit code of the process. Errors are printed to standard error.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(told) => return told_by_clap(&told).code(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(command(cli)),
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the runtime")),
    };
    ended.unwrap_or_else(|error| refused(&error)).code()
}

/// Help and version are answers (0); everything else that clap says is a wrong command line (3).
fn told_by_clap(told: &clap::Error) -> Exit {
    // Nobody is left to be told that this could not be printed.
    let _ = told.print();
    if told.use_stderr() { Exit::NotAccepted } else { Exit::Ok }
}

fn refused(error: &anyhow::Error) -> Exit {
    let paint = output::Paint::for_stream(std::io::stderr().is_terminal());
    eprintln!("{} {error:#}", paint.red("relayctl:"));
    Exit::NotAccepted
}

async fn command(cli: Cli) -> anyhow::Result<Exit> {
    let out = Output::to_stdout(cli.out).with_header(!cli.no_header);
    let wanted = cli.context.as_deref();
    match cli.command {
        Command::Run(args) => run::run(args, wanted, &out).await,
        Command::Jobs { command } => jobs::run(command, wanted, &out).await,
        Command::Schedule { command } => schedule::run(command, wanted, &out).await,
        Command::Minions { command } => minions::run(command, wanted, &out).await,
        Command::Fabric { command } => fabric::run(command, wanted, &out).await,
        Command::Context { command } => context::run(command, wanted, &out),
        Command::Topology { command } => topology::run(command, wanted, &out).await,
        Command::Login(args) => login::login(args, wanted, &out).await,
        Command::Logout => login::logout(wanted, &out).await,
        Command::Whoami => login::whoami(wanted, &out).await,
        Command::Passwd(args) => passwd::run(args, &out),
        Command::Ca { command } => ca::run(command, &out),
        Command::Keys { command } => keys::run(command, wanted, &out).await,
        Command::Token { command } => token::run(command, wanted, &out).await,
        Command::Policy { command } => policy::run(command, wanted, &out).await,
        Command::Approvals { command } => approvals::run(command, wanted, &out).await,
        Command::Audit { command } => audit::run(command, wanted, &out).await,
        Command::Store { command } => store::run(command, &out).await,
        Command::Dev { command } => dev::run(command, wanted, &out).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command(), &out),
    }
}
