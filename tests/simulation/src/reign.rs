//! How a top master's reign begins and ends: what it recovers, whom it lets go, and what of its writes still lands.

use std::collections::BTreeMap;

use relay_core::{
    ids::Epoch,
    owner::{Owner, WriteError},
};

use crate::{
    disk::Disk,
    event::{End, Event, Place},
    leadership::Seat,
    network::Link,
    top::{Reign, rule},
    world::World,
};

impl World {
    /// The store is ours: what it holds is gone on with.
    pub(crate) fn begun(&mut self, top: usize, epoch: Epoch) {
        let (now, wall) = (self.now, self.wall(top));
        self.tops[top].beginning = false;
        let Some((begun, inventory, stored)) = self.tops[top].begun.take() else { return };
        if begun != epoch {
            return;
        }
        self.say(|| format!("top{top} owns: epoch {}, {} jobs to go on with", epoch.0, stored.len()));
        let owner = Owner::recover(rule(epoch, self.batches.clone()), now, wall, inventory, stored);
        let (commits, known) = (Disk::default(), BTreeMap::new());
        self.tops[top].reign = Some(Reign { epoch, owner, commits, known, stalled: false });
    }

    /// A reign is over while the process lives: it becomes a standby, and lets go of all who hang on it.
    pub fn step_down(&mut self, top: usize, why: &'static str) {
        self.say(|| format!("top{top} steps down: {why}"));
        self.coverage.add("stepped down", 1);
        self.end_reign(top);
        self.term_ended(top);
        let here = |l: &Link| l.is_open(End::Parent) && l.parent.0 == Place::Top(top);
        let links: Vec<u64> = self.net.open_links().filter(|(_, l)| here(l)).map(|(no, _)| no).collect();
        for link in links {
            self.hang_up(link, End::Parent);
        }
    }

    /// What it was writing makes it, or arrives late, or is lost.
    pub fn end_reign(&mut self, top: usize) {
        self.tops[top].begun = None;
        self.tops[top].beginning = false;
        self.leave_watchers(top);
        let Some(mut reign) = self.tops[top].reign.take() else { return };
        let (made_it, lost) = reign.commits.crash(&mut self.random);
        for pending in made_it {
            // Nobody is told whether it was taken.
            drop(self.commit(reign.epoch, &pending.records));
        }
        if self.random.once_in(2) {
            let wait = self.random.between(1, 15_000);
            for pending in lost {
                self.agenda.at(self.now + wait, Event::LateWrite(self.late.len()));
                self.late.push((reign.epoch, pending.records));
            }
        }
    }

    /// A write of a former owner reaches the store.
    pub fn late_write(&mut self, no: usize) {
        let (epoch, writes) = std::mem::take(&mut self.late[no]);
        if !writes.is_empty() {
            let result = self.commit(epoch, &writes);
            self.coverage.add("late write refused", u64::from(result == Err(WriteError::Fenced)));
            self.say(|| format!("a late write of a former owner: {result:?}"));
        }
    }

    /// A top master is started: it stands for the fabric.
    pub fn start_top(&mut self, top: usize) {
        (self.tops[top].beginning, self.tops[top].seat) = (false, Seat::new(self.now));
        self.look_at_tenure(top, 1);
    }
}
