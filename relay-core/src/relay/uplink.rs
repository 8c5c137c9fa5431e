//! One parent of a relay: its open fold, the batches it has not acknowledged, and in which order they go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    Members,
    fold::{FlushRule, Fold},
    ids::Jid,
    message::{LinkId, ReturnBatch, ReturnGroup},
    time::Millis,
};

/// A parent, by its place in the configuration.
pub type ParentNo = usize;

/// Bytes sent up and not acknowledged: what one syndic may make its parent hold, and what an answer waits behind on a slow line
/// once it is under way. At a tenth of a second there and back that is 10 MB a second.
pub const MAX_UNACKED_BYTES: usize = 1 << 20;
/// Batches sent up and not acknowledged; one of bulk more, where last answers have all of these.
pub const MAX_UNACKED_BATCHES: usize = 64;
/// So much of both is for last answers alone, a quarter of the batches and an eighth of the bytes, however large the batches beside
/// them are: what is under way is acknowledged once it is durable above, which for a window full of bulk is some tenths of a second.
const RESERVED: Load = Load { batches: MAX_UNACKED_BATCHES / 4, bytes: MAX_UNACKED_BYTES / 8 };
/// What all of them may have together.
const ALL: Load = Load { batches: MAX_UNACKED_BATCHES, bytes: MAX_UNACKED_BYTES };
/// What others may have of it.
const OTHERS: Load =
    Load { batches: MAX_UNACKED_BATCHES - RESERVED.batches, bytes: MAX_UNACKED_BYTES - RESERVED.bytes };
/// After so many batches with last answers one of the others goes, if any waits: bulk may be slow, and never stands still.
const EXPRESS_IN_A_ROW: u32 = 8;

#[derive(Debug)]
struct Spooled {
    batch: ReturnBatch,
    bytes: usize,
    durable: bool,
}

/// A batch that was given its number on this link.
#[derive(Debug)]
struct Flight {
    /// The number that the parent acknowledges.
    number: u64,
    /// The number in the spool.
    seq: u64,
    bytes: usize,
    express: bool,
}

/// What is under way of one kind, or may be.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    batches: usize,
    bytes: usize,
}

impl Load {
    /// Whether there is room beside it for one more batch. One alone always has room: none is ever cut.
    fn has_room(self, bytes: usize, most: Load) -> bool {
        self.batches == 0 || self.batches < most.batches && self.bytes + bytes <= most.bytes
    }

    fn and(self, more: Load) -> Load {
        Load { batches: self.batches + more.batches, bytes: self.bytes + more.bytes }
    }

    fn add(&mut self, bytes: usize) {
        self.batches += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.batches -= 1;
        self.bytes -= bytes;
    }
}

/// What has no acknowledgement is in `spooled`. Of it, what went over this link is in `flights`, and the rest waits in one of two
/// queues. The spool numbers batches as they were made; a link numbers them as they leave.
#[derive(Debug)]
pub(super) struct Uplink {
    pub(super) fold: Fold,
    pub(super) next_beat: Millis,
    link: Option<LinkId>,
    heard: Millis,
    held_until: Millis,
    next_seq: u64,
    spooled: BTreeMap<u64, Spooled>,
    bytes: usize,
    /// With the last answers of jobs of which nothing else waits here: somebody waits for them, and they do not wait for bulk.
    express: VecDeque<u64>,
    others: VecDeque<u64>,
    express_in_a_row: u32,
    flights: VecDeque<Flight>,
    next_number: u64,
    /// How many flights from the front are under way; those behind them were refused and go again.
    sent: usize,
    /// All flights, by kind: the last answers, and the others.
    load_express: Load,
    load_others: Load,
}

impl Uplink {
    pub(super) fn new(rule: FlushRule) -> Uplink {
        Uplink {
            fold: Fold::new(rule),
            next_beat: 0,
            link: None,
            heard: 0,
            held_until: 0,
            next_seq: 1,
            spooled: BTreeMap::new(),
            bytes: 0,
            express: VecDeque::new(),
            others: VecDeque::new(),
            express_in_a_row: 0,
            flights: VecDeque::new(),
            next_number: 1,
            sent: 0,
            load_express: Load::default(),
            load_others: Load::default(),
        }
    }

