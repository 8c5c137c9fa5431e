//! One minion: its seat in the fabric, its journal, its executions and its link, in one loop.
//!
//! Every source becomes one event for [`Seat`]; every effect of the seat is carried out here. Nothing is decided here.

mod cancels;
mod roster;

use std::sync::Arc;

use bytes::Bytes;
use relay_core::{
    identity::FabricName,
    ids::{Incarnation, Jid, MinionId},
    job::Job,
    message::{Dispatch, Down, LinkId, Up},
    outcome::{Outcome, Reason},
    seat::{HeartbeatRule, JournalRecord, PATIENCE, Place, Seat, SeatEffect},
    suspicion::Forgery,
    warrant::Bearer,
};
use relay_proto::{CANCELS_SIGNED_SINCE, SIGNED_SINCE};
use relay_runtime::{
    clock::{Clock, wall},
    link::{LinkEvent, table::LinkTable},
    log_writer::Report,
    rarely::Rarely,
    suspicions::Suspicions,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    execution::{Executions, FINISHED_QUEUE, Finished},
    functions,
    grains::GrainBook,
    journal::Journal,
    parents::{Answer, Following, Parents},
    policy::LocalPolicy,
    runner::Runner,
    verify::{Genuine, Verifier},
};

use roster::OwnRoster;

/// Events of one minion's link waiting for its loop; a minion hears little.
pub const LINK_QUEUE: usize = 16;

/// Refused dispatches and cancels told in the log, each minute; whoever sends them could fill the disk with them. All are counted.
const ALARMS_TOLD: u32 = 30;
const ALARM_MINUTE: u64 = 60_000;

/// What a session is made of.
pub struct Parts {
    /// The minion.
    pub id: MinionId,
    /// Its fabric.
    pub fabric: FabricName,
    /// Its grains.
    pub grains: Arc<serde_json::Value>,
    /// Heartbeats.
    pub heartbeat: HeartbeatRule,
    /// Its journal,
    pub journal: Journal,
    /// by which it is known,
    pub incarnation: Incarnation,
    /// and what it remembers.
    pub records: Vec<JournalRecord>,
    /// Runs commands; none for simulated minions.
    pub runner: Option<Runner>,
    /// Whose jobs it takes,
    pub verifier: Verifier,
    /// and which of them.
    pub policy: LocalPolicy,
    /// Is given what the parent passes on of the fabric's trust, and says whether that was forged.
    pub trust: Arc<dyn Fn(Bytes) -> bool + Send + Sync>,
    /// What it has refused as forged.
    pub suspicions: Suspicions,
    /// The process's clock.
    pub clock: Clock,
    /// Events of its link, from a dialler.
    pub links: mpsc::Receiver<LinkEvent<Down>>,
    /// Reports of the journal's writer thread for this minion.
    pub reports: mpsc::Receiver<Report>,
    /// Told whenever the link comes up or goes.
    pub attached: Arc<dyn Fn(bool) + Send + Sync>,
    /// Stops it.
    pub token: CancellationToken,
}

/// One minion.
pub struct Session {
    id: MinionId,
    verifier: Verifier,
    bearer: Bearer,
    policy: LocalPolicy,
    trust: Arc<dyn Fn(Bytes) -> bool + Send + Sync>,
    suspicions: Suspicions,
    /// What is wrong with the dispatch that came last, as it is noted already.
    flawed: Option<(Jid, Reason)>,
    /// Since when alarms are counted, and how many there were.
    alarms: (u64, u32),
    roster: OwnRoster,
    seat: Seat,
    journal: Journal,
    executions: Executions,
    table: LinkTable,
    link: Option<LinkId>,
    parents: Option<Parents>,
    clock: Clock,
    attached: Arc<dyn Fn(bool) + Send + Sync>,
}

impl Session {
    /// Runs a minion until it is stopped. Its grains stay as they are.
    pub async fn run(parts: Parts) {
        let grains = Arc::new(GrainBook::fixed(parts.id.clone(), parts.grains.clone()));
        Session::run_with(parts, grains, None).await;
    }

