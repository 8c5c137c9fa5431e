//! What has happened in a job and is not on its way to the store yet, and how much of it goes into one commit.
//!
//! Owns the order of a job's rows in the store, and that the store never sees a member in no row or in two, although rows
//! that belong together are committed one after the other. Which job is next, and what may leave once it is durable, is
//! [`super::commit`]'s.
//!
//! Whom a row has is read from the ledger when the row is issued, not when it was touched: so the newest state of a row is
//! never overwritten by an older one, and a job may be answered on while its rows wait. What the ledger has ahead of the
//! store is kept here as two differences: who was added to a row, and who has left one.

use super::*;

/// What a row costs beside its body: three rows of tables with their indices, about what it takes to write 1 KiB of body.
pub const ROW_BYTES: usize = 1 << 10;

/// What is left of one commit's bound.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    /// Nothing has been taken: the first row goes in, however large it is.
    untouched: bool,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Room {
        Room { bytes, untouched: true }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.untouched || bytes <= self.bytes;
        if fits {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.untouched = false;
        }
        fits
    }
}

#[derive(Debug)]
struct Row {
    /// By when it was touched first, see [`Owner::returns`].
    since: u64,
    answer: Arc<Answer>,
    /// The store has no such row yet.
    is_new: bool,
    /// Who newly gave this answer.
    added: Members,
}

impl Row {
    fn cost(&self) -> usize {
        ROW_BYTES + if self.is_new { self.answer.body.len() } else { 0 }
    }
}

/// What goes into one commit of what is dirty in a job.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) rows: Vec<GroupRow>,
    pub(super) answers: Vec<(GroupNo, Arc<Answer>, Members)>,
}

/// What is dirty in one job. Bounded by what syndics may have sent up without an acknowledgement
/// ([`crate::relay::MAX_UNACKED_BYTES`] each), for none is given for what is still in here.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    rows: BTreeMap<GroupNo, Row>,
    /// What has waited longest goes first, new rows by their number: after a crash they are numbered by their places in
    /// the store, so there must be no hole.
    order: BTreeSet<(u64, GroupNo)>,
    /// Who has left a row that is in the store: into a row that is dirty.
    left: BTreeMap<GroupNo, Members>,
    bytes: usize,
}

impl Dirty {
    /// What it would cost to commit all of it, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Since when the oldest of it waits.
    pub(super) fn since(&self) -> Option<u64> {
        self.order.first().map(|(since, _)| *since)
    }

    /// An answer was written into the ledger.
    pub(super) fn add(&mut self, since: u64, answer: &Arc<Answer>, recorded: &Recorded) {
        recorded.resolved.iter().for_each(|(no, members)| self.leave(*no, members.clone()));
        let no = recorded.group;
        if let Some(row) = self.rows.get_mut(&no) {
            row.added |= &recorded.members;
            return;
        }
        let (answer, added) = (answer.clone(), recorded.members.clone());
        let row = Row { since, answer, is_new: recorded.first, added };
        self.bytes += row.cost();
        self.order.insert((since, no));
        self.rows.insert(no, row);
    }

    /// Members have left a row of `unknown` for another.
    fn leave(&mut self, no: GroupNo, mut members: Members) {
        // Whom the row has not been committed with was never in it, as far as anybody was told.
        if let Some(row) = self.rows.get_mut(&no) {
            let untold = &row.added & &members;
            row.added -= &untold;
            members -= untold;
            if row.added.is_empty() && !row.is_new {
                self.remove(no);
            }
        }
        if !members.is_empty() {
            *self.left.entry(no).or_default() |= members;
        }
    }

    fn remove(&mut self, no: GroupNo) -> Option<Row> {
        let row = self.rows.remove(&no)?;
        self.order.remove(&(row.since, no));
        self.bytes -= row.cost();
        Some(row)
    }

    /// Takes as many rows as there is room for.
    pub(super) fn take(&mut self, ledger: &Ledger, room: &mut Room) -> Portion {
        let mut taken: BTreeMap<GroupNo, Option<Row>> = BTreeMap::new();
        loop {
            let next = self.next();
            let cost = next.iter().filter_map(|no| self.rows.get(no)).map(Row::cost).sum();
            if next.is_empty() || !room.take(cost) {
                break;
            }
            taken.extend(next.into_iter().map(|no| (no, self.remove(no))));
        }
        for no in self.lost_to(&taken) {
            taken.entry(no).or_insert_with(|| self.remove(no));
        }
        let mut portion = Portion::default();
        taken.into_iter().for_each(|(no, row)| self.issue(ledger, no, row, &mut portion));
        portion
    }

    /// The next row that tells of somebody, and with it those beside it whose members have all left before anybody was told of
    /// them: by themselves they would be a change that says nothing.
    fn next(&self) -> Vec<GroupNo> {
        let (mut next, mut tells) = (Vec::new(), false);
        for (_, no) in &self.order {
            let told = self.rows.get(no).is_some_and(|row| !row.added.is_empty());
            if told && tells {
                break;
            }
            tells |= told;
            next.push(*no);
        }
        next
    }

    /// The rows that lose members to these must change together with them: nobody is in none, or in two.
    fn lost_to(&mut self, taken: &BTreeMap<GroupNo, Option<Row>>) -> Vec<GroupNo> {
        if self.left.is_empty() {
            return Vec::new();
        }
        let added = taken.values().flatten().map(|row| &row.added);
        let gained = added.fold(Members::new(), |all, members| all | members);
        let losing = self.left.iter_mut().filter(|(_, left)| !left.is_disjoint(&gained));
        let losing = losing.map(|(no, left)| {
            *left -= &gained;
            *no
        });
        let losing: Vec<GroupNo> = losing.collect();
        self.left.retain(|_, left| !left.is_empty());
        losing
    }

    /// `row`: nothing, if it only lost members.
    fn issue(&self, ledger: &Ledger, no: GroupNo, row: Option<Row>, portion: &mut Portion) {
        let mut members = ledger.groups().get(no as usize).map(|g| g.members.clone()).unwrap_or_default();
        if let Some(staying) = self.left.get(&no) {
            members |= staying; // until the rows are issued that they have left for
        }
        let added = row.as_ref().map(|row| row.added.clone()).unwrap_or_default();
        let answer = row.as_ref().filter(|row| row.is_new).map(|row| row.answer.clone());
        portion.rows.push(GroupRow { no, answer, members, added: added.clone() });
        if let Some(row) = row.filter(|_| !added.is_empty()) {
            portion.answers.push((no, row.answer, added));
        }
    }

    /// How many have each outcome once everything is durable that was taken: of what is still in here, nothing counts.
    pub(super) fn counts(&self, ledger: &Ledger) -> BTreeMap<Outcome, u64> {
        let mut counts = BTreeMap::new();
        for (no, group) in ledger.groups().iter().enumerate() {
            let no = no as GroupNo;
            let staying = self.left.get(&no).map_or(0, Members::len);
            let coming = self.rows.get(&no).map_or(0, |row| row.added.len());
            let count = (group.members.len() + staying).saturating_sub(coming);
            if count > 0 {
                *counts.entry(group.key.outcome).or_default() += count;
            }
        }
        counts
    }
}
