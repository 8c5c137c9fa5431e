//! Running what the seat says to start: built-in functions in this process, commands under a runner.
//!
//! Owns the tasks of running executions and how they are killed. Whether something may start is the seat's; what
//! functions do is [`crate::functions`]'.
//!
//! Only a [`Genuine`] job starts, which only a verified signature makes: what runs is what was verified, not what somebody else may
//! read in the same bytes. After a restart nothing is started at all: the journal holds no jobs, and [`Executions::recover`] only
//! looks after runs that go on, or have ended.

mod live;

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use relay_core::{
    ids::Jid,
    job::JobSpec,
    outcome::{Answer, Outcome, Reason},
};
use relay_proto::arguments::Arguments;
use relay_runtime::clock;
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::{
    functions::{self, Call, Context, Prepared, RunningJob},
    grains::GrainBook,
    runner::{CommandSpec, Probe, RunToken, Runner},
    verify::Genuine,
};
use live::LiveJobs;

/// Ends waiting for the session's loop. A minion runs 20 jobs at most.
pub const FINISHED_QUEUE: usize = 32;

/// An execution ended.
#[derive(Debug)]
pub struct Finished {
    /// The job.
    pub jid: Jid,
    /// How.
    pub answer: Answer,
}

/// The executions of one minion.
pub struct Executions {
    context: Context,
    runner: Option<Runner>,
    live: Arc<LiveJobs>,
    /// Runs that have a directory to remove.
    on_disk: HashSet<RunToken>,
    finished: mpsc::Sender<Finished>,
}

impl Executions {
    /// Nothing runs. Without a runner (simulated minions) commands fail.
    pub fn new(
        minion: relay_core::ids::MinionId,
        grains: Arc<GrainBook>,
        runner: Option<Runner>,
        finished: mpsc::Sender<Finished>,
    ) -> Executions {
        let live = Arc::new(LiveJobs::new(runner.clone()));
        let context = Context { minion, grains, jobs: live.clone() };
        let on_disk = runner.as_ref().and_then(|r| r.tokens().ok()).unwrap_or_default().into_iter().collect();
        Executions { context, runner, live, on_disk, finished }
    }

    /// Starts a job whose intent is durable. An answer that is there at once is returned.
    pub fn start(&mut self, spec: &Genuine, run: u64) -> Option<Answer> {
        let arguments = match Arguments::read(&spec.args) {
            Ok(arguments) => arguments,
            Err(why) => return Some(failed(&why.to_string())),
        };
        info!(jid = %spec.jid, minion = %self.context.minion, function = spec.function, "started");
        self.enter(spec, &arguments.args);
        let call = Call {
            jid: spec.jid,
            function: spec.function.clone(),
            args: arguments.args,
            kwargs: arguments.kwargs,
            run_limit: Duration::from_millis(spec.run_limit),
        };
        match functions::prepare(call, &self.context) {
            Err(answer) => Some(answer),
            Ok(Prepared::Builtin(function)) => self.builtin(spec.jid, function),
            Ok(Prepared::Command(command)) => self.command(spec.jid, run, *command),
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
        self.live.enter(job);
    }

    /// Most functions are done at the first look; only those that wait get a task.
    fn builtin(&mut self, jid: Jid, mut function: functions::BuiltinFuture) -> Option<Answer> {
        let mut cx = TaskContext::from_waker(Waker::noop());
        if let Poll::Ready(answer) = Pin::new(&mut function).poll(&mut cx) {
            return Some(answer);
        }
        let stopped = self.live.goes_on_inside(jid);
        self.spawn(jid, async move {
            tokio::select! {
                biased;
                Ok(answer) = stopped => answer,
                answer = function => answer,
            }
        });
        None
    }

    fn command(&mut self, jid: Jid, run: u64, command: CommandSpec) -> Option<Answer> {
        let Some(runner) = self.runner.clone() else {
            return Some(failed("a simulated minion runs no commands"));
        };
        let token = RunToken::from(u128::from(run));
        self.on_disk.insert(token);
        self.live.launching(jid, token);
        let live = self.live.clone();
        self.spawn(jid, async move {
            match runner.launch(token, &command).await {
                Ok(handle) => {
                    live.launched(jid, handle.pid);
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

    fn spawn(&self, jid: Jid, future: impl Future<Output = Answer> + Send + 'static) {
        let finished = self.finished.clone();
        tokio::spawn(async move {
            let answer = future.await;
            let _ = finished.send(Finished { jid, answer }).await;
        });
    }

    /// Finds out what became of an execution that was running when the minion died.
    pub fn recover(&mut self, jid: Jid, run: u64) {
        let token = RunToken::from(u128::from(run));
        let Some(runner) = self.runner.clone() else { return };
        self.enter_again(jid, &runner, token);
        let live = self.live.clone();
        self.spawn(jid, async move {
            match runner.probe(token).await {
                Probe::Ended(answer) => answer,
                Probe::Running(handle) => {
                    live.launched(jid, handle.pid);
                    runner.wait(&handle).await
                }
                Probe::Gone(reason) => Answer::bare(Outcome::Interrupted, reason),
            }
        });
    }

    /// A run that outlived the minion is among the running jobs again, as far as its directory tells of it; what has
    /// none is over.
    fn enter_again(&self, jid: Jid, runner: &Runner, token: RunToken) {
        let Ok(spec) = runner.spec(token) else { return };
        self.live.enter(RunningJob {
            jid,
            function: spec.function,
            args: vec![spec.shown.into()],
            started_wall: jid.micros(),
            pid: 0,
        });
        self.live.launching(jid, token);
    }

    /// Kills a running job. It ends as `cancelled`, unless it ended by itself first.
    pub fn kill(&mut self, jid: Jid) {
        self.live.cancel(jid);
    }

    /// An execution is over.
    pub fn leave(&mut self, jid: Jid) {
        self.live.leave(jid);
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

fn failed(text: &str) -> Answer {
    let body = Value::from(text).to_string().into();
    Answer { retcode: 1, body, ..Answer::bare(Outcome::Failed, Reason::None) }
}
