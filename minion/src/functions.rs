//! What a minion can be told to do: the closed registry of functions, and the way from a call to something that runs.
//!
//! A call is checked here, before anything starts: an unknown function or a wrong argument becomes a `failed` answer
//! with the usage line. What passes is either a future inside this process or a command for a [`crate::runner`].
//! When to start, what to journal and where the answer goes is the session's business, not this module's.

mod arguments;
pub(crate) mod body;
mod cmd;
mod grains;
mod guard;
mod python;
mod saltutil;
mod shell_words;
mod state;
mod sys;
mod test;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use relay_core::{
    ids::{Jid, MinionId},
    outcome::Answer,
    seat::Place,
    time::WallMicros,
};
use serde_json::{Map, Value};

use crate::{grains::GrainBook, runner::CommandSpec};
use arguments::{Bound, Parameters, bind};

/// One call, as the job says it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The job that it belongs to.
    pub jid: Jid,
    /// The function's full name, such as `cmd.run`.
    pub function: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Named arguments; the client has split `k=v` already.
    pub kwargs: Map<String, Value>,
    /// How long it may run.
    pub run_limit: Duration,
}

/// A job that this minion is running: what `saltutil.running` shows.
#[derive(Debug, Clone)]
pub struct RunningJob {
    /// The job.
    pub jid: Jid,
    /// Its function.
    pub function: String,
    /// Its positional arguments.
    pub args: Vec<Value>,
    /// When it was started, by the wall clock; for people.
    pub started_wall: WallMicros,
    /// The runner's process id, or the minion's own for what runs inside it.
    pub pid: u32,
}

/// What became of a signal for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signalled {
    /// It was sent; to whom, as `saltutil.running` shows it.
    Sent {
        /// The process id.
        pid: u32,
    },
    /// No such job runs here.
    NoSuchJob,
    /// The job has just ended by itself.
    Ended,
    /// It cannot have this signal, or cannot be reached; the text says why.
    Refused(String),
}

/// The jobs that a minion is running, for the functions that look after them.
pub trait Jobs: Send + Sync {
    /// What runs now, the job that asks included. Called once per `saltutil` call.
    fn running(&self) -> Vec<RunningJob>;
    /// Sends a job a signal. Never waits for what comes of it.
    fn signal(&self, jid: Jid, signal: Signal) -> Signalled;
}

/// What a function may know of its minion.
#[derive(Clone)]
pub struct Context {
    /// The minion's id.
    pub minion: MinionId,
    /// Its grains.
    pub grains: Arc<GrainBook>,
    /// What runs now.
    pub jobs: Arc<dyn Jobs>,
}

/// A future that yields the answer of a built-in function. Dropping it stops the function.
pub type BuiltinFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A checked call: what to do to run it. Nothing has been started yet.
pub enum Prepared {
    /// Runs inside this process. It keeps the run limit itself (`timed_out`), a panic inside becomes `failed`,
    /// and dropping it is how it is cancelled.
    Builtin(BuiltinFuture),
    /// Runs as a process: hand it to [`crate::runner::Runner::launch`].
    Command(Box<CommandSpec>),
}

/// One function of the registry.
#[derive(Debug)]
pub struct Function {
    /// Full name, `module.function`.
    pub name: &'static str,
    /// Its arguments in one line: `test.sleep LENGTH`.
    pub usage: &'static str,
    /// What it does, what it returns, and an example.
    pub doc: &'static str,
    parameters: Parameters,
    start: Start,
}

/// A value with its retcode, or why there is none.
type Coded = Result<(Value, i32), String>;

/// How a function is run, once its arguments are bound.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// Computes its value at once.
    Value(fn(&Bound, &Call, &Context) -> Result<Value, String>),
    /// The same, with a retcode of its own: `failed` unless it is 0.
    Coded(fn(&Bound, &Call, &Context) -> Coded),
    /// Takes its time.
    Future(fn(&Bound) -> Result<BuiltinFuture, String>),
    /// Runs outside.
    Command(fn(&Bound, &Call) -> Result<CommandSpec, String>),
}

