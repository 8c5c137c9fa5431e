//! The runner, as real processes: this program plays the minion, the runner (when it is started as one, exactly as
//! the minion's binary is) and a minion that is killed. Hence it has its own `main`, and runs its trials one by one.
//! An argument that is no option selects the trials whose names hold it.

mod ends;
mod scene;
mod survival;

use std::{panic::catch_unwind, path::Path, process::ExitCode};

/// A trial's name and body.
type Trial = (&'static str, fn());

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "runner", "--dir", dir] => std::process::exit(minion::runner::runner_main(Path::new(dir))),
        [_, "doomed-minion", work_dir, token, script] => survival::doomed_minion(work_dir, token, script),
        _ => run_trials(args.iter().skip(1).find(|a| !a.starts_with('-')).map_or("", String::as_str)),
    }
}

fn run_trials(filter: &str) -> ExitCode {
    let chosen: Vec<&Trial> =
        ends::TRIALS.iter().chain(survival::TRIALS).filter(|(name, _)| name.contains(filter)).collect();
    let mut failed = 0;
    for (name, trial) in &chosen {
        let passed = catch_unwind(*trial).is_ok();
        failed += usize::from(!passed);
        println!("trial {name} ... {}", if passed { "ok" } else { "FAILED" });
    }
    println!("\n{} trials, {failed} failed", chosen.len());
    ExitCode::from(u8::from(failed > 0))
}
