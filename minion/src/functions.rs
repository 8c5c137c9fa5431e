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
mod saltutil;
mod shell_words;
mod sys;
mod test;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use relay_core::{
    ids::{Jid, MinionId},
    outcome::Answer,
    time::WallMicros,
};
use serde_json::{Map, Value};

use crate::runner::CommandSpec;
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

/// Tells what is running now. Called once per `saltutil` call.
pub type RunningJobs = Arc<dyn Fn() -> Vec<RunningJob> + Send + Sync>;

/// What a function may know of its minion.
#[derive(Clone)]
pub struct Context {
    /// The minion's id.
    pub minion: MinionId,
    /// Its grains: a JSON object, as [`crate::grains::collect`] made it.
    pub grains: Arc<Value>,
    /// What runs now.
    pub running: RunningJobs,
}

/// A future that yields the answer of a built-in function. Dropping it stops the function.
pub type BuiltinFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A checked call: what to do to run it. Nothing has been started yet.
pub enum Prepared {
    /// Runs inside this process. It keeps the run limit itself (`timed_out`), a panic inside becomes `failed`,
    /// and dropping it is how it is cancelled.
    Builtin(BuiltinFuture),
    /// Runs as a process: hand it to [`crate::runner::Runner::launch`].
    Command(CommandSpec),
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

/// How a function is run, once its arguments are bound.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// Computes its value at once.
    Value(fn(&Bound, &Call, &Context) -> Result<Value, String>),
    /// Takes its time.
    Future(fn(&Bound) -> Result<BuiltinFuture, String>),
    /// Runs outside.
    Command(fn(&Bound, &Call) -> Result<CommandSpec, String>),
}

/// Every function of every module, sorted by name.
static FUNCTIONS: &[Function] = &[
    cmd::RUN,
    cmd::RUN_ALL,
    grains::GET,
    grains::ITEM,
    grains::ITEMS,
    grains::LS,
    saltutil::FIND_JOB,
    saltutil::RUNNING,
    sys::DOC,
    sys::LIST_FUNCTIONS,
    test::ARG,
    test::ECHO,
    test::EXCEPTION,
    test::PING,
    test::SLEEP,
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
    let usage =
        |wrong: String| body::failed(&format!("{}: {wrong}\nUsage: {}", function.name, function.usage));
    let bound = bind(&function.parameters, &call.args, &call.kwargs).map_err(usage)?;
    match function.start {
        Start::Command(make) => make(&bound, &call).map(Prepared::Command).map_err(usage),
        Start::Future(make) => {
            let future = make(&bound).map_err(usage)?;
            Ok(Prepared::Builtin(Box::pin(guard::guarded(function.name, call.run_limit, future))))
        }
        Start::Value(compute) => {
            let (context, name, limit) = (context.clone(), function.name, call.run_limit);
            let future = async move {
                match compute(&bound, &call, &context) {
                    Ok(value) => body::ok(&value),
                    Err(wrong) => body::failed(&wrong),
                }
            };
            Ok(Prepared::Builtin(Box::pin(guard::guarded(name, limit, future))))
        }
    }
}

fn unavailable(name: &str) -> String {
    let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
    format!(
        "'{shown}' is not available.\nUsage: MODULE.FUNCTION [ARG...]; sys.list_functions lists what this minion can do"
    )
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
