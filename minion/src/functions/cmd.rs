//! `cmd.*`: commands of the machine. Only described here; a [`crate::runner`] runs them.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Call, Context, Function, Start,
    arguments::{Bound, CommandText, Kind, NOTHING, Parameters, may, must},
    shell_words,
};
use crate::runner::{CommandSpec, Shape};

const PARAMETERS: Parameters = Parameters {
    placed: &[must("cmd", Kind::Command), may("cwd", Kind::Directory)],
    named: &[
        may("stdin", Kind::Text),
        may("runas", Kind::Text),
        may("shell", Kind::Directory),
        may("python_shell", Kind::Flag),
        may("env", Kind::Environment),
        may("clean_env", Kind::Flag),
        may("umask", Kind::Umask),
        may("timeout", Kind::Seconds),
        may("ignore_retcode", Kind::Flag),
        may("success_retcodes", Kind::Codes),
        may("hide_output", Kind::Flag),
        may("output_loglevel", Kind::Text),
        may("raise_err", Kind::Flag),
    ],
    rest: None,
    any_name: false,
};

/// The shell of Salt's `cmd.run` where none is named.
const DEFAULT_SHELL: &str = "/bin/sh";
/// Where programs are looked for if the minion's environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A usage line: the same options behind each name.
macro_rules! usage {
    ($name:literal) => {
        concat!(
            $name,
            " CMD [CWD] [stdin=TEXT] [runas=USER] [shell=/bin/sh] [python_shell=true] [env={\"NAME\": \"value\"}] ",
            "[clean_env=false] [umask=022] [timeout=SECONDS] [ignore_retcode=false] [success_retcodes=[1, 2]] ",
            "[hide_output=false]"
        )
    };
}

pub(super) const RUN: Function = Function {
    name: "cmd.run",
    usage: usage!("cmd.run"),
    doc: "Run a command by a shell and return what it wrote, stdout and stderr as they came.\n\
          The retcode is the command's exit code (-N if signal N ended it); one other than 0 is `failed`.\n\
          cwd: where it starts (default: home of the user it runs as). runas: the user it runs as (needs root).\n\
          stdin: what it reads; without it, nothing. env: added to its environment; clean_env: start from an empty one.\n\
          python_shell=false: no shell; the line is split into words by quotes. A list is never given to a shell.\n\
          umask: octal. timeout: kill it after so many seconds; the answer is then `failed`.\n\
          success_retcodes: exit codes that count as 0. ignore_retcode: no exit code is a failure.\n\
          hide_output: return nothing of what it wrote. output_loglevel and raise_err are accepted and change nothing:\n\
          outputs are never logged, and a failing command always fails the job.\n\
          What it leaves running in the background is not waited for.\n\n\
          relayctl run '*' cmd.run 'uptime'\n\
          relayctl run 'web*' cmd.run 'ls -l | head' cwd=/tmp runas=nobody timeout=10\n\
          relayctl run 'web*' cmd.run 'grep -c error /var/log/syslog' success_retcodes='[1]'",
    parameters: PARAMETERS,
    start: Start::Command(|bound, call| describe(bound, call, Shape::Text)),
};

pub(super) const RUN_ALL: Function = Function {
    name: "cmd.run_all",
    usage: usage!("cmd.run_all"),
    doc: "Run a command as cmd.run does, and return a map: pid, retcode, stdout, stderr.\n\n\
          relayctl run '*' cmd.run_all 'systemctl is-active ssh'",
    parameters: PARAMETERS,
    start: Start::Command(|bound, call| describe(bound, call, Shape::Map)),
};

pub(super) const RUN_STDOUT: Function = Function {
    name: "cmd.run_stdout",
    usage: usage!("cmd.run_stdout"),
    doc: "Run a command as cmd.run does, and return its stdout alone.\n\n\
          relayctl run '*' cmd.run_stdout 'ls -l | head'",
    parameters: PARAMETERS,
    start: Start::Command(|bound, call| describe(bound, call, Shape::Stdout)),
};

pub(super) const RUN_STDERR: Function = Function {
    name: "cmd.run_stderr",
    usage: usage!("cmd.run_stderr"),
    doc: "Run a command as cmd.run does, and return its stderr alone.\n\n\
          relayctl run '*' cmd.run_stderr 'nginx -t'",
    parameters: PARAMETERS,
    start: Start::Command(|bound, call| describe(bound, call, Shape::Stderr)),
};

