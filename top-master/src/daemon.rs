//! The top master's loop: every source becomes one event for [`Owner`], every effect of the owner is carried out.
//!
//! Owns nothing but the order of things, and who waits for which answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use relay_core::{
    identity::Identity,
    ids::{Jid, TierId},
    message::{LinkId, Up},
    owner::{Accepted, Cancelling, Change, Owner, OwnerEffect, SubmitError, WriteError},
    placed::Placing,
};
use relay_runtime::{
    admin::Health,
    clock::{Clock, wall},
    link::{LinkEvent, PeerHello, table::LinkTable, trust::PassedOn},
    telemetry,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::heard::Heard;
use crate::{
    audit::Audit,
    commits::{Commits, Done},
    directory::Directory,
    operator::Ask,
    owning::Lead,
    register::Syndics,
    watch::{Standing, Update, Watchers},
};

mod found;
mod heard;
mod placing;
mod status;
pub use status::Expected;
#[cfg(test)]
pub(crate) mod testing;

/// Bytes of answers taken in one turn: a millisecond of work. A commit that has ended, and with it the next acceptance, waits for
/// the whole of a turn.
const TURN_BYTES: usize = 128 << 10;
/// Watchers are told who runs at least this often, in milliseconds.
const PROGRESS_EVERY: u64 = 1_000;

/// What the loop listens to.
pub struct Sources {
    /// Links from syndics.
    pub links: mpsc::Receiver<LinkEvent<Up>>,
    /// Operators.
    pub asks: mpsc::Receiver<Ask>,
    /// Stops it.
    pub token: CancellationToken,
}

/// Why the loop came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was told to stop, or nobody is left to be listened to.
    Stopped,
    /// Another top master has taken the store over. What is in memory here is worth nothing any more.
    Fenced,
    /// Neither the registry nor the store answers: what comes in can't be made durable here.
    CutOff,
}

/// How a top master stands among the others.
pub struct Standings {
    /// Tells the registry who is attached.
    pub registered: watch::Sender<Syndics>,
    /// What the registry says.
    pub lead: watch::Receiver<Lead>,
    /// What goes down every link first.
    pub trust: PassedOn,
}

struct Known {
    region: String,
    up: bool,
    since: u64,
    software: String,
}

/// An answer that is given once a commit is durable.
type Promise = Box<dyn FnOnce() + Send>;

/// One top master.
pub struct Daemon {
    fabric: String,
    id: TierId,
    owner: Owner,
    links: LinkTable,
    commits: Commits,
    directory: Directory,
    watchers: Watchers,
    replies: HashMap<u64, oneshot::Sender<Result<Accepted, SubmitError>>>,
    /// By the commit that they wait for: answers to operators.
    promises: HashMap<u64, Promise>,
    next_token: u64,
    known: BTreeMap<TierId, Known>,
    standings: Standings,
    next_progress: u64,
    version_seen: u64,
    expected: Expected,
    placing: Placing,
    audit: Option<Audit>,
}

impl Daemon {
    /// A top master around its owner, without a topology.
    pub fn new(
        fabric: String,
        id: TierId,
        owner: Owner,
        commits: Commits,
        directory: Directory,
        standings: Standings,
    ) -> Daemon {
        directory.note(owner.inventory());
        let expected = Expected::default();
        let known = status::never_attached(owner.inventory(), &expected);
        Daemon {
            fabric,
            id,
            owner,
            links: LinkTable::default(),
            commits,
            directory,
            watchers: Watchers::default(),
            replies: HashMap::new(),
            promises: HashMap::new(),
            next_token: 0,
            known,
            standings,
            next_progress: 0,
            version_seen: 0,
            expected,
            placing: Placing::new(),
            audit: None,
        }
    }

    /// Security events go into this log.
    pub fn audited(&mut self, audit: Audit) {
        self.audit = Some(audit);
    }

