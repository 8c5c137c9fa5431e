//! What comes from above: jobs, cancels, acknowledgements.
//!
//! Owns which dispatch is taken and what a parent's word changes. Sending downward is `children`'s and the tier's.

use bytes::Bytes;

use super::*;
use crate::{
    merkle::{Hash, TargetRoot},
    seat::{MAX_DELIVERY, MAX_HOLD},
    suspicion::Forgery,
    tier::Provable,
};

impl Relay {
    /// The link to a parent is up.
    pub fn parent_up(&mut self, now: Millis, parent: ParentNo, link: LinkId) {
        self.flush_roster();
        let parent = self.clamp(parent);
        self.uplinks[parent].attach(now, link);
        self.effects.push(RelayEffect::SendUp { link, up: Up::Roster(self.roster.full()) });
        self.reports.gathered.attached(now);
        self.heartbeat(now, parent);
        self.pump(now);
    }

    /// The link to a parent is gone.
    pub fn parent_down(&mut self, link: LinkId) {
        for uplink in self.uplinks.iter_mut().filter(|u| u.link() == Some(link)) {
            uplink.detach();
        }
    }

    /// A message came from a parent.
    pub fn from_parent(&mut self, now: Millis, link: LinkId, down: Down) {
        let Some(parent) = self.uplinks.iter().position(|u| u.link() == Some(link)) else { return };
        // It may have waited here for as long as nothing was heard (this process was stopped): too old to be believed
        // about time. The tick drops the link, and the parent offers again.
        if self.uplinks[parent].is_silent(now, self.rule.uplink.dead_after) {
            return;
        }
        self.uplinks[parent].heard(now);
        match down {
            Down::Heartbeat => self.reports.gathered.answered(),
            Down::RosterResync => {
                self.flush_roster();
                self.effects.push(RelayEffect::SendUp { link, up: Up::Roster(self.roster.full()) });
            }
            Down::Dispatch(dispatch) => self.dispatch(now, parent, dispatch),
            Down::Cancel { jid, epoch, seal } => {
                if self.tier.works.get(&jid).is_some_and(|w| epoch >= w.epoch) {
                    self.cancel(now, jid, seal);
                }
            }
            Down::ReturnsAck { up_to } => {
                let (jids, gone) = self.uplinks[parent].acked(up_to);
                self.lazy.push(SpoolRecord::Acked { parent, up_to: gone });
                self.delivered(jids);
                self.pump(now);
            }
            Down::ReturnsBusy { retry_after } => {
                self.uplinks[parent].hold(now.saturating_add(retry_after.min(MAX_HOLD)))
            }
            Down::Placed(placed) => self.placed(placed),
            Down::Trust(_) => {}
        }
    }

    fn dispatch(&mut self, now: Millis, parent: ParentNo, dispatch: Dispatch) {
        let jid = dispatch.job.jid;
        let known = self.tier.works.get(&jid).and_then(|w| w.job.as_ref().map(|job| (w.epoch, job.digest)));
        let alarm = known.and_then(|(epoch, digest)| match () {
            () if digest != dispatch.job.digest => Some((Forgery::DigestMismatch, "another content")),
            () if epoch > dispatch.epoch => Some((Forgery::StaleEpoch, "an older epoch")),
            () => None,
        });
        if let Some((kind, why)) = alarm {
            self.alarm(jid, kind, why, dispatch.members.len());
            return;
        }
        if let Some(root) = &dispatch.job.targets
            && let Err(why) = self.prove(jid, root, &dispatch)
        {
            self.alarm(jid, Forgery::NotTarget, why, dispatch.members.len());
            return;
        }
        if self.tier.works.len() >= MAX_WORKS && !self.tier.works.contains_key(&jid) {
            let busy = Arc::new(Answer::by_tier(Outcome::NotStarted, Reason::Busy));
            self.uplinks[parent].fold.add(now, jid, busy, &dispatch.members);
            self.uplinks[parent].fold.hurry();
            return;
        }
        let deliver_by = now.saturating_add(dispatch.deliver_within.min(MAX_DELIVERY));
        // A parent that has an answer does not offer the job again: one that was acknowledged here was lost there, with
        // that parent's spool. The journals below have it still.
        let lost = match dispatch.reoffer {
            true => &dispatch.members - self.owed_above(jid),
            false => Members::new(),
        };
        let work = self.work_of(now, jid);
        let windowed = work.job.is_some() && !dispatch.reoffer;
        work.job = Some(dispatch.job);
        work.epoch = dispatch.epoch;
        work.deadlines.set(now, deliver_by, &dispatch.members);
        if dispatch.reoffer {
            work.ledger.reopen_said_by_tier(&dispatch.members);
            work.ledger.reopen(&lost);
            work.tainted |= &dispatch.members;
        }
        // Members whose number is retired are taken in too: never sent anything from here, they end as not started.
        work.ledger.extend(&dispatch.members);
        if let Some(errand) = self.errands.get_mut(&jid) {
            errand.parent = parent;
            errand.windowed |= windowed;
            errand.forget_at = errand.forget_at.max(deliver_by + WORK_RETAIN);
        }
        self.note(jid, "dispatched", dispatch.members.len());
        let placement = self.tier.place(now, jid, &dispatch.members);
        self.begin(now, jid, placement);
    }

