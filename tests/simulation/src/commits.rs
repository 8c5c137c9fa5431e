//! An owner's commits on their way to the store, and by when jobs must be closed there.

use relay_core::{
    ids::{Epoch, Jid},
    invariants::Observation,
    owner::{Write, WriteError},
    time::Millis,
};

use crate::{
    disk::{Done, Pending},
    event::{Event, Happening, Place},
    sabotage::Sabotage,
    world::World,
};

/// Over the bound of I6: the owner looks at its deadlines once a second, and a commit takes its time.
const SLACK: Millis = 4_000;

impl World {
    /// The owner asks for a commit.
    pub(crate) fn persist(&mut self, top: usize, ticket: u64, writes: Vec<Write>, may_fail: bool) {
        let (now, sabotage) = (self.now, self.sabotage);
        let at = now + self.disk_delay();
        let Some(reign) = &mut self.tops[top].reign else { return };
        let at = reign.commits.write(Pending { ticket, records: writes, may_fail }, at);
        self.agenda.at(at, Event::Commit(top, reign.epoch));
        let outcomes = !may_fail && sabotage == Sabotage::AckUncommitted;
        if outcomes || sabotage == Sabotage::ShowUncommitted {
            reign.owner.persisted(now, ticket, Ok(()));
        }
    }

    /// The oldest commit of a reign reaches the store, which stands outside: it is done even if the process is stopped.
    pub fn reach_store(&mut self, top: usize, epoch: Epoch) {
        let away = self.tops[top].store_away;
        let Some(reign) = self.tops[top].reign.as_mut().filter(|reign| reign.epoch == epoch) else { return };
        reign.commits.failing = away;
        let (ticket, result) = match reign.commits.written() {
            Done::Durable(ticket, writes) => {
                reign.commits.durable.clear();
                (ticket, self.commit(epoch, &writes))
            }
            Done::Failed(ticket) => (ticket, Err(WriteError::Failed("simulated".into()))),
            Done::Retry => {
                self.agenda.at(self.now + 300, Event::Commit(top, epoch));
                return self.later(Place::Top(top), 1, Happening::Stalled(epoch));
            }
            Done::Nothing => return,
        };
        let wait = self.random.between(0, 5);
        self.later(Place::Top(top), wait, Happening::Committed(epoch, ticket, result));
    }

    pub(crate) fn committed(
        &mut self,
        top: usize,
        epoch: Epoch,
        ticket: u64,
        result: Result<(), WriteError>,
    ) {
        let (now, sabotage) = (self.now, self.sabotage);
        let Some(reign) = self.tops[top].reign.as_mut().filter(|reign| reign.epoch == epoch) else { return };
        let works = !matches!(result, Err(WriteError::Failed(_)));
        if works && std::mem::take(&mut reign.stalled) {
            reign.owner.set_stalled(None);
        }
        let fenced = result == Err(WriteError::Fenced);
        if fenced && sabotage == Sabotage::IgnoreFence {
            return reign.owner.persisted(now, ticket, Ok(()));
        }
        // Sabotaged, it was told long ago; of what it was not told it knows no ticket any more.
        if sabotage != Sabotage::ShowUncommitted {
            reign.owner.persisted(now, ticket, result);
        }
        if fenced {
            self.coverage.add("fenced", 1);
            self.turn_top(top);
            self.step_down(top, "the store is another's");
        }
    }

    /// A transaction at the store.
    pub fn commit(&mut self, epoch: Epoch, writes: &[Write]) -> Result<(), WriteError> {
        let seen = self.store.commit(self.now, epoch, writes)?;
        for observation in seen {
            if let Observation::Recorded { jid, .. } = &observation {
                let jid = *jid;
                self.note(observation);
                self.limit(jid);
                self.due(jid);
            } else {
                self.note(observation);
            }
        }
        Ok(())
    }

    /// Sets the bound of I6 for a job that was accepted, or taken over, now.
    pub fn due(&mut self, jid: Jid) {
        if let Some(bound) = self.bound(jid) {
            let due = self.now + bound + SLACK;
            self.due.insert(jid, due);
            self.trace.note(Observation::Due(jid, due));
        }
    }

    /// Until when the last of the open jobs may be; `None` if none is.
    pub fn last_due(&self) -> Option<Millis> {
        let open = self.store.open().filter_map(|head| self.due.get(&head.job.jid));
        open.copied().max()
    }

    /// The owner can't act, or the store can't be written, for so long: its jobs may close that much later.
    pub fn postpone(&mut self, by: Millis) {
        let open: Vec<Jid> = self.store.open().map(|head| head.job.jid).collect();
        for jid in open {
            if let Some(due) = self.due.get_mut(&jid) {
                *due += by;
                self.trace.note(Observation::Due(jid, *due));
            }
        }
    }
}