    /// Runs until stopped or replaced.
    pub async fn run(mut self, mut sources: Sources, clock: Clock, health: &Health) -> End {
        let (mut events, mut waiting) = (Vec::with_capacity(heard::MOST), Heard::default());
        let timer = tokio::time::sleep(clock.until(self.owner.next_deadline(clock.now())));
        tokio::pin!(timer);
        loop {
            let mut fenced = false;
            tokio::select! {
                biased;
                () = sources.token.cancelled() => return End::Stopped,
                () = self.standings.trust.changed() => self.standings.trust.tell_all(&mut self.links),
                done = self.commits.next() => fenced = self.committed(clock.now(), done),
                Some(ask) = sources.asks.recv() => self.ask(clock.now(), ask),
                n = sources.links.recv_many(&mut events, waiting.room()), if waiting.room() > 0 => {
                    if n == 0 { return End::Stopped }
                }
                // Links have their turn, too.
                () = tokio::task::yield_now(), if !waiting.is_empty() => {}
                () = &mut timer => {}
            }
            if fenced {
                // First, so that what is under way ends with the right word.
                sources.token.cancel();
                // Submissions that were not durable yet are told so.
                self.perform();
                return End::Fenced;
            }
            let now = clock.now();
            events.drain(..).for_each(|event| waiting.push(event));
            waiting.turn(TURN_BYTES, |event| self.link(now, event));
            // Not left to the timer, which a busy loop might never come to.
            if self.owner.next_deadline(now) <= now {
                self.owner.tick(now);
            }
            self.owner.set_stalled(self.commits.stalled.clone());
            self.owner.end_turn(now, wall());
            self.perform();
            self.place(now);
            health.beat(now);
            self.progress(now);
            timer.as_mut().reset(tokio::time::Instant::now() + clock.until(self.next_deadline(now)));
        }
    }

    fn link(&mut self, now: u64, event: LinkEvent<Up>) {
        match event {
            LinkEvent::Up { link, peer, hello, tx } => {
                info!(syndic = %peer, %hello, "attached");
                self.syndic_up(now, link, &peer, &hello);
                self.links.insert(link, peer, hello, tx);
                self.standings.trust.tell_one(&mut self.links, link);
            }
            LinkEvent::Message { link, message, .. } => self.heard_from_syndic(now, link, message),
            LinkEvent::Down { link, why } => {
                let Some(entry) = self.links.remove(link) else { return };
                warn!(syndic = %entry.peer, why, "detached");
                self.owner.syndic_down(wall(), link);
                let id = entry.peer.tier_id();
                let gone = id.filter(|id| !self.owner.syndics().any(|(_, other, _)| other == id));
                if let Some(known) = gone.and_then(|id| self.known.get_mut(&id)) {
                    (known.up, known.since) = (false, wall());
                }
                self.register();
            }
        }
    }

    fn syndic_up(&mut self, now: u64, link: LinkId, peer: &Identity, hello: &PeerHello) {
        let Some(id) = peer.tier_id() else { return };
        self.owner.syndic_up(now, link, id.clone(), peer.region().clone(), hello.incarnation);
        let known = Known {
            region: peer.region().to_string(),
            up: true,
            since: wall(),
            software: hello.software.clone(),
        };
        self.known.insert(id, known);
        self.register();
    }

    /// Tells the registry who is attached.
    fn register(&self) {
        let value =
            |region: &relay_core::ids::RegionName| Bytes::from(format!("{{\"region\":\"{region}\"}}"));
        let syndics = self.owner.syndics().map(|(_, id, region)| (id.clone(), value(region))).collect();
        self.standings.registered.send_replace(syndics);
    }

    fn heard_from_syndic(&mut self, now: u64, link: LinkId, up: Up) {
        if let Up::Returns(batch) = &up {
            metrics::counter!(telemetry::RETURN_BATCHES_TOTAL).increment(1);
            for group in &batch.groups {
                debug!(jid = %group.jid, outcome = group.answer.outcome.word(), minions = group.members.len(), "returned");
            }
        }
        self.owner.from_syndic(now, wall(), link, up);
        // New minions get their names into the directory before anything can speak of them.
        let inventory = self.owner.inventory();
        if inventory.version() != self.version_seen {
            self.version_seen = inventory.version();
            self.directory.note(inventory);
        }
    }

