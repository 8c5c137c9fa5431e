//! The syndic's loop: every source becomes one event for [`Relay`], every effect of the relay is carried out.
//!
//! Owns nothing but the order of things. What is decided is decided in the core; what is written, in the spool's thread.

use relay_core::{
    identity::{Identity, Role},
    message::{Down, LinkId, Up},
    relay::{ParentNo, Relay, RelayEffect},
    suspicion::{Forgery, Witness},
};
use relay_runtime::{
    clock::wall,
    link::{LinkEvent, LinkTx, PeerHello, table::LinkTable, trust::PassedOn},
    log_writer::Report,
    process::Process,
    suspicions::Suspicions,
    telemetry,
};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::spool::Spool;

/// Events taken in one turn before effects are carried out: bounds the latency of a turn, and lets one fsync and one
/// wake-up serve many returns.
const TURN: usize = 512;

/// Gauges are set this often, in milliseconds; counting thousands of links in each turn would be felt.
const FIGURES_EVERY: u64 = 1_000;

/// Its one way up, whoever is at the other end: what is spooled is for the owner, who changes.
const UPLINK: ParentNo = 0;

/// What the loop listens to.
pub struct Sources {
    /// Links from below.
    pub children: mpsc::Receiver<LinkEvent<Up>>,
    /// The link to above.
    pub parents: mpsc::Receiver<LinkEvent<Down>>,
    /// The spool's thread.
    pub reports: mpsc::Receiver<Report>,
}

/// One syndic.
pub struct Daemon {
    relay: Relay,
    children: LinkTable,
    parents: LinkTable,
    spool: Spool,
    trust: PassedOn,
    /// What it has refused itself.
    suspicions: Suspicions,
    ready: Option<bool>,
    next_figures: u64,
}

impl Daemon {
    /// A syndic around its relay and its spool.
    pub fn new(relay: Relay, spool: Spool, trust: PassedOn, suspicions: Suspicions) -> Daemon {
        Daemon {
            relay,
            children: LinkTable::pacing(),
            parents: LinkTable::shortening(),
            spool,
            trust,
            suspicions,
            ready: None,
            next_figures: 0,
        }
    }

