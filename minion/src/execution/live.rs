//! The table of what runs now: shown by `saltutil.running`, and the way by which a job is cancelled or signalled.
//!
//! Shared by the session's executions, the tasks that wait for them and the functions that look after other jobs. It
//! never waits: a function inside the minion is told through a channel, a command through its runner's FIFO.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::sys::signal::Signal;
use relay_core::{
    ids::Jid,
    outcome::{Answer, Outcome, Reason},
};
use tokio::sync::oneshot;
use tracing::error;

use crate::{
    functions::{Jobs, RunningJob, Signalled, body},
    runner::{Request, RunToken, Runner},
};

/// Requests kept for a command whose runner is just being started. More is nobody's honest wish.
const MAX_WAITING: usize = 16;

enum Means {
    /// It is being computed at this moment, and ends before anybody could ask for its end.
    AtOnce,
    /// Inside this process: whoever sends an answer ends it with that. Taken: it is ending.
    Inside(Option<oneshot::Sender<Answer>>),
    /// A command under a runner that is being started, and what it will be asked as soon as it is.
    Launching(RunToken, Vec<Request>),
    /// A command under a runner.
    Runner(RunToken),
}

struct Live {
    job: RunningJob,
    means: Means,
}

/// What runs on one minion.
pub(super) struct LiveJobs {
    runner: Option<Runner>,
    jobs: Mutex<BTreeMap<Jid, Live>>,
}