/// Every function of every module, sorted by name.
static FUNCTIONS: &[Function] = &[
    cmd::HAS_EXEC,
    cmd::RETCODE,
    cmd::RUN,
    cmd::RUN_ALL,
    cmd::RUN_STDERR,
    cmd::RUN_STDOUT,
    cmd::SHELL,
    cmd::WHICH,
    grains::APPEND,
    grains::DELKEY,
    grains::DELVAL,
    grains::EQUALS,
    grains::GET,
    grains::HAS_VALUE,
    grains::ITEM,
    grains::ITEMS,
    grains::LS,
    grains::REMOVE,
    grains::SET,
    grains::SETVAL,
    grains::SETVALS,
    saltutil::CLEAR_CACHE,
    saltutil::FIND_JOB,
    saltutil::IS_RUNNING,
    saltutil::KILL_ALL_JOBS,
    saltutil::KILL_JOB,
    saltutil::REFRESH_GRAINS,
    saltutil::REFRESH_MODULES,
    saltutil::REFRESH_PILLAR,
    saltutil::RUNNING,
    saltutil::SIGNAL_ALL_JOBS,
    saltutil::SIGNAL_JOB,
    saltutil::SYNC_ALL,
    saltutil::SYNC_GRAINS,
    saltutil::SYNC_MODULES,
    saltutil::SYNC_STATES,
    saltutil::SYNC_UTILS,
    saltutil::TERM_ALL_JOBS,
    saltutil::TERM_JOB,
    state::APPLY,
    state::HIGHSTATE,
    state::SINGLE,
    state::SLS,
    sys::ARGSPEC,
    sys::DOC,
    sys::LIST_FUNCTIONS,
    sys::LIST_MODULES,
    sys::RELOAD_MODULES,
    test::ARG,
    test::ARG_CLEAN,
    test::ARG_REPR,
    test::ARG_TYPE,
    test::ASSERTION,
    test::COLLATZ,
    test::ECHO,
    test::EXCEPTION,
    test::FALSE,
    test::FALSE_,
    test::FIB,
    test::KWARG,
    test::NOT_LOADED,
    test::OUTPUTTER,
    test::PING,
    test::PROVIDER,
    test::PROVIDERS,
    test::RAISE_EXCEPTION,
    test::RAND_SLEEP,
    test::RAND_STR,
    test::RANDOM_HASH,
    test::RETCODE,
    test::SLEEP,
    test::TRUE,
    test::TRUE_,
    test::VERSION,
    test::VERSIONS,
    test::VERSIONS_INFORMATION,
    test::VERSIONS_REPORT,
];

/// Every function there is, sorted by name.
pub fn list() -> &'static [Function] {
    FUNCTIONS
}

fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

/// Checks a call and makes it ready to run; starts nothing.
///
/// # Errors
/// The `failed` answer to give instead, with the usage line: there is no such function, or its arguments are wrong.
pub fn prepare(call: Call, context: &Context) -> Result<Prepared, Answer> {
    let Some(function) = find(&call.function) else {
        return Err(body::failed(&unavailable(&call.function)));
    };
    let usage = |wrong: String| {
        body::failed(&format!("{}\nUsage: {}", arguments::passed(function.name, &wrong), function.usage))
    };
    let bound = bind(&function.parameters, &call.args, &call.kwargs).map_err(usage)?;
    match function.start {
        Start::Command(make) => {
            make(&bound, &call).map(|spec| Prepared::Command(Box::new(spec))).map_err(usage)
        }
        Start::Future(make) => {
            let future = make(&bound).map_err(usage)?;
            Ok(Prepared::Builtin(Box::pin(guard::guarded(function.name, call.run_limit, future))))
        }
        Start::Value(compute) => Ok(at_once(function, call, context, move |call, context| {
            compute(&bound, call, context).map(|value| (value, 0))
        })),
        Start::Coded(compute) => {
            Ok(at_once(function, call, context, move |call, context| compute(&bound, call, context)))
        }
    }
}

fn at_once(
    function: &'static Function,
    call: Call,
    context: &Context,
    compute: impl FnOnce(&Call, &Context) -> Coded + Send + 'static,
) -> Prepared {
    let (context, limit) = (context.clone(), call.run_limit);
    let future = async move {
        match compute(&call, &context) {
            Ok((value, retcode)) => body::coded(&value, retcode),
            Err(wrong) => body::failed(&wrong),
        }
    };
    Prepared::Builtin(Box::pin(guard::guarded(function.name, limit, future)))
}

/// Which of the minion's places a call may take: what looks after the jobs of a full minion, and ends at once, has
/// some of its own.
pub fn place_of(function: &str) -> Place {
    match function.split_once('.') {
        Some(("saltutil" | "sys", _)) => Place::Control,
        _ => Place::Common,
    }
}

fn unavailable(name: &str) -> String {
    let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
    let hint = match name {
        "cmd.script" | "cmd.script_retcode" => {
            "It needs a file server, which this fabric does not have yet; give the script as text: \
             cmd.run 'sh -s' stdin=TEXT"
        }
        "cmd.run_bg" => "Use cmd.run: a client may leave while the job runs, and its return is kept",
        _ => "Usage: MODULE.FUNCTION [ARG...]; sys.list_functions lists what this minion can do",
    };
    format!("'{shown}' is not available.\n{hint}")
}

/// Longest part of an unknown function's name that is repeated in the answer, in characters: it came from outside.
const MAX_SHOWN_NAME: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_usages_start_with_them() {
        assert!(list().windows(2).all(|w| w[0].name < w[1].name));
        for f in list() {
            assert_eq!(f.usage.split(' ').next(), Some(f.name));
            assert!(f.doc.contains("relayctl run"), "{} shows no example", f.name);
            assert!(find(f.name).is_some());
        }
    }
}