    /// Runs until stopped. Coming back before that is a death: see [`Process::until_stopped`].
    pub async fn run(mut self, mut sources: Sources, process: &Process) {
        let clock = process.clock;
        let (mut from_children, mut from_parents) = (Vec::with_capacity(TURN), Vec::with_capacity(TURN));
        let mut deadline = self.relay.next_deadline(clock.now());
        let timer = tokio::time::sleep(clock.until(deadline));
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                () = process.shutdown.token.cancelled() => return,
                report = sources.reports.recv() => match report {
                    Some(report) => self.report(clock.now(), report),
                    None => return, // its thread died: without a spool there is no syndic
                },
                () = self.trust.changed() => self.trust.tell_all(&mut self.children),
                n = sources.parents.recv_many(&mut from_parents, TURN) => if n == 0 { return },
                n = sources.children.recv_many(&mut from_children, TURN) => if n == 0 { return },
                () = &mut timer => {}
                // What has come in meanwhile is read first.
                () = tokio::task::yield_now(), if self.children.is_waking() => {}
            }
            let now = clock.now();
            from_parents.drain(..).for_each(|event| self.parent(now, event));
            from_children.drain(..).for_each(|event| self.child(now, event));
            while let Ok(report) = sources.reports.try_recv() {
                self.report(now, report);
            }
            // Not left to the timer, which a busy loop might never come to.
            if self.relay.next_deadline(now) <= now {
                self.relay.tick(now);
            }
            self.relay.end_turn(now);
            self.perform(now);
            // What was written of late may be on its way still: what lives holds it.
            self.spool.compact(now, self.relay.spooled_bytes(), || self.relay.live_records());
            self.children.wake_some();
            self.tell_suspicions(now);
            process.health.beat(now);
            self.tell(now, process);
            // The timer is only moved when it must ring earlier, or has rung: not at each heartbeat.
            let next = self.relay.next_deadline(now).min(self.spool.next_look(now).unwrap_or(u64::MAX));
            if next < deadline || timer.is_elapsed() {
                deadline = next;
                timer.as_mut().reset(tokio::time::Instant::now() + clock.until(deadline));
            }
        }
    }

    fn child(&mut self, now: u64, event: LinkEvent<Up>) {
        match event {
            LinkEvent::Up { link, peer, hello, tx } => self.child_up(now, link, peer, hello, tx),
            LinkEvent::Message { link, message, .. } => self.heard_from_child(now, link, message),
            LinkEvent::Down { link, why } => {
                if let Some(entry) = self.children.remove(link) {
                    info!(child = %entry.peer, why, "detached");
                    self.relay.child_down(now, wall(), link);
                }
            }
        }
    }

    fn child_up(&mut self, now: u64, link: LinkId, peer: Identity, hello: PeerHello, tx: LinkTx) {
        debug!(child = %peer, %hello, "attached");
        self.relay.child_up(now, link, peer.minion_id().as_ref(), hello.incarnation);
        self.children.insert(link, peer, hello, tx);
        self.trust.tell_one(&mut self.children, link);
    }

    fn heard_from_child(&mut self, now: u64, link: LinkId, up: Up) {
        let Some(entry) = self.children.get(link) else { return };
        if !speaks_for_itself(&entry.peer, &entry.hello, &up) {
            error!(child = %entry.peer, "named another minion in its roster");
            self.children.hang_up(link, "claims another id");
            return;
        }
        let up = named(&entry.peer, up);
        self.relay.from_child(now, wall(), link, up);
    }

    fn parent(&mut self, now: u64, event: LinkEvent<Down>) {
        match event {
            LinkEvent::Up { link, peer, hello, tx } => {
                if let Some(parent) = peer.tier_id() {
                    self.suspicions.attached(parent, hello.hears_suspicions());
                }
                self.parents.insert(link, peer, hello, tx);
                self.relay.parent_up(now, UPLINK, link);
            }
            LinkEvent::Message { message: Down::Trust(bundle), .. } => {
                if self.trust.heard(&bundle, &mut self.children).is_err_and(|refused| refused.is_forged()) {
                    self.suspicions.note(Forgery::Trust, None, wall());
                }
            }
            LinkEvent::Message { link, message, .. } => {
                if message == Down::Heartbeat {
                    self.suspicions.answered();
                }
                self.relay.from_parent(now, link, message);
            }
            LinkEvent::Down { link, .. } => {
                self.suspicions.detached();
                self.parents.remove(link);
                self.relay.parent_down(link);
            }
        }
    }

    fn report(&mut self, now: u64, report: Report) {
        self.spool.heard(now, &report);
        match report {
            Report::Written { ticket, .. } => self.relay.persisted(now, ticket),
            Report::Stalled { why: Some(why), .. } => {
                error!(why, "the spool can't be written; minions keep their returns meanwhile");
                self.relay.set_stalled(true);
            }
            Report::Stalled { why: None, .. } => {
                info!("the spool can be written again");
                self.relay.set_stalled(false);
            }
            Report::GivenUp { .. } | Report::Full { .. } | Report::Compacted { .. } => {}
        }
    }

    fn perform(&mut self, now: u64) {
        for effect in self.relay.effects() {
            match effect {
                RelayEffect::Persist { ticket, records } => self.spool.write(now, ticket, &records),
                RelayEffect::Send(sending) => self.children.send(&sending),
                RelayEffect::SendUp { link, up } => {
                    let bytes = self.parents.send_up(link, &up);
                    metrics::counter!(telemetry::UPLINK_BYTES_TOTAL).increment(bytes as u64);
                    if let Up::Returns(batch) = up {
                        metrics::counter!(telemetry::RETURN_BATCHES_TOTAL).increment(1);
                        for group in &batch.groups {
                            let outcome = group.answer.outcome.word();
                            metrics::counter!(telemetry::RETURNS_TOTAL, "outcome" => outcome)
                                .increment(group.members.len());
                            debug!(jid = %group.jid, outcome, minions = group.members.len(), bytes, "returned");
                        }
                    }
                }
                RelayEffect::Hangup { link, why } => {
                    self.children.hang_up(link, why);
                    self.parents.hang_up(link, why);
                }
                RelayEffect::Note { jid, what, members } => info!(%jid, minions = members, "{what}"),
                RelayEffect::Alarm { jid, kind, why, members } => {
                    error!(%jid, minions = members, why, "refused a dispatch");
                    self.suspicions.note(kind, Some(jid), wall());
                    metrics::counter!(telemetry::FRAMES_REFUSED_TOTAL, "why" => "dispatch").increment(1);
                }
                RelayEffect::ReportsDropped(n) => {
                    metrics::counter!(telemetry::SUSPICIONS_TOTAL, "kind" => "dropped").increment(n);
                }
                RelayEffect::Duplicates(n) => {
                    metrics::counter!(telemetry::DUPLICATE_RETURNS_TOTAL).increment(n);
                }
            }
        }
    }

    /// What this syndic has refused itself goes up. (What those below have refused, the relay passes on.)
    fn tell_suspicions(&mut self, now: u64) {
        let Some((link, _)) = self.parents.iter().next() else { return };
        if let Some(up) = self.suspicions.tell(now) {
            self.parents.send_up(link, &up);
        }
    }

    /// Tells `/readyz` at once, and the gauges once a second.
    fn tell(&mut self, now: u64, process: &Process) {
        let ready = self.relay.parents_up() > 0;
        if self.ready.replace(ready) != Some(ready) {
            if ready {
                process.ready.ready();
            } else {
                process.ready.not_ready("not attached to any parent");
                warn!("not attached to any parent");
            }
        }
        if now < self.next_figures {
            return;
        }
        self.next_figures = now + FIGURES_EVERY;
        metrics::gauge!(telemetry::LINKS_UP).set((self.children.len() + self.parents.len()) as f64);
        metrics::gauge!(telemetry::MINIONS_UP).set(self.relay.minions_up() as f64);
        metrics::gauge!(telemetry::JOBS_OPEN).set(self.relay.ledgers().count() as f64);
        metrics::gauge!(telemetry::SPOOL_BYTES).set(self.relay.spooled_bytes() as f64);
    }
}

/// A minion's roster names itself, under its own incarnation, and nobody else: identity comes from the certificate.
fn speaks_for_itself(peer: &Identity, hello: &PeerHello, up: &Up) -> bool {
    use relay_core::message::{RosterChange, RosterUpdate};
    let (Role::Minion, Up::Roster(update)) = (peer.role(), up) else { return true };
    let own = |id: &relay_core::ids::MinionId, incarnation| {
        peer.minion_id().as_ref() == Some(id) && incarnation == hello.incarnation
    };
    match update {
        RosterUpdate::Full { entries, .. } => entries.iter().all(|e| own(&e.id, e.incarnation)),
        RosterUpdate::Delta { changes, .. } => changes.iter().all(|change| match change {
            RosterChange::Put(e) => own(&e.id, e.incarnation),
            _ => true,
        }),
    }
}

/// A syndic that has refused something is named by its certificate.
fn named(peer: &Identity, up: Up) -> Up {
    let Some(id) = peer.tier_id() else { return up };
    let Up::Suspicions(mut list) = up else { return up };
    let own = list.iter_mut().filter(|suspicion| suspicion.witness == Witness::Sender);
    own.for_each(|suspicion| suspicion.witness = Witness::Below(id.clone()));
    Up::Suspicions(list)
}
