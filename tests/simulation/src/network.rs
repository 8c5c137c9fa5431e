//! Links: ordered streams that break at any moment and lose what is under way, in either direction.
//!
//! Within a link nothing is lost, doubled or reordered (it is TCP); all of that happens by breaking and dialling again.
//! A cut between two places holds messages back, in one direction or both, without telling anybody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use relay_core::{
    message::{Down, Up},
    time::Millis,
};

use crate::event::{End, Place};

/// What crosses a link.
#[derive(Debug, Clone)]
pub enum Message {
    /// Towards the top.
    Up(Up),
    /// Towards the minions.
    Down(Down),
}

/// One direction of a link, named by the end it leads to.
#[derive(Debug, Default)]
struct Direction {
    queue: VecDeque<(Millis, Message)>,
    last: Millis,
}

/// A link.
#[derive(Debug)]
pub struct Link {
    /// Who dialled, and which life of it.
    pub child: (Place, u32),
    /// Who accepted, and which life of it.
    pub parent: (Place, u32),
    /// What the child proved in the handshake: its journal's or spool's incarnation.
    pub incarnation: u64,
    open: BTreeSet<End>,
    dead: bool,
    to: BTreeMap<End, Direction>,
}

impl Link {
    /// Who sits at an end.
    pub fn at(&self, end: End) -> (Place, u32) {
        match end {
            End::Child => self.child,
            End::Parent => self.parent,
        }
    }

    /// Whether this end has it open.
    pub fn is_open(&self, end: End) -> bool {
        self.open.contains(&end)
    }

    /// Whether it carries anything any more.
    pub fn is_dead(&self) -> bool {
        self.dead
    }
}

/// A cut: from child to parent, and which way messages are held back (named by the end they go to).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The lower place.
    pub child: Place,
    /// The upper place.
    pub parent: Place,
    /// Messages to these ends do not get through.
    pub to: Vec<End>,
}

/// All links and cuts.
#[derive(Debug, Default)]
pub struct Network {
    links: BTreeMap<u64, Link>,
    next: u64,
    cuts: BTreeMap<usize, Cut>,
}

impl Network {
    /// A new link, open at neither end yet.
    pub fn connect(&mut self, child: (Place, u32), parent: (Place, u32), incarnation: u64) -> u64 {
        self.next += 1;
        let to = [(End::Child, Direction::default()), (End::Parent, Direction::default())].into();
        let link = Link { child, parent, incarnation, open: BTreeSet::new(), dead: false, to };
        self.links.insert(self.next, link);
        self.next
    }

    /// A link.
    pub fn get(&self, link: u64) -> Option<&Link> {
        self.links.get(&link)
    }

    /// Every link that somebody has open.
    pub fn open_links(&self) -> impl Iterator<Item = (u64, &Link)> {
        self.links.iter().map(|(no, link)| (*no, link))
    }

    /// This end has it open now. False if it died meanwhile.
    pub fn open(&mut self, link: u64, end: End) -> bool {
        let Some(link) = self.links.get_mut(&link).filter(|l| !l.dead) else { return false };
        link.open.insert(end);
        true
    }

    /// Sends to an end; `at` is when it arrives at the soonest. Returns when it does, if it will.
    pub fn send(&mut self, link: u64, to: End, at: Millis, message: Message) -> Option<Millis> {
        let link = self.links.get_mut(&link).filter(|l| !l.dead && l.open.contains(&to.other()))?;
        let direction = link.to.get_mut(&to)?;
        direction.last = direction.last.max(at);
        direction.queue.push_back((direction.last, message));
        Some(direction.last)
    }

    /// The message that has arrived at an end by now.
    pub fn receive(&mut self, link: u64, end: End, now: Millis) -> Option<Message> {
        let at = self.links.get(&link).filter(|l| l.open.contains(&end))?;
        if self.is_cut(at.child.0, at.parent.0, end) {
            return None;
        }
        let queue = &mut self.links.get_mut(&link)?.to.get_mut(&end)?.queue;
        queue.pop_front_if(|(at, _)| *at <= now).map(|(_, message)| message)
    }

    /// The link carries nothing any more; what was under way is lost.
    pub fn kill(&mut self, link: u64) {
        if let Some(link) = self.links.get_mut(&link) {
            link.dead = true;
            link.to.values_mut().for_each(|d| d.queue.clear());
        }
    }

    /// This end lets go of it. True if it had it open.
    pub fn close(&mut self, link: u64, end: End) -> bool {
        self.kill(link);
        let Some(entry) = self.links.get_mut(&link) else { return false };
        let was_open = entry.open.remove(&end);
        if entry.open.is_empty() {
            self.links.remove(&link);
        }
        was_open
    }

    /// Cuts; returns its number.
    pub fn cut(&mut self, cut: Cut) -> usize {
        self.next += 1;
        self.cuts.insert(self.next as usize, cut);
        self.next as usize
    }

    /// Mends a cut. Returns each link direction that has messages waiting, and how many.
    pub fn mend(&mut self, no: usize) -> Vec<(u64, End, usize)> {
        let Some(cut) = self.cuts.remove(&no) else { return Vec::new() };
        let here = self.links.iter().filter(|(_, l)| l.child.0 == cut.child && l.parent.0 == cut.parent);
        here.flat_map(|(no, l)| l.to.iter().map(|(end, d)| (*no, *end, d.queue.len()))).collect()
    }

    /// Every cut.
    pub fn cuts(&self) -> Vec<usize> {
        self.cuts.keys().copied().collect()
    }

    /// Whether messages to this end are held back.
    pub fn is_cut(&self, child: Place, parent: Place, to: End) -> bool {
        self.cuts.values().any(|c| c.child == child && c.parent == parent && c.to.contains(&to))
    }
}