    fn ask(&mut self, now: u64, ask: Ask) {
        match ask {
            Ask::Submit(submission, reply) => {
                self.next_token += 1;
                self.replies.insert(self.next_token, reply);
                self.owner.submit(now, wall(), self.next_token, *submission);
            }
            Ask::Cancel(jid, reply) => match self.owner.cancel(jid) {
                Some(Cancelling { outstanding, ticket }) => {
                    self.promise(ticket, reply, Some(outstanding));
                }
                None => drop(reply.send(None)),
            },
            Ask::Approve(jid, reply) => match self.owner.approve(jid) {
                Ok(approving) => self.promise(approving.ticket, reply, Ok(approving)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Ask::Watch(jid, reply) => {
                let standing = self.standing(jid);
                drop(reply.send(self.watchers.subscribe(jid, standing)));
            }
            Ask::Look(look) => look(&self.owner),
            Ask::Effective(effective, done) => {
                self.effective(effective);
                let _ = done.send(());
            }
            Ask::Status(reply) => drop(reply.send(self.status(now))),
        }
    }

    /// Gives an answer once a commit is durable.
    fn promise<T: Send + 'static>(&mut self, ticket: u64, reply: oneshot::Sender<T>, answer: T) {
        let keep = move || {
            let _ = reply.send(answer);
        };
        self.promises.insert(ticket, Box::new(keep));
    }

    /// True if another owner has taken over.
    fn committed(&mut self, now: u64, done: Done) -> bool {
        let fenced = done.result == Err(WriteError::Fenced);
        if let Some(keep) = self.promises.remove(&done.ticket).filter(|_| done.result.is_ok()) {
            keep();
        }
        self.owner.persisted(now, done.ticket, done.result);
        fenced
    }

    fn perform(&mut self) {
        for effect in self.owner.effects() {
            match effect {
                OwnerEffect::Persist { ticket, writes, may_fail } => {
                    self.commits.begin(ticket, writes, may_fail)
                }
                OwnerEffect::Send(sending) => self.links.send(&sending),
                OwnerEffect::Hangup { link, why } => self.links.hang_up(link, why),
                OwnerEffect::Reply { token, result } => self.reply(token, result),
                OwnerEffect::Changed { changes, .. } => changes.into_iter().for_each(|change| {
                    for (_, answer, members) in &change.answers {
                        let outcome = answer.outcome.word();
                        metrics::counter!(telemetry::RETURNS_TOTAL, "outcome" => outcome)
                            .increment(members.len());
                    }
                    self.changed(change);
                }),
                OwnerEffect::Duplicates(n) => {
                    metrics::counter!(telemetry::DUPLICATE_RETURNS_TOTAL).increment(n)
                }
                OwnerEffect::GrainsRefused { id, why } => warn!(minion = %id, %why, "grains refused"),
                OwnerEffect::ForeignMinion { syndic, id } => self.foreign(&syndic, &id),
                OwnerEffect::RegionFull { syndic, region, first, refused } => {
                    self.region_full(&syndic, &region, &first, refused)
                }
                OwnerEffect::Suspect { syndic, jid, why, members } => {
                    self.suspect(&syndic, jid, why, members)
                }
                OwnerEffect::Reported(found) => self.found_out(&found),
                OwnerEffect::ReportsDropped { syndic, dropped } => self.flooded(&syndic, dropped),
                OwnerEffect::Note { jid, what, members } => info!(%jid, minions = members, "{what}"),
            }
        }
    }

    fn reply(&mut self, token: u64, result: Result<Accepted, SubmitError>) {
        if let Err(error) = &result {
            info!(%error, "not accepted");
        }
        if let Some(reply) = self.replies.remove(&token) {
            let _ = reply.send(result);
        }
    }

    fn changed(&mut self, change: Change) {
        let jid = change.jid;
        if self.watchers.has(jid) {
            let standing = self.standing(jid);
            let change = Arc::new(change);
            self.watchers
                .tell(jid, || Update::Changed { change: change.clone(), standing: standing.clone() });
        }
    }

    /// How a job stands beside its answers.
    fn standing(&self, jid: Jid) -> Standing {
        let batch = self.owner.batch_state(jid);
        let Some(ledger) = self.owner.ledger(jid) else { return Standing { batch, ..Standing::default() } };
        let open = ledger.unsent().len() + ledger.in_flight().len();
        Standing {
            running: ledger.started().clone(),
            batch,
            answered: ledger.targets().len().saturating_sub(open),
        }
    }

    fn progress(&mut self, now: u64) {
        if now < self.next_progress {
            return;
        }
        self.next_progress = now + PROGRESS_EVERY;
        for jid in self.watchers.jids() {
            if self.owner.ledger(jid).is_some() {
                let standing = self.standing(jid);
                self.watchers.tell(jid, || Update::Standing(standing.clone()));
            }
        }
        metrics::gauge!(telemetry::LINKS_UP).set(self.links.len() as f64);
        metrics::gauge!(telemetry::MINIONS_UP).set(self.owner.inventory().up().len() as f64);
        metrics::gauge!(telemetry::MINIONS_MISPLACED).set(self.placing.misplaced() as f64);
        metrics::gauge!(telemetry::JOBS_OPEN).set(self.owner.open_jobs().count() as f64);
    }
}
