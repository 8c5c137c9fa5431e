//! What can happen, when, and to whom: the agenda of a simulation.
//!
//! Events at one moment happen in the order in which they were put on the agenda, so a seed gives one run.

use std::{cmp::Reverse, collections::BinaryHeap, fmt};

use relay_core::{ids::Epoch, owner::WriteError, time::Millis};

use crate::{
    leadership::{Call, Heard, Holder},
    watchers::Told,
};

/// A process of the fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A top master, by number.
    Top(usize),
    /// A syndic, by number.
    Syndic(usize),
    /// A minion, by number.
    Minion(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top(no) => write!(f, "top{no}"),
            Place::Syndic(no) => write!(f, "s{no}"),
            Place::Minion(no) => write!(f, "m{no}"),
        }
    }
}

/// An end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Who dialled.
    Child,
    /// Who accepted.
    Parent,
}

impl End {
    /// The other end.
    pub fn other(self) -> End {
        match self {
            End::Child => End::Parent,
            End::Parent => End::Child,
        }
    }
}

/// Something that happens to one process, in one of its lives. A paused process meets it when it goes on.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A link is open at this end.
    Opened(u64, End),
    /// A message has arrived at this end.
    Arrived(u64, End),
    /// This end learns that the link is gone.
    Broken(u64, End),
    /// Try to reach a parent.
    Dial,
    /// Leave this parent for another.
    Move,
    /// Time to call `tick`.
    Timer,
    /// The oldest write under way is done.
    Written,
    /// The minion learns that an execution is over.
    Finished(u64),
    /// An operator's request reaches the top master.
    Request(usize),
    /// An operator's cancel reaches the top master.
    Cancel(usize),
    /// An operator's approval reaches the top master.
    Approve(usize),
    /// Time to look after the lease and the leadership.
    Lease,
    /// What a call to the registry came to.
    Registry(u64, Heard),
    /// The registry shows who owns the fabric.
    Leader(Option<Holder>),
    /// The store was taken over under this epoch, and read.
    Begun(Epoch),
    /// A commit of this reign ended.
    Committed(Epoch, u64, Result<(), WriteError>),
    /// A commit of this reign could not be done, and is tried again.
    Stalled(Epoch),
}

/// An entry of the agenda.
#[derive(Debug, Clone)]
pub enum Event {
    /// To a process; void if that life is over by then.
    To(Place, u32, Happening),
    /// An execution on a minion's machine is over: the minion, the run's number, and whether a kill ended it.
    RunOver(usize, u64, bool),
    /// An operator looks whether an answer came, and tries again.
    Client(usize),
    /// The operator of a job that asks for approvals looks at it.
    Look(usize),
    /// The next fault.
    Fault,
    /// A cut between child and parent is mended.
    Mend(usize),
    /// A paused process goes on.
    Resume(Place, u32),
    /// A dead process is started again.
    Restart(Place, u32),
    /// A disk or the store works again.
    DiskMended(Place),
    /// A write of a former owner reaches the store.
    LateWrite(usize),
    /// A top master (in this life) asks for the store.
    Begin(usize, u32),
    /// The oldest commit under way of a top master's reign reaches the store.
    Commit(usize, Epoch),
    /// What a top master (in this life) asked the registry then, in its call of this number.
    AtRegistry(usize, u32, u64, Call, Millis),
    /// The registry looks for leases that are over.
    Expire,
    /// The registry can be reached again, by one top master or by all.
    RegistryMended(Option<usize>),
    /// The other top master is restarted as well, in order.
    Roll(usize),
    /// A watcher looks for somebody to tell it of its job.
    Watch(usize),
    /// A watcher's session: the store is read for it.
    WatchRead(usize, u32),
    /// A watcher's session: it is told something.
    Told(usize, u32, Told),
    /// Look whether everything is quiet.
    Poll,
}

struct Entry(Millis, u64, Event);

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// What is going to happen.
#[derive(Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

impl Agenda {
    /// Puts an event on the agenda.
    pub fn at(&mut self, when: Millis, event: Event) {
        self.count += 1;
        self.heap.push(Reverse(Entry(when, self.count, event)));
    }

    /// The next event.
    pub fn pop(&mut self) -> Option<(Millis, Event)> {
        self.heap.pop().map(|Reverse(Entry(when, _, event))| (when, event))
    }
}
