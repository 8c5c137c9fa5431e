//! The command line that top master and syndic share: `serve` and `check-config`, and their exit codes.

use std::{future::Future, net::SocketAddr, path::Path, path::PathBuf, process::ExitCode};

use clap::Subcommand;

use crate::config::{ConfigErrors, check_ports_free};

/// Exit code for a command line or configuration that cannot be used.
pub const BAD_CONFIG: u8 = 3;
/// Threads unless configured: more than four gain nothing before the one loop is the limit.
const MAX_THREADS: usize = 4;

/// What a daemon's binary can do.
#[derive(Debug, Subcommand)]
pub enum Daemon {
    /// Run until stopped.
    Serve(ConfigFile),
    /// Check a configuration and say everything that is wrong with it.
    CheckConfig(ConfigFile),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Does what the command line says. All problems of the configuration are told at once, before anything starts.
pub fn run<C, F: Future<Output = anyhow::Result<()>>>(
    command: Result<Daemon, clap::Error>,
    load: fn(&Path) -> Result<C, ConfigErrors>,
    addresses: fn(&C) -> Vec<SocketAddr>,
    threads: fn(&C) -> Option<usize>,
    serve: fn(C) -> F,
) -> ExitCode {
    let command = match command {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_CONFIG } else { 0 });
        }
    };
    let (Daemon::Serve(ConfigFile { config: file }) | Daemon::CheckConfig(ConfigFile { config: file })) =
        &command;
    let loaded = load(file).and_then(|config| match check_ports_free(&addresses(&config)) {
        busy if busy.is_empty() => Ok(config),
        busy => Err(ConfigErrors::new(file, busy)),
    });
    match (loaded, &command) {
        (Err(errors), _) => {
            eprintln!("{errors}");
            ExitCode::from(BAD_CONFIG)
        }
        (Ok(_), Daemon::CheckConfig(_)) => {
            println!("{}: good", file.display());
            ExitCode::SUCCESS
        }
        (Ok(config), Daemon::Serve(_)) => serve_it(threads(&config), serve(config)),
    }
}

fn serve_it(threads: Option<usize>, serve: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or(cores).clamp(1, MAX_THREADS.max(threads.unwrap_or(1)));
    let runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build(),
    };
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
