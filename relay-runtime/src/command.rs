//! The command line that top master and syndic share: `serve` and `check-config`, and their exit codes.

use std::{future::Future, net::SocketAddr, path::Path, path::PathBuf, process::ExitCode};

use clap::Subcommand;

use crate::config::{ConfigErrors, check_ports_free};

/// Exit code for a command line or configuration that cannot be used.
pub const BAD_CONFIG: u8 = 3;
/// Threads unless configured: half of the cores, since the store or spool and the system want theirs, and at most this
/// many: more gain nothing before the one loop is the limit. On a small machine that is one, and one thread needs no
/// wake-ups across threads, which cost a syndic two thirds of its system time (docs/performance.md).
const MAX_THREADS: usize = 4;

/// What a daemon's binary can do.
#[derive(Debug, Subcommand)]
pub enum Daemon {
    /// Run until stopped.
    #[command(
        after_help = "EXAMPLES:\n  top-master serve --config /etc/relay/top-master.yaml\n  syndic serve --config /etc/relay/syndic.yaml"
    )]
    Serve(ConfigFile),
    /// Check a configuration and say everything that is wrong with it.
    #[command(
        after_help = "EXAMPLES:\n  top-master check-config --config /etc/relay/top-master.yaml\n  syndic check-config --config /etc/relay/syndic.yaml"
    )]
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
pub fn run<C, F: Future<Output = anyhow::Result<()>> + Send + 'static>(
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

fn runtime(mut builder: tokio::runtime::Builder) -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(builder.enable_all().build()?)
}

fn serve_it(
    threads: Option<usize>,
    serve: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or((cores / 2).clamp(1, MAX_THREADS)).max(1);
    let served = match threads {
        1 => {
            runtime(tokio::runtime::Builder::new_current_thread()).and_then(|runtime| runtime.block_on(serve))
        }
        n => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(n);
            // As a task, so that the loop runs on a worker: from outside, each message it sends would wake one.
            runtime(builder).and_then(|runtime| runtime.block_on(async { tokio::spawn(serve).await? }))
        }
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