    /// Whether it has a batch of this number that no parent has yet.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.spooled.contains_key(&seq)
    }

    /// A batch that the spool remembers.
    pub(super) fn restore(&mut self, batch: ReturnBatch) {
        self.next_seq = self.next_seq.max(batch.seq.saturating_add(1));
        self.push(batch, true, false);
    }

    /// Takes a batch that the spool remembers for another parent. It is durable there until the same write says that it is
    /// here, and not there.
    pub(super) fn adopt(&mut self, batch: ReturnBatch) -> ReturnBatch {
        let batch = ReturnBatch { seq: self.next_seq, ..batch };
        self.restore(batch.clone());
        batch
    }

    fn push(&mut self, batch: ReturnBatch, durable: bool, express: bool) {
        let bytes = batch.weight();
        self.bytes += bytes;
        if express { &mut self.express } else { &mut self.others }.push_back(batch.seq);
        self.spooled.insert(batch.seq, Spooled { batch, bytes, durable });
    }

    pub(super) fn attach(&mut self, now: Millis, link: LinkId) {
        (self.link, self.heard, self.held_until) = (Some(link), now, 0);
        (self.sent, self.load_express, self.load_others) = (0, Load::default(), Load::default());
        // They keep their order, before the others that never went.
        let again = std::mem::take(&mut self.flights);
        again.into_iter().rev().for_each(|flight| self.others.push_front(flight.seq));
    }

    pub(super) fn detach(&mut self) {
        self.link = None;
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        self.link
    }

    pub(super) fn heard(&mut self, now: Millis) {
        self.heard = now;
    }

    pub(super) fn is_silent(&self, now: Millis, dead_after: Millis) -> bool {
        now >= self.heard.saturating_add(dead_after)
    }

    /// The parent can't take returns: everything unacknowledged goes again, later, under the same numbers. It takes them in
    /// order, and waits for the first that it refused.
    pub(super) fn hold(&mut self, until: Millis) {
        self.held_until = until;
        self.sent = 0;
    }

    /// Closes the fold into a batch.
    pub(super) fn flush(&mut self, now: Millis) -> Option<ReturnBatch> {
        let groups = self.fold.take(now);
        self.close(groups, false)
    }

    /// Makes a batch of what the fold holds of some jobs. `express`: they have their last answer, and nothing else of them waits
    /// here.
    pub(super) fn flush_of(
        &mut self,
        now: Millis,
        jobs: &BTreeSet<Jid>,
        express: bool,
    ) -> Option<ReturnBatch> {
        let groups = self.fold.take_of(now, jobs);
        self.close(groups, express)
    }

    fn close(&mut self, groups: Vec<ReturnGroup>, express: bool) -> Option<ReturnBatch> {
        if groups.is_empty() {
            return None;
        }
        let batch = ReturnBatch { seq: self.next_seq, groups };
        self.next_seq += 1;
        self.push(batch.clone(), false, express);
        Some(batch)
    }

    pub(super) fn set_durable(&mut self, seq: u64) {
        if let Some(spooled) = self.spooled.get_mut(&seq) {
            spooled.durable = true;
        }
    }

    fn may_send(&self, now: Millis) -> bool {
        self.link.is_some() && now >= self.held_until
    }

    /// Whether the next of the express is what goes next, of those that never went; `None` if neither may.
    fn next_queue(&self) -> Option<bool> {
        let next = |queue: &VecDeque<u64>| {
            let next = queue.front().and_then(|seq| self.spooled.get(seq))?;
            next.durable.then_some(next.bytes)
        };
        let (express, others) = (self.load_express, self.load_others);
        let in_all = |bytes| express.and(others).has_room(bytes, ALL);
        let may_express =
            next(&self.express).is_some_and(|bytes| express.has_room(bytes, RESERVED) || in_all(bytes));
        let may_others = next(&self.others)
            .is_some_and(|bytes| others.has_room(bytes, OTHERS) && (in_all(bytes) || others.batches == 0));
        match (may_express, may_others) {
            (false, false) => None,
            (express, others) => Some(express && !(others && self.express_in_a_row >= EXPRESS_IN_A_ROW)),
        }
    }

    fn load(&mut self, express: bool) -> &mut Load {
        if express { &mut self.load_express } else { &mut self.load_others }
    }

    /// Whether a batch may go now.
    pub(super) fn has_to_send(&self, now: Millis) -> bool {
        self.may_send(now) && (self.sent < self.flights.len() || self.next_queue().is_some())
    }

    /// The next batch that may go now, under its number on this link.
    pub(super) fn next_to_send(&mut self, now: Millis) -> Option<ReturnBatch> {
        if !self.may_send(now) {
            return None;
        }
        if self.sent == self.flights.len() {
            let express = self.next_queue()?;
            let seq = if express { &mut self.express } else { &mut self.others }.pop_front()?;
            self.express_in_a_row = if express { self.express_in_a_row + 1 } else { 0 };
            let bytes = self.spooled.get(&seq)?.bytes;
            self.flights.push_back(Flight { number: self.next_number, seq, bytes, express });
            self.load(express).add(bytes);
            self.next_number += 1;
        }
        let flight = self.flights.get(self.sent)?;
        let groups = self.spooled.get(&flight.seq)?.batch.groups.clone();
        self.sent += 1;
        Some(ReturnBatch { seq: flight.number, groups })
    }

    /// Forgets what the parent has: up to a number of this link. Says which jobs those batches spoke of, once per group, and
    /// up to which number nothing is left of the spool.
    pub(super) fn acked(&mut self, up_to: u64) -> (Vec<Jid>, u64) {
        let mut jids = Vec::new();
        while let Some(flight) = self.flights.pop_front_if(|flight| flight.number <= up_to) {
            self.sent = self.sent.saturating_sub(1);
            self.load(flight.express).remove(flight.bytes);
            jids.extend(self.forget(flight.seq));
        }
        let gone = self.spooled.keys().next().map_or(self.next_seq, |first| *first) - 1;
        (jids, gone)
    }

    /// The same, as the spool remembers it: by its own numbers, and before there is a link.
    pub(super) fn gone(&mut self, up_to: u64) -> Vec<Jid> {
        let gone: Vec<u64> = self.spooled.range(..=up_to).map(|(seq, _)| *seq).collect();
        self.others.retain(|seq| *seq > up_to);
        gone.into_iter().flat_map(|seq| self.forget(seq)).collect()
    }

    fn forget(&mut self, seq: u64) -> Vec<Jid> {
        let Some(spooled) = self.spooled.remove(&seq) else { return Vec::new() };
        self.bytes -= spooled.bytes;
        spooled.batch.groups.iter().map(|group| group.jid).collect()
    }

    /// Every batch the parent does not have.
    pub(super) fn batches(&self) -> impl Iterator<Item = &ReturnBatch> {
        self.spooled.values().map(|spooled| &spooled.batch)
    }

    /// Those of whom the parent has yet to hear about a job.
    pub(super) fn owes(&self, jid: Jid) -> Members {
        let groups = self.batches().flat_map(|batch| &batch.groups).chain(self.fold.groups());
        let of_it = groups.filter(|group| group.jid == jid);
        of_it.fold(Members::new(), |all, group| all | &group.members)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.spooled.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::ANSWER_BYTES;
    use crate::outcome::{Answer, Outcome, Reason};

    const KIB: usize = 1 << 10;

    struct Bench(Uplink);

    impl Bench {
        /// Attached to nobody yet.
        fn new() -> Bench {
            Bench(Uplink::new(FlushRule::default()))
        }

        fn attached() -> Bench {
            let mut bench = Bench::new();
            bench.0.attach(0, LinkId(1));
            bench
        }

        /// A durable batch of one job.
        fn batch(&mut self, jid: u64, bytes: usize, express: bool) {
            let answer = Answer { body: vec![0; bytes].into(), ..Answer::bare(Outcome::Ok, Reason::None) };
            self.0.fold.add(0, Jid::from_micros(jid), Arc::new(answer), &Members::from_iter([0]));
            let batch = match express {
                true => self.0.flush_of(0, &BTreeSet::from([Jid::from_micros(jid)]), true),
                false => self.0.flush(0),
            };
            let seq = batch.expect("an answer").seq;
            self.0.set_durable(seq);
        }

        /// What goes now: number and job.
        fn sent(&mut self) -> Vec<(u64, u64)> {
            std::iter::from_fn(|| self.0.next_to_send(0)).map(|b| (b.seq, b.groups[0].jid.micros())).collect()
        }

        fn acked(&mut self, up_to: u64) -> (Vec<u64>, u64) {
            let (jids, gone) = self.0.acked(up_to);
            (jids.iter().map(|jid| jid.micros()).collect(), gone)
        }
    }

    #[test]
    fn last_answers_do_not_wait_for_bulk_and_the_spool_forgets_no_gap() {
        let mut bench = Bench::attached();
        (1..=3).for_each(|jid| bench.batch(jid, MAX_UNACKED_BYTES / 3, false));
        assert_eq!(bench.sent(), [(1, 1), (2, 2)], "as much as may be under way");
        bench.batch(4, 10, true);
        assert_eq!(bench.sent(), [(3, 4)]);
        assert_eq!(bench.acked(1), (vec![1], 1));
        assert_eq!(bench.sent(), [(4, 3)]);
        assert_eq!(bench.acked(3), (vec![2, 4], 2), "the third is not there yet");
        assert_eq!(bench.acked(4), (vec![3], 4));
        assert_eq!((bench.0.len(), bench.0.bytes()), (0, 0));
    }

    #[test]
    fn a_window_full_of_bulk_has_room_for_last_answers() {
        let mut bench = Bench::attached();
        (0..100).for_each(|_| bench.batch(1, KIB, false));
        let bulk = (MAX_UNACKED_BATCHES - RESERVED.batches) as u64;
        assert_eq!(bench.sent().len() as u64, bulk, "by batches");
        (0..100).for_each(|_| bench.batch(2, 1, true));
        let last: Vec<(u64, u64)> =
            (bulk + 1..=MAX_UNACKED_BATCHES as u64).map(|number| (number, 2)).collect();
        assert_eq!(bench.sent(), last);
        let mut bench = Bench::attached();
        (0..40).for_each(|_| bench.batch(1, 32 * KIB, false));
        let (bulk, each) = (bench.sent().len(), 32 * KIB + ANSWER_BYTES);
        assert_eq!(bulk, OTHERS.bytes / each);
        bench.batch(2, KIB, true);
        assert_eq!(bench.sent(), [(bulk as u64 + 1, 2)], "by bytes");
    }

    #[test]
    fn the_room_for_last_answers_is_theirs_however_large_a_batch_is() {
        for large in [3 * RESERVED.bytes, 2 * MAX_UNACKED_BYTES] {
            let mut bench = Bench::attached();
            (0..9).for_each(|_| bench.batch(1, large, false));
            let bulk = bench.sent().len();
            assert_eq!(bulk, (OTHERS.bytes / large).max(1), "{large}");
            bench.batch(2, 1, true);
            assert_eq!(bench.sent(), [(bulk as u64 + 1, 2)], "{large}");
            bench.0.hold(0);
            assert_eq!(bench.sent().len(), bulk + 1, "what goes again asks for no room");
            assert_eq!(bench.acked(bulk as u64 + 1).0.len(), bulk + 1);
            assert_eq!(bench.sent().len(), bulk, "{large}");
        }
    }

    #[test]
    fn last_answers_have_all_the_room_that_others_leave() {
        let mut bench = Bench::attached();
        (0..100).for_each(|_| bench.batch(1, 1, true));
        assert_eq!(bench.sent().len(), MAX_UNACKED_BATCHES);
        (0..2).for_each(|_| bench.batch(2, 1, false));
        assert_eq!(bench.sent(), [(MAX_UNACKED_BATCHES as u64 + 1, 2)], "and one of the others goes");
    }

    #[test]
    fn bulk_never_stands_still() {
        let mut bench = Bench::new();
        (0..3).for_each(|_| bench.batch(1, KIB, false));
        (0..20).for_each(|_| bench.batch(2, 1, true));
        bench.0.attach(0, LinkId(1));
        let bulk: Vec<u64> =
            bench.sent().into_iter().filter(|(_, jid)| *jid == 1).map(|(number, _)| number).collect();
        assert_eq!(bulk, [9, 18, 23]);
    }

    #[test]
    fn what_was_refused_goes_again_under_the_same_numbers_before_anything_else() {
        let mut bench = Bench::attached();
        (1..=3).for_each(|jid| bench.batch(jid, KIB, false));
        assert_eq!(bench.sent().len(), 3);
        bench.0.hold(0);
        bench.batch(4, 1, true);
        assert_eq!(bench.acked(1), (vec![1], 1));
        assert_eq!(bench.sent(), [(2, 2), (3, 3), (4, 4)]);
    }

    #[test]
    fn over_a_new_link_all_goes_again_in_its_order_under_new_numbers() {
        let mut bench = Bench::attached();
        (1..=3).for_each(|jid| bench.batch(jid, KIB, false));
        assert_eq!(bench.sent().len(), 3);
        bench.batch(4, KIB, false);
        bench.0.detach();
        assert!(bench.sent().is_empty());
        bench.0.attach(0, LinkId(2));
        assert_eq!(bench.sent(), [(4, 1), (5, 2), (6, 3), (7, 4)]);
        assert_eq!(bench.acked(7), (vec![1, 2, 3, 4], 4));
    }
}
