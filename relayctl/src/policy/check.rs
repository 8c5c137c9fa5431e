//! `relayctl policy check`.

use std::path::PathBuf;

use clap::Args;
use relay_core::document::{Problem, Severity};
use relay_runtime::config::load_policy;
use serde_json::{Value, json};

use crate::{exit::Exit, output::Output};

/// Which file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The policy file
    file: PathBuf,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl policy check policy.yaml
  relayctl policy check policy.yaml --out json

EXIT CODES:
  0  good; warnings are told
  3  bad, or cannot be read; every problem is told as file:line:column";

/// Runs it.
pub fn run(args: &CheckArgs, out: &Output) -> anyhow::Result<Exit> {
    let file = args.file.display().to_string();
    match load_policy(&args.file) {
        Ok((_, policy)) => {
            let (allow, deny) = policy.rules();
            let data = json!({ "good": true, "allow": allow, "deny": deny, "named": policy.named(),
                "problems": data(&policy.warnings) });
            out.show(&data, |paint| {
                let warnings: String =
                    policy.warnings.iter().map(|w| format!("{}\n", w.in_file(&file))).collect();
                warnings + &paint.green(format!("{file} is good: {allow} rules that allow, {deny} that deny"))
            })?;
            Ok(Exit::Ok)
        }
        Err(errors) => {
            let data = json!({ "good": false, "problems": data(&errors.problems) });
            out.show(&data, |paint| format!("{errors}\n{}", paint.red(format!("{file} is not good"))))?;
            Ok(Exit::NotAccepted)
        }
    }
}

fn data(problems: &[Problem]) -> Vec<Value> {
    let problem = |p: &Problem| {
        json!({
            "line": p.at.map(|at| at.line),
            "column": p.at.map(|at| at.column),
            "error": p.severity == Severity::Error,
            "what": p.what,
            "hint": p.hint,
        })
    };
    problems.iter().map(problem).collect()
}