    /// The same, with grains that may change: a change is told to the parent at once. With `following` it goes where it is told
    /// to belong.
    pub async fn run_with(parts: Parts, grains: Arc<GrainBook>, following: Option<Following>) {
        let Parts { mut links, mut reports, token, clock, .. } = parts;
        let (finished, mut ends) = mpsc::channel(FINISHED_QUEUE);
        let (mut seat, probes) = Seat::recover(parts.heartbeat, clock.now(), parts.records);
        let (parents, mut answers) = following.map(|f| follow(&mut seat, f)).unzip();
        let executions = Executions::new(parts.id.clone(), grains.clone(), parts.runner, finished);
        let roster = OwnRoster::new(parts.id.clone(), parts.incarnation, grains);
        let bearer = Bearer::new(parts.fabric.as_str(), parts.id.clone(), parts.incarnation);
        let mut session = Session {
            id: parts.id,
            verifier: parts.verifier,
            bearer,
            policy: parts.policy,
            trust: parts.trust,
            suspicions: parts.suspicions,
            flawed: None,
            alarms: (0, 0),
            roster,
            seat,
            journal: parts.journal,
            executions,
            table: LinkTable::default(),
            link: None,
            parents,
            clock,
            attached: parts.attached,
        };
        session.recover(probes);
        let mut deadline = session.seat.next_deadline(clock.now());
        let timer = tokio::time::sleep(clock.until(deadline));
        tokio::pin!(timer);
        let mut stopped = Rarely::new(token.cancelled());
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return,
                Some(event) = links.recv() => session.link(event),
                Some(report) = reports.recv() => session.report(report),
                Some(Finished { jid, answer }) = ends.recv() => session.finished(jid, answer),
                answer = answered(&mut answers) => session.reached(&answer),
                () = &mut timer => session.seat.tick(clock.now()),
            }
            session.perform();
            session.journal.compact(clock.now(), || session.seat.live_records());
            session.tell_grains();
            session.tell_suspicions();
            // The timer is only moved when it must ring earlier, or has rung.
            let next = session.seat.next_deadline(clock.now());
            if next < deadline || timer.is_elapsed() {
                deadline = next;
                timer.as_mut().reset(tokio::time::Instant::now() + clock.until(deadline));
            }
        }
    }

    fn recover(&mut self, probes: Vec<(Jid, u64)>) {
        for (jid, run) in probes {
            info!(%jid, minion = %self.id, "was running when this minion stopped: finding out what became of it");
            self.executions.recover(jid, run);
        }
    }

    fn link(&mut self, event: LinkEvent<Down>) {
        let now = self.clock.now();
        match event {
            LinkEvent::Up { link, peer, hello, tx } => {
                info!(minion = %self.id, parent = %peer, "link up");
                let parent = peer.tier_id();
                if let Some(parent) = parent.clone() {
                    self.suspicions.attached(parent, hello.hears_suspicions());
                }
                self.table.insert(link, peer, hello, tx);
                self.link = Some(link);
                (self.attached)(true);
                self.show_roster();
                match parent {
                    Some(parent) => self.seat.attached_to(now, &parent, rand::random()),
                    None => self.seat.attached(now),
                }
            }
            LinkEvent::Message { message, .. } => self.received(message),
            LinkEvent::Down { link, why } => {
                debug!(minion = %self.id, why, "link down");
                self.table.remove(link);
                if self.link == Some(link) {
                    self.link = None;
                    (self.attached)(false);
                    self.suspicions.detached();
                    self.seat.detached();
                }
            }
        }
    }

    /// The whole roster, as a link begins with it.
    fn show_roster(&mut self) {
        if let Some(link) = self.link {
            self.table.send_up(link, &Up::Roster(self.roster.whole()));
        }
    }

    /// Grains that have changed go up at once. Without a link they go with the attach.
    fn tell_grains(&mut self) {
        let Some(link) = self.link else { return };
        if let Some(change) = self.roster.change() {
            info!(minion = %self.id, "the grains have changed");
            self.table.send_up(link, &Up::Roster(change));
        }
    }

    /// What was refused as forged goes up, behind the roster that says who this is.
    fn tell_suspicions(&mut self) {
        let Some(link) = self.link else { return };
        if let Some(up) = self.suspicions.tell(self.clock.now()) {
            self.table.send_up(link, &up);
        }
    }

    /// The parent sent what no honest one sends. (One of an older protocol passes on nothing that could be proven, honest or not.)
    fn suspect(&mut self, kind: Forgery, jid: Option<Jid>) {
        let parent = self.link.and_then(|link| self.table.get(link));
        if parent.is_some_and(|parent| parent.hello.protocol >= SIGNED_SINCE) {
            self.suspicions.note(kind, jid, wall());
        }
    }

    fn received(&mut self, mut down: Down) {
        let mut place = Place::Common;
        self.flawed = None;
        match &mut down {
            Down::Dispatch(dispatch) => {
                match self.examine(dispatch) {
                    Ok(spec) => place = functions::place_of(&spec.function),
                    Err(flaw) => {
                        dispatch.flaw = Some(flaw);
                        self.flawed = Some((dispatch.job.jid, flaw));
                        Forgery::of(flaw)
                            .into_iter()
                            .for_each(|kind| self.suspect(kind, Some(dispatch.job.jid)));
                    }
                }
                debug!(jid = %dispatch.job.jid, minion = %self.id, flaw = ?dispatch.flaw, "received");
            }
            // The link lives, and that is all.
            Down::Cancel { jid, seal, .. } if !self.heeds(*jid, seal) => down = Down::Heartbeat,
            Down::Trust(bundle) if (self.trust)(bundle.clone()) => self.suspect(Forgery::Trust, None),
            Down::Heartbeat => self.suspicions.answered(),
            Down::RosterResync => self.show_roster(),
            Down::Placed(placed) => self.compare(placed.revision),
            _ => {}
        }
        self.seat.received_for(self.clock.now(), down, rand::random(), place);
    }

    /// Everything that a job has to be before the journal is asked.
    fn examine(&mut self, dispatch: &Dispatch) -> Result<Genuine, Reason> {
        // An older parent passes on no proof, and would not understand what is said of it.
        let parent = self.link.and_then(|link| self.table.get(link));
        if parent.is_none_or(|parent| parent.hello.protocol < SIGNED_SINCE) {
            return Err(Reason::Version);
        }
        let spec = self.verifier.verify(&dispatch.job)?;
        self.bearer.check(wall(), &spec, dispatch)?;
        match self.policy.objection(&spec.function) {
            None => Ok(spec),
            Some(why) => {
                info!(jid = %spec.jid, minion = %self.id, function = spec.function, why = why.word(), "not allowed here");
                Err(why)
            }
        }
    }

    /// Nothing is lost by an older list that was under way for long. But it comes also if the top masters have lost their
    /// history, or if somebody made a newer one up: then the seat takes it after a while.
    fn compare(&self, revision: u64) {
        if let Some(home) = self.seat.home().filter(|home| revision < home.revision) {
            warn!(
                minion = %self.id,
                revision,
                known = home.revision,
                "told of an older topology than it knows: taken if nobody says the newer one within {} minutes",
                PATIENCE / 60_000
            );
        }
    }

    /// Somebody tries what he may not, or is misconfigured.
    fn alarm(&mut self, jid: Jid, why: Reason) {
        if let Some(kind) = Forgery::of(why).filter(|_| self.flawed != Some((jid, why))) {
            self.suspect(kind, Some(jid));
        }
        self.refused(jid, why, "refused a dispatch", why.explain());
    }

    fn count(&self, why: Reason) {
        metrics::counter!(relay_runtime::telemetry::FRAMES_REFUSED_TOTAL, "why" => why.word()).increment(1);
    }

    /// Counts what was refused, and tells it, if not too much of it was told.
    fn refused(&mut self, jid: Jid, why: Reason, what: &'static str, more: &'static str) {
        self.count(why);
        let now = self.clock.now();
        if now >= self.alarms.0 + ALARM_MINUTE {
            self.alarms = (now, 0);
        }
        self.alarms.1 += 1;
        match self.alarms.1 {
            ..ALARMS_TOLD => {
                error!(%jid, minion = %self.id, why = why.word(), at = wall(), "{what}: {more}");
            }
            ALARMS_TOLD => {
                error!(minion = %self.id, "refused {ALARMS_TOLD} messages within a minute: the rest of it is only counted");
            }
            _ => {}
        }
    }

    /// What was verified is what runs. It was verified when it came, too, and is remembered from then; but its key may have been
    /// withdrawn while the intent was written.
    fn start(&mut self, job: &Job, run: u64) -> Option<relay_core::outcome::Answer> {
        match self.verifier.verify(job) {
            Ok(genuine) => self.executions.start(&genuine, run),
            Err(why) => Some(relay_core::outcome::Answer::bare(Outcome::Refused, why)),
        }
    }

    fn reached(&mut self, answer: &Answer) {
        if !answer.answers {
            info!(minion = %self.id, parent = %answer.syndic, "belongs there, but it does not answer: stays for now");
        }
        self.seat.reached(self.clock.now(), &answer.syndic, answer.answers);
    }

    fn report(&mut self, report: Report) {
        let now = self.clock.now();
        match report {
            Report::Written { ticket, .. } => self.seat.persisted(now, ticket),
            Report::GivenUp { ticket, .. } => self.seat.persist_failed(now, ticket),
            Report::Stalled { why: Some(ref why), .. } => {
                error!(minion = %self.id, why, "the journal can't be written; trying on");
            }
            Report::Stalled { why: None, .. } => info!(minion = %self.id, "the journal can be written again"),
            Report::Full { .. } | Report::Compacted { .. } => {}
        }
        self.journal.heard(now, &report);
    }

    fn finished(&mut self, jid: Jid, answer: relay_core::outcome::Answer) {
        info!(%jid, minion = %self.id, outcome = answer.outcome.word(), retcode = answer.retcode, "ended");
        self.executions.leave(jid);
        self.seat.finished(self.clock.now(), jid, answer);
    }

    /// Carries out what the seat asks for, until it asks for nothing more.
    fn perform(&mut self) {
        loop {
            let effects = self.seat.effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: SeatEffect) {
        match effect {
            SeatEffect::Persist { ticket, records, may_fail } => {
                if self.journal.write(ticket, &records, may_fail) {
                    self.seat.persisted(self.clock.now(), ticket);
                }
            }
            SeatEffect::Start { job, run } => {
                if let Some(answer) = self.start(&job, run) {
                    self.finished(job.jid, answer);
                }
            }
            SeatEffect::Kill { jid } => self.executions.kill(jid),
            SeatEffect::Release { run, .. } => self.executions.release(run),
            SeatEffect::Send(up) => {
                if let Some(link) = self.link {
                    self.table.send_up(link, &up);
                }
            }
            SeatEffect::Hangup => {
                if let Some(link) = self.link {
                    self.table.hang_up(link, "silent");
                }
            }
            SeatEffect::Keep(home) => {
                let primary = home.syndics.first().map(|s| s.id.to_string()).unwrap_or_default();
                info!(minion = %self.id, revision = home.revision, primary, "told where it belongs");
                self.parents.iter().for_each(|parents| parents.keep(home.clone()));
            }
            SeatEffect::Seek(syndic) => self.parents.iter().for_each(|parents| parents.seek(&syndic)),
            SeatEffect::Leave => {
                info!(minion = %self.id, "idle: moves to where it belongs");
                self.parents.iter().for_each(Parents::leave);
            }
            SeatEffect::Alarm { jid, why } => self.alarm(jid, why),
        }
    }
}

/// The seat follows what it is told, and has been told.
fn follow(seat: &mut Seat, following: Following) -> (Parents, mpsc::Receiver<Answer>) {
    let Following { parents, home, answers } = following;
    seat.follow(home);
    (parents, answers)
}

/// The next answer of somebody who was looked for; never, where nobody is.
async fn answered(answers: &mut Option<mpsc::Receiver<Answer>>) -> Answer {
    match answers.as_mut() {
        Some(answers) => match answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
