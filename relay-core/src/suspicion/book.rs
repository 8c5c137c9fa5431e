//! What one minion or syndic has refused as forged, until somebody other than the forger has heard of it.

use super::{A_MINUTE_OF_A_MINION, ANSWERS, Forgery, Ration, Suspicion, Witness};
use crate::{
    ids::{Jid, TierId},
    time::{Millis, WallMicros},
};

/// Most entries: every kind from five parents. Who reaches it forges without end; what comes then is only counted.
pub const MAX_KEPT: usize = 64;
/// Entries of one kind from one parent that name their job; further jobs are counted together. Whoever makes up jids pushes nothing
/// else out.
pub const PER_KIND: usize = 3;
/// An entry that no other parent could be told of is forgotten after so long, in microseconds: 30 days. Who has one parent alone is
/// told from a minion that nobody looks after by then.
pub const KEEP: WallMicros = 30 * 24 * 3_600 * 1_000_000;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it was.
    pub kind: Forgery,
    /// The job; none for several.
    pub jid: Option<Jid>,
    /// Over whose link it came.
    pub parent: TierId,
    /// When the first came.
    pub at: WallMicros,
    /// How often.
    pub count: u64,
    /// That parent has been told itself: it need not be the forger, it may pass on what another one made.
    pub told: bool,
}

impl Kept {
    fn key(&self) -> (Forgery, Option<Jid>, &TierId) {
        (self.kind, self.jid, &self.parent)
    }
}

/// A link, and what was told over it.
#[derive(Debug)]
struct Session {
    parent: TierId,
    /// It understands what it would be told.
    listens: bool,
    /// Not known to be heard: since then so many heartbeats were answered.
    telling: Vec<(Forgery, Option<Jid>, TierId, u8)>,
}

/// The entries, and what the present parent has been told.
#[derive(Debug, Default)]
pub struct Book {
    entries: Vec<Kept>,
    dropped: u64,
    session: Option<Session>,
    ration: Ration<TierId>,
    changed: bool,
}

impl Book {
    /// As it was written down.
    pub fn restore(entries: Vec<Kept>, dropped: u64) -> Book {
        let entries = entries.into_iter().take(MAX_KEPT).collect();
        Book { entries, dropped, ..Book::default() }
    }

    /// What there is.
    pub fn entries(&self) -> &[Kept] {
        &self.entries
    }

    /// How many were not taken in.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether entries have changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// This was refused, from the present parent. Nothing is noted without one.
    pub fn note(&mut self, kind: Forgery, jid: Option<Jid>, wall: WallMicros) {
        let Some(parent) = self.session.as_ref().map(|session| session.parent.clone()) else { return };
        self.expire(wall);
        self.changed = true;
        let of_it = |e: &&Kept| e.kind == kind && e.parent == parent;
        let known = self.entries.iter().any(|e| of_it(&e) && e.jid == jid);
        let crowded = self.entries.iter().filter(of_it).filter(|e| e.jid.is_some()).count() >= PER_KIND;
        let jid = jid.filter(|_| known || !crowded);
        let full = self.entries.len() >= MAX_KEPT;
        match self.entries.iter_mut().find(|e| e.key() == (kind, jid, &parent)) {
            Some(entry) => entry.count = entry.count.saturating_add(1),
            None if full => self.dropped = self.dropped.saturating_add(1),
            None => self.entries.push(Kept { kind, jid, parent, at: wall, count: 1, told: false }),
        }
    }

    fn expire(&mut self, wall: WallMicros) {
        let before = self.entries.len();
        self.entries.retain(|e| wall < e.at.saturating_add(KEEP));
        self.changed |= self.entries.len() != before;
    }

    /// There is a link to this parent. `listens`: it understands what it would be told.
    pub fn attached(&mut self, parent: TierId, listens: bool) {
        self.session = Some(Session { parent, listens, telling: Vec::new() });
    }

    /// The link is gone, and perhaps what was told last with it.
    pub fn detached(&mut self) {
        self.session = None;
    }

    /// What the parent is to be told now, by this witness: one of each kind first.
    pub fn tell(&mut self, now: Millis, witness: &Witness) -> Vec<Suspicion> {
        let Some(session) = self.session.as_mut().filter(|session| session.listens) else {
            return Vec::new();
        };
        let heard = |e: &Kept| e.told && e.parent == session.parent;
        let underway = |e: &Kept| session.telling.iter().any(|(k, j, p, _)| (*k, *j, p) == e.key());
        let mut due: Vec<&Kept> = self.entries.iter().filter(|e| !heard(e) && !underway(e)).collect();
        due.sort_by_cached_key(|e| rank(&self.entries, e));
        let due = due
            .into_iter()
            .take_while(|_| self.ration.take(now, session.parent.clone(), A_MINUTE_OF_A_MINION));
        let told: Vec<Suspicion> = due.map(|entry| suspicion(entry, witness)).collect();
        session.telling.extend(told.iter().map(|s| (s.kind, s.jid, s.parent.clone(), 0)));
        told
    }

    /// The parent has answered a heartbeat: what it was told well before is heard. What another one than the forger has heard need not
    /// be kept.
    pub fn answered(&mut self) {
        let Some(session) = &mut self.session else { return };
        session.telling.iter_mut().for_each(|(.., answers)| *answers += 1);
        let heard: Vec<_> = session.telling.extract_if(.., |(.., answers)| *answers >= ANSWERS).collect();
        self.changed |= !heard.is_empty();
        for (kind, jid, parent, _) in heard {
            if parent != session.parent {
                self.entries.retain(|e| e.key() != (kind, jid, &parent));
            } else if let Some(entry) = self.entries.iter_mut().find(|e| e.key() == (kind, jid, &parent)) {
                entry.told = true;
            }
        }
    }
}

/// How many of its kind and parent came before an entry.
fn rank(entries: &[Kept], entry: &Kept) -> usize {
    let before = entries.iter().take_while(|other| other.key() != entry.key());
    before.filter(|other| other.kind == entry.kind && other.parent == entry.parent).count()
}

fn suspicion(entry: &Kept, witness: &Witness) -> Suspicion {
    let Kept { kind, jid, parent, at, count, .. } = entry.clone();
    Suspicion { kind, jid, parent, at, count, witness: witness.clone() }
}
