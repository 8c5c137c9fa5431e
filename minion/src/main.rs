//! `minion`: the command line of the minion.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use minion::{
    local::{self, LocalCall},
    runner, serve,
};

/// Exit code for a configuration that cannot be used.
const BAD_CONFIG: u8 = 3;

/// The minion: runs the jobs that its fabric's top master signs for it.
#[derive(Parser)]
#[command(
    name = "minion",
    version,
    after_help = "EXAMPLES:\n  minion check-config --config /etc/relay/minion.yaml\n  minion serve --config /etc/relay/minion.yaml\n  minion serve --config trial.yaml --count 50    # fifty minions in one process, for trials"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Attach to the first parent that answers, and run jobs until stopped.
    #[command(
        after_help = "EXAMPLES:\n  minion serve --config /etc/relay/minion.yaml\n  minion serve --config trial.yaml --count 50"
    )]
    Serve(Config),
    /// Check a configuration and say everything that is wrong with it.
    #[command(after_help = "EXAMPLES:\n  minion check-config --config /etc/relay/minion.yaml")]
    CheckConfig(Config),
    /// Run one function on this machine, without a master, and print one line of JSON.
    #[command(
        after_help = "The line has id, jid, fun, outcome, reason, retcode, truncated and return. Exit code: 0 if the outcome is ok, \
                      1 if it is not, 3 if the command line cannot be used.\n\nEXAMPLES:\n  minion call test.ping\n  \
                      minion call cmd.run --json-args '{\"args\": [\"uptime\"], \"kwargs\": {\"timeout\": 5}}'\n  \
                      minion call grains.get os --config /etc/relay/minion.yaml"
    )]
    Call(LocalArgs),
    /// Run one command and write down how it ended (started by the minion itself).
    #[command(hide = true)]
    Runner {
        /// The run's directory.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(clap::Args)]
struct Config {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How many minions this process hosts (for trials); ids are numbered.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: usize,
}

#[derive(clap::Args)]
struct LocalArgs {
    /// The function.
    function: String,
    /// Its positional arguments; each is a text.
    #[arg(value_name = "ARG", allow_negative_numbers = true, conflicts_with = "json_args")]
    words: Vec<String>,
    /// All arguments: {"args": [...], "kwargs": {...}}, or the name of a file with that.
    #[arg(long, value_name = "JSON or FILE")]
    json_args: Option<String>,
    /// Take id and grains of the minion with this configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The minion id [default: the configuration's, or the host's name].
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The form of the output.
    #[arg(long, value_name = "FORM", default_value = "json", value_parser = ["json"])]
    out: String,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_CONFIG } else { 0 });
        }
    };
    match cli.command {
        // First thing: the runner must be alone in its process.
        Command::Runner { dir } => ExitCode::from(u8::try_from(runner::runner_main(&dir)).unwrap_or(1)),
        Command::CheckConfig(args) => check(&args),
        Command::Serve(args) => run(&args),
        Command::Call(args) => call(args),
    }
}

fn call(args: LocalArgs) -> ExitCode {
    let LocalArgs { function, words, json_args, config, id, out: _ } = args;
    let what = LocalCall { function, words, json_args, config, id };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(local::call(what))) {
        Ok(called) => {
            println!("{}", called.line);
            ExitCode::from(u8::from(!called.ok))
        }
        Err(error) => {
            eprintln!("minion call: {error:#}");
            ExitCode::from(BAD_CONFIG)
        }
    }
}

fn check(args: &Config) -> ExitCode {
    match serve::check(&args.config, args.count) {
        Ok(configs) => {
            println!("{}: good for {} minion(s)", args.config.display(), configs.len());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(BAD_CONFIG)
        }
    }
}

fn run(args: &Config) -> ExitCode {
    let configs = match serve::check(&args.config, args.count) {
        Ok(configs) => configs,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    // One thread: a minion waits most of its life, and a thread's stack and arena are what it would cost.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(serve::serve(configs)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("minion: {error:#}");
            ExitCode::FAILURE
        }
    }
}