pub(super) const RETCODE: Function = Function {
    name: "cmd.retcode",
    usage: usage!("cmd.retcode"),
    doc: "Run a command as cmd.run does, and return its exit code as a number. One other than 0 is `failed`, too.\n\n\
          relayctl run '*' cmd.retcode 'test -e /var/run/reboot-required'",
    parameters: PARAMETERS,
    start: Start::Command(|bound, call| describe(bound, call, Shape::Retcode)),
};

pub(super) const SHELL: Function = Function {
    name: "cmd.shell",
    usage: usage!("cmd.shell"),
    doc: "Run a command as cmd.run does, always by a shell.\n\n\
          relayctl run '*' cmd.shell 'echo $SHELL' shell=/bin/bash",
    parameters: PARAMETERS,
    start: Start::Command(by_shell),
};

/// The one parameter of functions about a program.
const A_PROGRAM: Parameters = Parameters { placed: &[must("cmd", Kind::Text)], ..NOTHING };

pub(super) const WHICH: Function = Function {
    name: "cmd.which",
    usage: "cmd.which CMD",
    doc: "Return the path of a program on the minion's PATH, or null if it is not there.\n\n\
          relayctl run '*' cmd.which nginx",
    parameters: A_PROGRAM,
    start: Start::Value(path_of),
};

pub(super) const HAS_EXEC: Function = Function {
    name: "cmd.has_exec",
    usage: "cmd.has_exec CMD",
    doc: "Return whether a program is on the minion's PATH.\n\nrelayctl run '*' cmd.has_exec nginx",
    parameters: A_PROGRAM,
    start: Start::Value(has_exec),
};

fn path_of(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(which(bound).map(|path| path.to_string_lossy().into_owned()).into())
}

fn has_exec(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(which(bound).is_some().into())
}

fn which(bound: &Bound) -> Option<PathBuf> {
    let name = bound.text("cmd").filter(|name| !name.is_empty())?;
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    // A path is looked at itself: `join` of an absolute one gives just that.
    env::split_paths(&path).map(|dir| dir.join(&name)).find(|found| runs(found))
}

fn runs(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn by_shell(bound: &Bound, call: &Call) -> Result<CommandSpec, String> {
    match bound.command("cmd") {
        Some(CommandText::Line(line)) => {
            Ok(CommandSpec { argv: shell_line(bound, &line), ..describe(bound, call, Shape::Text)? })
        }
        _ => Err("argument 'cmd' must be one line for the shell; cmd.run takes lists".into()),
    }
}

fn describe(bound: &Bound, call: &Call, shape: Shape) -> Result<CommandSpec, String> {
    let (argv, shown) = argv(bound)?;
    Ok(CommandSpec {
        jid: call.jid,
        function: call.function.clone(),
        argv,
        shown,
        shape,
        cwd: bound.path("cwd"),
        runas: bound.text("runas"),
        env: bound.environment("env"),
        clean_env: bound.flag("clean_env", false),
        stdin: bound.text("stdin"),
        umask: bound.umask("umask"),
        success_retcodes: bound.codes("success_retcodes"),
        ignore_retcode: bound.flag("ignore_retcode", false),
        hide_output: bound.flag("hide_output", false),
        // 0 is Salt's way to say "none".
        timeout: bound.seconds("timeout").filter(|t| !t.is_zero()),
        run_limit: call.run_limit,
    })
}

fn shell_line(bound: &Bound, line: &str) -> Vec<String> {
    let shell = bound.text("shell").unwrap_or_else(|| DEFAULT_SHELL.into());
    vec![shell, "-c".into(), line.into()]
}

/// The words to execute, and the command as people know it.
fn argv(bound: &Bound) -> Result<(Vec<String>, String), String> {
    let (argv, shown) = match bound.command("cmd").ok_or("argument 'cmd' is missing")? {
        CommandText::Words(words) => (words.clone(), words.join(" ")),
        CommandText::Line(line) if bound.flag("python_shell", true) => (shell_line(bound, &line), line),
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
