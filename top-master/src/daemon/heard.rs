//! What has come in over the links and was not taken yet: in which order it is.
//!
//! Each link's events keep their order. Among links, what weighs little goes first: the answers of a small job would else wait for
//! a turn of the loop for each batch of a large one that came in before, from all regions. In each turn the oldest goes, too,
//! however much it weighs.

use std::collections::{BTreeMap, VecDeque};

use relay_core::message::{LinkId, Up};
use relay_runtime::link::LinkEvent;

/// Events that wait here; more stay with their links. One turn's worth of small ones.
pub(super) const MOST: usize = 512;
/// What weighs no more goes first, in bytes: a few answers, and whatever is none.
const LIGHT: usize = 4 << 10;

/// The events, by link.
#[derive(Debug, Default)]
pub(super) struct Heard {
    links: BTreeMap<LinkId, VecDeque<(u64, LinkEvent<Up>)>>,
    len: usize,
    next: u64,
}

impl Heard {
    pub(super) fn push(&mut self, event: LinkEvent<Up>) {
        self.links.entry(event.link()).or_default().push_back((self.next, event));
        self.next += 1;
        self.len += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more are taken in.
    pub(super) fn room(&self) -> usize {
        MOST.saturating_sub(self.len)
    }

    /// A turn: the light ones that have nothing of their link before them, then the oldest of all, until they are so many bytes of
    /// answers; at least one of each.
    pub(super) fn turn(&mut self, most: usize, mut take: impl FnMut(LinkEvent<Up>)) {
        let mut bytes = 0;
        for light in [true, false] {
            while let Some(event) = self.oldest(|event| !light || weight(event).is_some_and(|it| it <= LIGHT))
            {
                bytes += weight(&event).unwrap_or_default();
                take(event);
                if bytes >= most {
                    break;
                }
            }
        }
    }

    fn oldest(&mut self, of: impl Fn(&LinkEvent<Up>) -> bool) -> Option<LinkEvent<Up>> {
        let heads = self.links.iter().filter_map(|(link, events)| Some((link, events.front()?)));
        let (_, link) =
            heads.filter(|(_, (_, event))| of(event)).map(|(link, (age, _))| (*age, *link)).min()?;
        let events = self.links.get_mut(&link)?;
        let (_, event) = events.pop_front()?;
        if events.is_empty() {
            self.links.remove(&link);
        }
        self.len -= 1;
        Some(event)
    }
}

/// What an event is to a turn, in bytes. A link that comes or goes overtakes nothing.
fn weight(event: &LinkEvent<Up>) -> Option<usize> {
    match event {
        LinkEvent::Message { message: Up::Returns(batch), .. } => Some(batch.weight()),
        LinkEvent::Message { .. } => Some(0),
        LinkEvent::Up { .. } | LinkEvent::Down { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_core::{
        Members,
        ids::Jid,
        message::{ReturnBatch, ReturnGroup},
        outcome::{Answer, Outcome, Reason},
    };

    use super::*;

    fn returns(link: u64, seq: u64, bytes: usize) -> LinkEvent<Up> {
        let answer = Answer { body: vec![0; bytes].into(), ..Answer::bare(Outcome::Ok, Reason::None) };
        let group = ReturnGroup {
            jid: Jid::from_micros(1),
            answer: Arc::new(answer),
            members: Members::from_iter([0]),
        };
        let message = Up::Returns(ReturnBatch { seq, groups: vec![group] });
        LinkEvent::Message { link: LinkId(link), message, bytes }
    }

    /// Link and number of what a turn takes; 0 is a link that comes or goes.
    fn turn(heard: &mut Heard, most: usize) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        heard.turn(most, |event| {
            let seq = match &event {
                LinkEvent::Message { message: Up::Returns(batch), .. } => batch.seq,
                _ => 0,
            };
            taken.push((event.link().0, seq));
        });
        taken
    }

    const HEAVY: usize = 100 << 10;

    #[test]
    fn what_is_light_goes_before_other_links_bulk_and_not_before_its_own() {
        let mut heard = Heard::default();
        for (link, seq, bytes) in
            [(1, 1, HEAVY), (2, 1, HEAVY), (1, 2, HEAVY), (3, 1, 10), (2, 2, 10), (3, 2, 10)]
        {
            heard.push(returns(link, seq, bytes));
        }
        assert_eq!(turn(&mut heard, HEAVY), [(3, 1), (3, 2), (1, 1)]);
        assert_eq!(turn(&mut heard, HEAVY), [(2, 1)]);
        assert_eq!(turn(&mut heard, HEAVY), [(2, 2), (1, 2)]);
        assert!(heard.is_empty() && turn(&mut heard, HEAVY).is_empty());
    }

    #[test]
    fn bulk_goes_on_however_much_is_light() {
        let mut heard = Heard::default();
        heard.push(returns(1, 1, HEAVY));
        (1..=200).for_each(|seq| heard.push(returns(2, seq, LIGHT / 2)));
        let taken = turn(&mut heard, HEAVY);
        assert_eq!(taken.last(), Some(&(1, 1)));
        assert!((10..200).contains(&taken.len()), "{}", taken.len());
    }

    #[test]
    fn a_link_that_comes_or_goes_overtakes_nothing() {
        let mut heard = Heard::default();
        heard.push(returns(1, 1, HEAVY));
        heard.push(LinkEvent::Down { link: LinkId(2), why: String::new() });
        assert_eq!(turn(&mut heard, 1), [(1, 1)]);
        assert_eq!(turn(&mut heard, 1), [(2, 0)]);
    }

    #[test]
    fn what_is_taken_in_is_bounded() {
        let mut heard = Heard::default();
        (0..MOST as u64).for_each(|seq| heard.push(returns(seq % 7, seq, 10)));
        assert_eq!(heard.room(), 0);
        turn(&mut heard, usize::MAX);
        assert_eq!((heard.room(), heard.links.len()), (MOST, 0));
    }
}
