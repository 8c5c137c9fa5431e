//! Running what the seat says to start: built-in functions in this process, commands under a runner.
//!
//! Owns the tasks of running executions and how they are killed. Whether something may start is the seat's; what
//! functions do is [`crate::functions`]'.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use relay_core::{
    ids::Jid,
    job::{Job, JobSpec},
    outcome::{Answer, Outcome, Reason},
};
use relay_proto::envelope;
use relay_runtime::clock;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::{sync::mpsc, task::AbortHandle};
use tracing::{error, info};

use crate::{
    functions::{self, Call, Context, Prepared, RunningJob},
    runner::{CommandSpec, Probe, RunHandle, RunToken, Runner},
};

/// Ends waiting for the session's loop. A minion runs 16 jobs at most.
pub const FINISHED_QUEUE: usize = 32;

/// An execution ended.
#[derive(Debug)]
pub struct Finished {
    /// The job.
    pub jid: Jid,
    /// How.
    pub answer: Answer,
}

/// What runs now, shared with `saltutil.running`.
type Running = Arc<Mutex<HashMap<Jid, RunningJob>>>;

#[derive(Debug)]
enum Handle {
    Builtin(AbortHandle),
    Command(RunToken),
}

/// The executions of one minion.
pub struct Executions {
    context: Context,
    runner: Option<Runner>,
    running: Running,
    handles: HashMap<Jid, Handle>,
    /// Runs that have a directory to remove.
    on_disk: HashSet<RunToken>,
    finished: mpsc::Sender<Finished>,
}

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    kwargs: Map<String, Value>,
}

impl Executions {
    /// Nothing runs. Without a runner (simulated minions) commands fail.
    pub fn new(
        minion: relay_core::ids::MinionId,
        grains: Arc<Value>,
        runner: Option<Runner>,
        finished: mpsc::Sender<Finished>,
    ) -> Executions {
        let running = Running::default();
        let shared = running.clone();
        let list = move || {
            let running = shared.lock().unwrap_or_else(PoisonError::into_inner);
            running.values().cloned().collect()
        };
        let context = Context { minion, grains, running: Arc::new(list) };
        let on_disk = runner.as_ref().and_then(|r| r.tokens().ok()).unwrap_or_default().into_iter().collect();
        Executions { context, runner, running, handles: HashMap::new(), on_disk, finished }
    }

    /// Starts a job whose intent is durable. An answer that is there at once is returned.
    pub fn start(&mut self, job: &Job, run: u64) -> Option<Answer> {
        let spec = match envelope::open(job) {
            Ok(spec) => spec,
            Err(_) => return Some(Answer::bare(Outcome::Refused, Reason::Version)),
        };
        let Ok(arguments) = serde_json::from_slice::<Arguments>(&spec.args) else {
            return Some(failed("the arguments are not JSON of the form {\"args\":[…],\"kwargs\":{…}}"));
        };
        info!(jid = %spec.jid, minion = %self.context.minion, function = spec.function, "started");
        self.enter(&spec, &arguments.args);
        let call = Call {
            jid: spec.jid,
            function: spec.function,
            args: arguments.args,
            kwargs: arguments.kwargs,
            run_limit: Duration::from_millis(spec.run_limit),
        };
        match functions::prepare(call, &self.context) {
            Err(answer) => Some(answer),
            Ok(Prepared::Builtin(function)) => self.builtin(spec.jid, function),
            Ok(Prepared::Command(command)) => self.command(spec.jid, run, command),
        }
    }

    fn enter(&self, spec: &JobSpec, args: &[Value]) {
        let job = RunningJob {
            jid: spec.jid,
            function: spec.function.clone(),
            args: args.to_vec(),
            started_wall: clock::wall(),
            pid: std::process::id(),
        };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.jid, job);
    }

    /// Most functions are done at the first look; only those that wait get a task.
    fn builtin(&mut self, jid: Jid, mut function: functions::BuiltinFuture) -> Option<Answer> {
        let mut cx = TaskContext::from_waker(Waker::noop());
        if let Poll::Ready(answer) = Pin::new(&mut function).poll(&mut cx) {
            return Some(answer);
        }
        let task = self.spawn(jid, function);
        self.handles.insert(jid, Handle::Builtin(task));
        None
    }

    fn command(&mut self, jid: Jid, run: u64, command: CommandSpec) -> Option<Answer> {
        let Some(runner) = self.runner.clone() else {
            return Some(failed("a simulated minion runs no commands"));
        };
        let token = RunToken::from(u128::from(run));
        self.on_disk.insert(token);
        self.handles.insert(jid, Handle::Command(token));
        let running = self.running.clone();
        self.spawn(jid, async move {
            match runner.launch(token, &command).await {
                Ok(handle) => {
                    runs_as(&running, jid, handle.pid);
                    runner.wait(&handle).await
                }
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull => {
                    Answer::bare(Outcome::Refused, Reason::NoSpace)
                }
                Err(e) => failed(&format!("the command could not be started: {e}")),
            }
        });
        None
    }

    fn spawn(&self, jid: Jid, future: impl Future<Output = Answer> + Send + 'static) -> AbortHandle {
        let finished = self.finished.clone();
        let task = tokio::spawn(async move {
            let answer = future.await;
            let _ = finished.send(Finished { jid, answer }).await;
        });
        task.abort_handle()
    }

    /// Finds out what became of an execution that was running when the minion died.
    pub fn recover(&mut self, jid: Jid, run: u64) {
        let token = RunToken::from(u128::from(run));
        let Some(runner) = self.runner.clone() else { return };
        self.handles.insert(jid, Handle::Command(token));
        self.spawn(jid, async move {
            match runner.probe(token).await {
                Probe::Ended(answer) => answer,
                Probe::Running(handle) => runner.wait(&handle).await,
                Probe::Gone(reason) => Answer::bare(Outcome::Interrupted, reason),
            }
        });
    }

    /// Kills a running job. It ends as `cancelled`, unless it ended by itself first.
    pub fn kill(&mut self, jid: Jid) -> Option<Answer> {
        match self.handles.get(&jid)? {
            Handle::Builtin(task) => {
                task.abort();
                Some(Answer::bare(Outcome::Cancelled, Reason::WhileRunning))
            }
            Handle::Command(token) => {
                let handle = RunHandle { token: *token, pid: 0 };
                if let Some(Err(error)) = self.runner.as_ref().map(|r| r.kill(&handle)) {
                    error!(%jid, minion = %self.context.minion, %error, "the runner could not be told to stop");
                }
                None
            }
        }
    }

    /// An execution is over.
    pub fn leave(&mut self, jid: Jid) {
        self.handles.remove(&jid);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&jid);
    }

    /// Nobody needs this run's files any more.
    pub fn release(&mut self, run: u64) {
        let token = RunToken::from(u128::from(run));
        let Some(runner) = self.runner.clone().filter(|_| self.on_disk.remove(&token)) else { return };
        tokio::spawn(async move {
            if let Err(error) = runner.remove(token).await {
                error!(run = %token, %error, "a finished run's directory stays");
            }
        });
    }
}

/// A command runs under its runner's process id, not under this process's.
fn runs_as(running: &Running, jid: Jid, pid: u32) {
    if let Some(job) = running.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&jid) {
        job.pid = pid;
    }
}

fn failed(text: &str) -> Answer {
    let body = Value::from(text).to_string().into();
    Answer { retcode: 1, body, ..Answer::bare(Outcome::Failed, Reason::None) }
}
