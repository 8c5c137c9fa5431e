//! Waiting for a job: showing it while it runs, asking for approvals, and letting go of it.
//!
//! The first Ctrl-C lets go and says how to watch it again; a second within a moment cancels, after asking. Neither ever
//! loses the jid.

use std::{pin::pin, time::Duration};

use relay_core::ids::Jid;
use relay_proto::operator::WatchEvent;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    signals::Signal,
    terminal::{Ask, is_yes},
    words::minions,
};
use crate::{
    api::Api,
    job::{self, End, JobResult, Patience},
};

/// How long a second Ctrl-C is waited for.
pub const SECOND: Duration = Duration::from_secs(3);

/// Where a job stands, as far as questions need it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    outstanding: u64,
    ok: u64,
    failed: u64,
    stage: u32,
    stages: u32,
    awaits_approval: bool,
}

impl Standing {
    fn of(now: &JobResult) -> Standing {
        Standing {
            outstanding: now.outstanding(),
            ok: now.regions.iter().map(|r| r.ok).sum(),
            failed: now.regions.iter().map(|r| r.failed).sum(),
            stage: now.standing.stage,
            stages: now.standing.stages,
            awaits_approval: now.standing.awaits_approval,
        }
    }

    fn words(&self) -> String {
        let Standing { stage, stages, ok, failed, .. } = self;
        format!("stage {stage} of {stages} is done: {ok} ok, {failed} failed")
    }
}

/// What the operator is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Approval,
    /// Let go; a second Ctrl-C may come until then.
    LetGo(Instant),
    Cancel,
}

/// One job that is waited for.
pub struct Watcher<'a, A, T> {
    jid: Jid,
    api: A,
    ask: &'a mut T,
    asked: Asked,
    /// The stage after which was asked already.
    told: u32,
    cancelled: bool,
    second: Duration,
}

impl<'a, A: Api, T: Ask> Watcher<'a, A, T> {
    /// Someone who waits for a job. `api` is for what the operator answers; a second Ctrl-C is one within `second`.
    pub fn new(jid: Jid, api: A, ask: &'a mut T, second: Duration) -> Watcher<'a, A, T> {
        Watcher { jid, api, ask, asked: Asked::Nothing, told: 0, cancelled: false, second }
    }

    /// Waits to the end of the job, or until it is let go of. `each` sees each event; `quiet` is told whether something is
    /// being asked, before it is asked, so that nothing is drawn over it.
    ///
    /// # Errors
    /// The job cannot be watched.
    pub async fn wait(
        mut self,
        following: &mut impl Api,
        signals: &mut mpsc::Receiver<Signal>,
        result: &mut JobResult,
        mut each: impl FnMut(&JobResult, &WatchEvent) -> Result<(), String>,
        quiet: impl Fn(bool),
    ) -> anyhow::Result<End> {
        let (told, mut standing) = watch::channel(Standing::of(result));
        let each = |now: &JobResult, event: &WatchEvent| {
            told.send_replace(Standing::of(now));
            each(now, event)
        };
        let mut following = pin!(job::follow_events(following, result, Patience::LOST, each));
        loop {
            let now = *standing.borrow_and_update();
            self.approval(now, &quiet);
            quiet(self.asked != Asked::Nothing);
            let deadline = match self.asked {
                Asked::LetGo(deadline) => Some(deadline),
                _ => None,
            };
            let let_go = async move {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let listens = matches!(self.asked, Asked::Approval | Asked::Cancel);
            tokio::select! {
                biased;
                ended = &mut following => return ended,
                Some(signal) = signals.recv() => if let Some(end) = self.signal(signal, now, &quiet) {
                    return Ok(end);
                },
                answer = self.ask.answer(), if listens => self.answered(answer.as_deref()).await,
                () = let_go => return Ok(End::GivenUp("detached".into())),
                Ok(()) = standing.changed() => {}
            }
        }
    }

    /// Asks for an approval, or takes the question back.
    fn approval(&mut self, now: Standing, quiet: &impl Fn(bool)) {
        if self.asked == Asked::Approval && !(now.awaits_approval && now.stage == self.told) {
            eprintln!("\nthe job goes on");
            self.asked = Asked::Nothing;
        }
        if !now.awaits_approval || self.told >= now.stage.max(1) || self.asked != Asked::Nothing {
            return;
        }
        self.told = now.stage.max(1);
        quiet(true);
        if self.ask.is_there() {
            self.ask.question(&format!("{}. Go on? [y/N] ", now.words()));
            self.asked = Asked::Approval;
        } else {
            eprintln!("{}; it waits: relayctl jobs approve {}", now.words(), self.jid);
        }
    }

    fn signal(&mut self, signal: Signal, now: Standing, quiet: &impl Fn(bool)) -> Option<End> {
        quiet(true);
        let jid = self.jid;
        let let_go = || Some(End::GivenUp("interrupted".into()));
        if signal == Signal::Terminate || !self.ask.is_there() || self.cancelled {
            return let_go();
        }
        match self.asked {
            Asked::Nothing | Asked::Approval => {
                eprintln!(
                    "\ndetached; the job goes on: relayctl jobs watch {jid}; press Ctrl-C again within {} s to cancel it",
                    self.second.as_secs()
                );
                self.asked = Asked::LetGo(Instant::now() + self.second);
                None
            }
            Asked::LetGo(_) => {
                self.ask.question(&format!("\ncancel job {jid} on {}? [y/N] ", minions(now.outstanding)));
                self.asked = Asked::Cancel;
                None
            }
            Asked::Cancel => let_go(),
        }
    }

    async fn answered(&mut self, answer: Option<&str>) {
        let jid = self.jid;
        let yes = answer.is_some_and(is_yes);
        match (std::mem::replace(&mut self.asked, Asked::Nothing), yes) {
            (Asked::Approval, true) => match self.api.approve(jid).await {
                Ok(reply) => eprintln!("stage {} of {} begins", reply.stage, reply.stages),
                Err(error) => eprintln!("not approved: {error}; again: relayctl jobs approve {jid}"),
            },
            (Asked::Approval, false) => {
                eprintln!(
                    "not approved: the job waits; relayctl jobs approve {jid}, or relayctl jobs cancel {jid}"
                );
            }
            (Asked::Cancel, true) => self.cancel().await,
            // No is no to the cancel; the job was let go of before.
            (Asked::Cancel, false) => self.asked = Asked::LetGo(Instant::now()),
            (asked, _) => self.asked = asked,
        }
    }

    async fn cancel(&mut self) {
        let jid = self.jid;
        self.cancelled = true;
        match self.api.cancel(jid).await {
            Ok(reply) => {
                eprintln!("cancelling on {}; Ctrl-C to wait no longer", minions(reply.outstanding));
            }
            Err(error) => {
                eprintln!(
                    "nobody knows whether the cancel arrived: {error}; again: relayctl jobs cancel {jid}"
                );
                self.asked = Asked::LetGo(Instant::now());
            }
        }
    }
}