impl LiveJobs {
    pub fn new(runner: Option<Runner>) -> LiveJobs {
        LiveJobs { runner, jobs: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Jid, Live>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job starts.
    pub fn enter(&self, job: RunningJob) {
        self.lock().insert(job.jid, Live { job, means: Means::AtOnce });
    }

    /// A job is over.
    pub fn leave(&self, jid: Jid) {
        self.lock().remove(&jid);
    }

    /// A job goes on inside this process. What comes over the channel is its answer, instead of its own.
    pub fn goes_on_inside(&self, jid: Jid) -> oneshot::Receiver<Answer> {
        let (stop, stopped) = oneshot::channel();
        self.means(jid, Means::Inside(Some(stop)));
        stopped
    }

    /// A job's runner is about to be started.
    pub fn launching(&self, jid: Jid, token: RunToken) {
        self.means(jid, Means::Launching(token, Vec::new()));
    }

    fn means(&self, jid: Jid, means: Means) {
        if let Some(live) = self.lock().get_mut(&jid) {
            live.means = means;
        }
    }

    /// A job's runner is there: it is told what came meanwhile.
    pub fn launched(&self, jid: Jid, pid: u32) {
        let mut jobs = self.lock();
        let Some(live) = jobs.get_mut(&jid) else { return };
        live.job.pid = pid;
        if let Means::Launching(token, waiting) = &mut live.means {
            let (token, waiting) = (*token, std::mem::take(waiting));
            live.means = Means::Runner(token);
            for request in waiting {
                let _ = self.ask(jid, token, request);
            }
        }
    }

    /// Kills a running job: it ends as `cancelled`, unless it ended by itself first.
    pub fn cancel(&self, jid: Jid) {
        let mut jobs = self.lock();
        let Some(live) = jobs.get_mut(&jid) else { return };
        match &mut live.means {
            Means::AtOnce => {}
            Means::Inside(stop) => {
                if let Some(stop) = stop.take() {
                    let _ = stop.send(Answer::bare(Outcome::Cancelled, Reason::WhileRunning));
                }
            }
            // First in line, whatever stands there: nothing may keep a cancel out.
            Means::Launching(_, waiting) => waiting.insert(0, Request::Cancel),
            Means::Runner(token) => drop(self.ask(jid, *token, Request::Cancel)),
        }
    }

    fn ask(&self, jid: Jid, token: RunToken, request: Request) -> Signalled {
        let Some(runner) = &self.runner else { return Signalled::NoSuchJob };
        match runner.ask(token, request) {
            Ok(true) => Signalled::Sent { pid: 0 },
            Ok(false) => Signalled::Ended,
            Err(error) => {
                error!(%jid, %error, ?request, "the runner could not be asked");
                Signalled::Refused(format!("its runner could not be asked: {error}"))
            }
        }
    }
}

impl Jobs for LiveJobs {
    fn running(&self) -> Vec<RunningJob> {
        self.lock().values().map(|live| live.job.clone()).collect()
    }

    fn signal(&self, jid: Jid, signal: Signal) -> Signalled {
        let mut jobs = self.lock();
        let Some(live) = jobs.get_mut(&jid) else { return Signalled::NoSuchJob };
        let sent = Signalled::Sent { pid: live.job.pid };
        match &mut live.means {
            Means::AtOnce => Signalled::Ended,
            Means::Inside(stop) => match effect_inside(signal) {
                Effect::Nothing => sent,
                Effect::Stops => {
                    let function = &live.job.function;
                    Signalled::Refused(format!(
                        "{function} runs inside the minion, where {signal} cannot stop it"
                    ))
                }
                Effect::Ends => match stop.take().map(|stop| stop.send(ended_by(&live.job.function, signal)))
                {
                    Some(Ok(())) => sent,
                    _ => Signalled::Ended,
                },
            },
            Means::Launching(_, waiting) if waiting.len() < MAX_WAITING => {
                waiting.push(Request::Signal(signal));
                sent
            }
            Means::Launching(..) => Signalled::Refused("it is just being started; try again".into()),
            Means::Runner(token) => match self.ask(jid, *token, Request::Signal(signal)) {
                Signalled::Sent { .. } => sent,
                other => other,
            },
        }
    }
}

/// What a signal does by default to a process, and so to a function inside the minion.
enum Effect {
    Ends,
    Stops,
    Nothing,
}

fn effect_inside(signal: Signal) -> Effect {
    match signal {
        Signal::SIGCONT | Signal::SIGCHLD | Signal::SIGURG | Signal::SIGWINCH => Effect::Nothing,
        Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => Effect::Stops,
        _ => Effect::Ends,
    }
}

/// As a command that a signal ended: failed, with the signal's number below zero.
fn ended_by(function: &str, signal: Signal) -> Answer {
    let text = format!("{function} was ended by signal {} ({signal})", signal as i32);
    Answer { retcode: -(signal as i32), ..body::failed(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(function: &str) -> (LiveJobs, Jid) {
        let (jobs, jid) = (LiveJobs::new(None), Jid::from_micros(1));
        jobs.enter(RunningJob { jid, function: function.into(), args: Vec::new(), started_wall: 1, pid: 7 });
        (jobs, jid)
    }

    #[test]
    fn a_function_inside_ends_as_a_command_would_and_once() {
        let (jobs, jid) = live("test.sleep");
        let mut stopped = jobs.goes_on_inside(jid);
        assert_eq!(jobs.signal(jid, Signal::SIGCONT), Signalled::Sent { pid: 7 });
        assert!(
            matches!(jobs.signal(jid, Signal::SIGSTOP), Signalled::Refused(why) if why.contains("SIGSTOP"))
        );
        assert!(stopped.try_recv().is_err(), "neither ends it");
        assert_eq!(jobs.signal(jid, Signal::SIGKILL), Signalled::Sent { pid: 7 });
        let answer = stopped.try_recv().unwrap();
        assert_eq!((answer.outcome, answer.retcode), (Outcome::Failed, -9));
        assert_eq!(answer.body, r#""test.sleep was ended by signal 9 (SIGKILL)""#);
        assert_eq!(jobs.signal(jid, Signal::SIGKILL), Signalled::Ended);
        jobs.leave(jid);
        assert_eq!(jobs.signal(jid, Signal::SIGKILL), Signalled::NoSuchJob);
    }

    #[test]
    fn a_cancel_is_told_apart_from_a_signal() {
        let (jobs, jid) = live("test.sleep");
        let mut stopped = jobs.goes_on_inside(jid);
        jobs.cancel(jid);
        let answer = stopped.try_recv().unwrap();
        assert_eq!((answer.outcome, answer.reason), (Outcome::Cancelled, Reason::WhileRunning));
    }

    #[test]
    fn what_comes_while_a_runner_is_started_waits_within_bounds() {
        let (jobs, jid) = live("cmd.run");
        jobs.launching(jid, RunToken::random());
        for _ in 0..MAX_WAITING {
            assert_eq!(jobs.signal(jid, Signal::SIGTERM), Signalled::Sent { pid: 7 });
        }
        assert!(matches!(jobs.signal(jid, Signal::SIGTERM), Signalled::Refused(_)));
        jobs.cancel(jid);
        let table = jobs.lock();
        let Some(Means::Launching(_, waiting)) = table.get(&jid).map(|live| &live.means) else { panic!() };
        assert_eq!((waiting.len(), waiting[0]), (MAX_WAITING + 1, Request::Cancel));
    }
}