    /// Keeps what a dispatch shows of its members being targets. Its minions would refuse it as well; but what is wrong from the
    /// beginning need not be written down and sent to thousands.
    fn prove(&mut self, jid: Jid, root: &TargetRoot, dispatch: &Dispatch) -> Result<(), &'static str> {
        let leaves: Option<Vec<Hash>> = dispatch.members.iter().map(|no| self.roster.leaf(no)).collect();
        let leaves = leaves.ok_or("a number that nobody has")?;
        let tree = dispatch.proof.verify(&leaves, root).map_err(|_| "its proof does not hold")?;
        let places = dispatch.members.iter().zip(dispatch.proof.places.iter().copied()).collect();
        self.tier.trees.add(jid, Arc::new(Provable::new(tree, places)));
        Ok(())
    }

    fn alarm(&mut self, jid: Jid, kind: Forgery, why: &'static str, members: u64) {
        self.effects.push(RelayEffect::Alarm { jid, kind, why, members });
    }

    /// Those of whom an answer about this job is on its way to a parent.
    fn owed_above(&self, jid: Jid) -> Members {
        let any = self.errands.get(&jid).is_some_and(|errand| errand.spooled > 0 || errand.folding);
        let uplinks = self.uplinks.iter().filter(|_| any);
        uplinks.fold(Members::new(), |all, uplink| all | uplink.owes(jid))
    }

    pub(super) fn note(&mut self, jid: Jid, what: &'static str, members: u64) {
        self.effects.push(RelayEffect::Note { jid, what, members });
    }

    /// Whether its owner signed it is for minions to find out: a parent that makes one up could keep the job back as well.
    fn cancel(&mut self, now: Millis, jid: Jid, seal: Bytes) {
        let (never_sent, sending) = self.tier.cancel(jid, seal);
        // A cancel names no members: to a syndic that it reaches before the job it says nothing.
        self.after_marks(jid, sending.into_iter().collect());
        self.note(jid, "cancelled", never_sent.len());
        let answer = Arc::new(Answer::by_tier(Outcome::Cancelled, Reason::BeforeStart));
        self.answer(now, jid, answer, &never_sent);
    }

    /// The parent has these jobs' batches, one for each mention.
    pub(super) fn delivered(&mut self, jids: Vec<Jid>) {
        for jid in jids {
            let Some(errand) = self.errands.get_mut(&jid) else { continue };
            errand.spooled = errand.spooled.saturating_sub(1);
            let done = errand.spooled == 0 && !errand.folding;
            if done && self.tier.works.get(&jid).is_some_and(|w| w.ledger.is_complete()) {
                self.lazy.push(SpoolRecord::Forget { jid });
                self.forget(jid);
            }
        }
    }

    pub(super) fn forget(&mut self, jid: Jid) {
        self.errands.remove(&jid);
        self.tier.forget(jid);
    }
}
