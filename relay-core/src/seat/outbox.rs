//! The minion's end of its link: what is sent, and kept until the parent has it.
//!
//! Owns the session, the outbox of unacknowledged returns, the bodies that stay after their acknowledgement, and heartbeats. What
//! becomes of a job is decided in [`super`].

use std::{collections::VecDeque, sync::Arc};

use super::{Entry, Homing, JournalRecord, Seat, SeatEffect, State};
use crate::{
    Members,
    ids::Jid,
    message::{ReturnBatch, ReturnGroup, Running, Up},
    time::Millis,
};

/// Longest that a parent may have returns held for, in milliseconds: one of ours says a second.
pub const MAX_HOLD: Millis = 60_000;
/// Bytes of returns sent and not acknowledged, per link. Bounds what the parent must hold for one minion.
pub const MAX_UNACKED_BYTES: usize = 2 << 20;
/// Bytes of bodies kept in memory after their acknowledgement, the newest jobs' first. The syndic that acknowledged may
/// be down when the owner asks again by another one; whoever asks for an older one gets its beginning's hash instead.
pub const MAX_KEPT_BYTES: usize = 2 << 20;
/// A job that runs longer than this is told to the parent at once, not with the next heartbeat.
pub const TELL_AFTER: Millis = 1_000;

#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) heard: Millis,
    /// When the newest heartbeat was sent.
    beat: Millis,
    pub(super) next_beat: Millis,
    seq: u64,
    /// Sent, not acknowledged: seq, jid, bytes.
    unacked: VecDeque<(u64, Jid, usize)>,
    unacked_bytes: usize,
    pub(super) held_until: Millis,
}

impl Seat {
    /// The link is up and the roster was sent: send what is unacknowledged.
    pub fn attached(&mut self, now: Millis) {
        let session = Session { heard: now, next_beat: now, ..Session::default() };
        (self.session, self.dropped) = (Some(session), false);
        self.outbox = self.unacked().collect();
        self.tick(now);
    }

    /// The link is gone.
    pub fn detached(&mut self) {
        (self.session, self.dropped) = (None, false);
        self.homing.iter_mut().for_each(Homing::detached);
    }

    pub(super) fn unacked(&self) -> impl Iterator<Item = Jid> + '_ {
        let open = self.entries.iter().filter(|(_, e)| matches!(e.state, State::Ended { acked: false, .. }));
        open.map(|(jid, _)| *jid)
    }

    pub(super) fn acked(&mut self, up_to: u64) {
        let Some(session) = &mut self.session else { return };
        let mut records = Vec::new();
        while let Some((_, jid, bytes)) = session.unacked.pop_front_if(|(seq, ..)| *seq <= up_to) {
            session.unacked_bytes -= bytes;
            let Some(entry) = self.entries.get_mut(&jid) else { continue };
            if let State::Ended { acked, .. } = &mut entry.state {
                *acked = true;
                records.push(JournalRecord::Acked { jid });
                self.effects.push(SeatEffect::Release { jid, run: entry.run });
            }
        }
        for record in &records {
            if let JournalRecord::Acked { jid } = record {
                self.keep(*jid);
            }
        }
        if !records.is_empty() {
            self.persist(records, Vec::new(), false);
        }
    }

    /// Keeps an acknowledged body for as long as there is room; of the oldest jobs' only the hash stays.
    pub(super) fn keep(&mut self, jid: Jid) {
        let Some(Entry { state: State::Ended { answer, .. }, .. }) = self.entries.get(&jid) else { return };
        let bytes = answer.body.len();
        if bytes > 0 && self.kept.insert(jid, bytes).is_none() {
            self.kept_bytes += bytes;
        }
        while self.kept_bytes > MAX_KEPT_BYTES
            && let Some((oldest, bytes)) = self.kept.pop_first()
        {
            self.kept_bytes -= bytes;
            if let Some(Entry { state: State::Ended { answer, acked: true }, .. }) =
                self.entries.get_mut(&oldest)
            {
                *answer = Arc::new(answer.without_body());
            }
        }
    }

    /// The parent can't take returns: all unacknowledged ones go again later.
    pub(super) fn hold(&mut self, now: Millis, retry_after: Millis) {
        let Some(session) = &mut self.session else { return };
        session.held_until = now.saturating_add(retry_after.min(MAX_HOLD));
        session.unacked_bytes = 0;
        self.outbox.extend(session.unacked.drain(..).map(|(_, jid, _)| jid));
    }

    /// Sends what the outbox holds, within the bound of unacknowledged bytes.
    pub(super) fn pump(&mut self, now: Millis) {
        let Some(session) = &mut self.session else { return };
        if now < session.held_until {
            return;
        }
        while let Some(jid) = self.outbox.first().copied() {
            if session.unacked_bytes >= MAX_UNACKED_BYTES {
                return;
            }
            self.outbox.pop_first();
            let Some(Entry { state: State::Ended { answer, .. }, .. }) = self.entries.get(&jid) else {
                continue;
            };
            session.seq += 1;
            session.unacked_bytes += answer.body.len();
            session.unacked.push_back((session.seq, jid, answer.body.len()));
            let group = ReturnGroup { jid, answer: answer.clone(), members: Members::from_iter([0]) };
            self.effects
                .push(SeatEffect::Send(Up::Returns(ReturnBatch { seq: session.seq, groups: vec![group] })));
        }
    }

    pub(super) fn is_silent(&self, now: Millis) -> bool {
        self.session.as_ref().is_some_and(|session| now >= session.heard + self.rule.dead_after)
    }

    pub(super) fn drop_link(&mut self) {
        if !self.dropped {
            self.effects.push(SeatEffect::Hangup);
        }
        (self.session, self.dropped) = (None, true);
    }

    /// The parent has answered the newest heartbeat, or says without being asked that it is there.
    pub(super) fn beat_answered(&mut self, now: Millis) {
        let Some(session) = &mut self.session else { return };
        session.next_beat = now.min(session.beat + self.rule.longest_answer()) + self.rule.interval;
    }

    pub(super) fn beat(&mut self, now: Millis) {
        if self.is_silent(now) {
            return self.drop_link();
        }
        let Some(session) = &mut self.session else { return };
        let untold =
            |e: &Entry| matches!(e.state, State::Running { since, told: false } if since + TELL_AFTER <= now);
        if now < session.next_beat && !self.entries.values().any(untold) {
            return;
        }
        (session.beat, session.next_beat) = (now, now + self.rule.interval);
        let mut running = Vec::new();
        for (&jid, entry) in &mut self.entries {
            if let State::Running { told, .. } = &mut entry.state {
                *told = true;
                running.push(Running { jid, members: Members::from_iter([0]) });
            }
        }
        self.effects.push(SeatEffect::Send(Up::Heartbeat(running)));
    }
}
