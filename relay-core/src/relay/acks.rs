//! Acknowledgements to children for what is durable: when they go, and with what.
//!
//! One by itself costs a minion's link as much as a job did, and nobody waits for it. So it goes along with what its link is sent
//! anyway, a job or the answer to a heartbeat, and by itself only where a sender has a window to fill.

use std::collections::BTreeMap;

use crate::{
    message::{Down, LinkId},
    tier::Sending,
    time::Millis,
};

/// Acknowledgements of bulk, and of syndics below, wait this long: their senders have a window to fill.
pub const ACK_SOON: Millis = 20;
/// Those of answers that are more than a few lines: hundreds of them would fill a minion's window too.
pub const ACK_PACE: Millis = 1_000;
/// The others wait for the answer to the next heartbeat of their minion ([`crate::seat::HeartbeatRule`]), and some more, if no job comes
/// before. A minion of which so little comes runs no risk: to fill its window it would need five hundred jobs meanwhile, each of
/// which takes an acknowledgement along.
pub const ACK_LAST: Millis = 13_000;
/// A batch with bodies of this size is bulk, in bytes.
pub(super) const BULK: usize = 64 << 10;
/// One with bodies of this size is more than a few lines, in bytes.
const SIZEABLE: usize = 4 << 10;

/// How long an acknowledgement may wait for company.
pub(super) fn pace(direct: bool, bytes: usize) -> Millis {
    match bytes {
        _ if !direct => ACK_SOON,
        BULK.. => ACK_SOON,
        SIZEABLE.. => ACK_PACE,
        _ => ACK_LAST,
    }
}

/// Up to which batch a child is acknowledged, and by when it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) up_to: u64,
    /// How long it may wait once it is durable; then, until when it does.
    pub(super) by: Millis,
}

/// Acknowledgements that are owed, or may be given: one for each link.
#[derive(Debug, Default)]
pub(super) struct Acks {
    links: BTreeMap<LinkId, Ack>,
    /// No later than the first of them.
    due: Option<Millis>,
}

impl Acks {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// When the next must go by itself, at the latest.
    pub(super) fn due(&self) -> Option<Millis> {
        self.due
    }

    /// A later acknowledgement covers the former ones, and waits no longer than they would have.
    pub(super) fn add(&mut self, link: LinkId, ack: Ack) {
        let held = self.links.entry(link).or_insert(ack);
        *held = Ack { up_to: ack.up_to, by: held.by.min(ack.by) };
        self.due = Some(self.due.map_or(held.by, |due| due.min(held.by)));
    }

    /// All of others, each `at` a moment later.
    pub(super) fn take_in(&mut self, others: Acks, at: Millis) {
        for (link, Ack { up_to, by }) in others.links {
            self.add(link, Ack { up_to, by: by.saturating_add(at) });
        }
    }

    /// A link is gone: it sends again what it was not told of.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// Those that go along with what these links are sent now.
    pub(super) fn along<'a>(&mut self, links: impl IntoIterator<Item = &'a LinkId>) -> Vec<Sending> {
        if self.links.is_empty() {
            return Vec::new();
        }
        let taken = links.into_iter().filter_map(|link| Some((*link, self.links.remove(link)?.up_to)));
        grouped(taken.collect())
    }

    /// Those that wait no longer.
    pub(super) fn ripe(&mut self, now: Millis) -> Vec<Sending> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let ripe = self.links.extract_if(.., |_, ack| ack.by <= now);
        let ripe = ripe.map(|(link, ack)| (link, ack.up_to)).collect();
        self.due = self.links.values().map(|ack| ack.by).min();
        grouped(ripe)
    }
}

/// One message for all links that are acknowledged as far.
fn grouped(acks: Vec<(LinkId, u64)>) -> Vec<Sending> {
    let mut by_seq: BTreeMap<u64, Vec<LinkId>> = BTreeMap::new();
    acks.into_iter().for_each(|(link, up_to)| by_seq.entry(up_to).or_default().push(link));
    by_seq.into_iter().map(|(up_to, links)| Sending::new(links, Down::ReturnsAck { up_to })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sendings: Vec<Sending>) -> Vec<(u64, u64)> {
        let each = sendings.iter().flat_map(Sending::each);
        let up_to = |down| if let Down::ReturnsAck { up_to } = down { up_to } else { panic!("{down:?}") };
        each.map(|(link, down)| (link.0, up_to(down))).collect()
    }

    #[test]
    fn each_goes_with_company_or_when_its_time_is_over() {
        let mut acks = Acks::default();
        for (link, up_to, by) in [(1, 5, 100), (2, 5, 200), (3, 7, 100), (2, 6, 300), (4, 1, 400)] {
            acks.add(LinkId(link), Ack { up_to, by });
        }
        assert_eq!(told(acks.along(&[LinkId(3), LinkId(9)])), [(3, 7)]);
        acks.forget(LinkId(4));
        assert_eq!(told(acks.ripe(99)), []);
        assert_eq!((told(acks.ripe(100)), acks.due()), (vec![(1, 5)], Some(200)));
        assert_eq!(told(acks.ripe(200)), [(2, 6)], "as soon as the first of them was due");
        assert!(acks.is_empty() && acks.due().is_none());
    }

    #[test]
    fn what_could_fill_a_window_waits_less() {
        let paces = [(true, 100), (true, SIZEABLE), (true, BULK), (false, 0)].map(|(d, b)| pace(d, b));
        assert_eq!(paces, [ACK_LAST, ACK_PACE, ACK_SOON, ACK_SOON]);
        let beats = crate::seat::HeartbeatRule::default();
        assert!(ACK_LAST > beats.interval + 3 * beats.gather(), "a heartbeat and its answer come first");
    }
}
