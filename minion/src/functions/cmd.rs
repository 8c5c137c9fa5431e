//! `cmd.*`: commands of the machine. Only described here; a [`crate::runner`] runs them.

use super::{
    Call, Function, Start,
    arguments::{Bound, CommandText, Kind, Parameters, may, must},
    shell_words,
};
use crate::runner::{CommandSpec, Shape};

const PARAMETERS: Parameters = Parameters {
    placed: &[must("cmd", Kind::Command), may("cwd", Kind::Directory)],
    named: &[
        may("runas", Kind::Text),
        may("shell", Kind::Directory),
        may("python_shell", Kind::Flag),
        may("env", Kind::Environment),
        may("clean_env", Kind::Flag),
        may("timeout", Kind::Seconds),
    ],
    rest: None,
    any_name: false,
};

/// The shell of Salt's `cmd.run` where none is named.
const DEFAULT_SHELL: &str = "/bin/sh";

pub(super) const RUN: Function = Function {
    name: "cmd.run",
    usage: "cmd.run CMD [CWD] [runas=USER] [shell=/bin/sh] [python_shell=true] [env={\"NAME\": \"value\"}] [clean_env=false] [timeout=SECONDS]",
    doc: "Run a command by a shell and return what it wrote, stdout and stderr as they came.\n\
          The retcode is the command's exit code (-N if signal N ended it); one other than 0 is `failed`.\n\
          cwd: where it starts (default: home of the user it runs as). runas: the user it runs as.\n\
          python_shell=false: no shell; the line is split into words by quotes. A list is never given to a shell.\n\
          timeout: kill it after so many seconds; the answer is then `failed`.\n\
          Its stdin is empty. What it leaves running in the background is not waited for.\n\n\
          relayctl run '*' cmd.run 'uptime'\n\
          relayctl run 'web*' cmd.run 'ls -l | head' cwd=/tmp runas=nobody timeout=10",
    parameters: PARAMETERS,
    start: Start::Command(run),
};

pub(super) const RUN_ALL: Function = Function {
    name: "cmd.run_all",
    usage: "cmd.run_all CMD [CWD] [runas=USER] [shell=/bin/sh] [python_shell=true] [env={\"NAME\": \"value\"}] [clean_env=false] [timeout=SECONDS]",
    doc: "Run a command as cmd.run does, and return a map: pid, retcode, stdout, stderr.\n\n\
          relayctl run '*' cmd.run_all 'systemctl is-active ssh'",
    parameters: PARAMETERS,
    start: Start::Command(run_all),
};

fn run(bound: &Bound, call: &Call) -> Result<CommandSpec, String> {
    describe(bound, call, Shape::Text)
}

fn run_all(bound: &Bound, call: &Call) -> Result<CommandSpec, String> {
    describe(bound, call, Shape::Map)
}

fn describe(bound: &Bound, call: &Call, shape: Shape) -> Result<CommandSpec, String> {
    let (argv, shown) = argv(bound)?;
    Ok(CommandSpec {
        jid: call.jid,
        argv,
        shown,
        shape,
        cwd: bound.path("cwd"),
        runas: bound.text("runas"),
        env: bound.environment("env"),
        clean_env: bound.flag("clean_env", false),
        // 0 is Salt's way to say "none".
        timeout: bound.seconds("timeout").filter(|t| !t.is_zero()),
        run_limit: call.run_limit,
    })
}

/// The words to execute, and the command as people know it.
fn argv(bound: &Bound) -> Result<(Vec<String>, String), String> {
    let (argv, shown) = match bound.command("cmd").ok_or("argument 'cmd' is missing")? {
        CommandText::Words(words) => (words.clone(), words.join(" ")),
        CommandText::Line(line) if bound.flag("python_shell", true) => {
            let shell = bound.text("shell").unwrap_or_else(|| DEFAULT_SHELL.into());
            (vec![shell, "-c".into(), line.clone()], line)
        }
        CommandText::Line(line) => {
            let words = shell_words::split(&line).ok_or("argument 'cmd' has a quote that is not closed")?;
            (words, line)
        }
    };
    match argv.iter().any(|word| word.contains('\0')) || argv[0].is_empty() {
        true => Err("argument 'cmd' names no program, or has a NUL character in it".into()),
        false => Ok((argv, shown)),
    }
}
