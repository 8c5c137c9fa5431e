//! What goes wrong: each seed has its own mix of faults, its own pace, and an hour at which everything is healed.
//!
//! A mix, because a run in which everything breaks all the time never gets far enough to break interestingly.

use relay_core::{
    ids::{Incarnation, RegionName},
    message::{LinkId, ReturnBatch, ReturnGroup, RosterEntry, RosterUpdate, Up},
    outcome::{Answer, Outcome, Reason},
    time::Millis,
};

use crate::{
    event::{End, Event, Happening, Place},
    leadership::{GRACE, TTL},
    network::Cut,
    random::Random,
    rest::Rest,
    sabotage::Sabotage,
    world::World,
};

/// A run has at least so many faults.
pub const FEWEST: u64 = 3;
/// Half of the longest time between two rolling restarts.
const ROLLING_PACE: Millis = 8_000;
/// Link numbers of impostors: beyond any that the network gives.
const IMPOSTORS: u64 = 1 << 40;
/// A year, in microseconds: how far a clock may jump.
const YEAR: i64 = 365 * 24 * 3_600 * 1_000_000;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A link breaks, both ends learn of it.
    Break,
    /// A link breaks, and one end or none learns of it.
    HalfOpen,
    /// Nothing gets through between two places, for a while.
    Cut,
    /// Nothing gets through in one direction, for a while.
    OneWay,
    /// A top master is killed.
    CrashTop,
    /// A syndic is killed.
    CrashSyndic,
    /// A minion is killed.
    CrashMinion,
    /// A machine with a minion is restarted.
    Reboot,
    /// A process stops for a while.
    Pause,
    /// A disk or the store can't be written, for a while.
    DiskFull,
    /// A minion's journal is lost.
    JournalLoss,
    /// A syndic's spool is lost.
    SpoolLoss,
    /// A journal or spool is compacted.
    Compact,
    /// A syndic of one region speaks for a minion of another.
    Impostor,
    /// A top master's wall clock jumps.
    Clock,
    /// The owner is stopped for so long that another takes over.
    PauseOwner,
    /// A top master, or everybody, can't reach the registry for a while.
    RegistryAway,
    /// A top master is restarted in order, and then the other.
    Rolling,
    /// A minion changes its parent.
    MoveMinion,
    /// A syndic changes its parent.
    MoveSyndic,
    /// Somebody has a syndic's key, and what it has heard.
    RedTeam,
}

impl Kind {
    const ALL: [Kind; 21] = [
        Kind::Break,
        Kind::HalfOpen,
        Kind::Cut,
        Kind::OneWay,
        Kind::CrashTop,
        Kind::CrashSyndic,
        Kind::CrashMinion,
        Kind::Reboot,
        Kind::Pause,
        Kind::DiskFull,
        Kind::JournalLoss,
        Kind::SpoolLoss,
        Kind::Compact,
        Kind::Impostor,
        Kind::Clock,
        Kind::PauseOwner,
        Kind::RegistryAway,
        Kind::Rolling,
        Kind::MoveMinion,
        Kind::MoveSyndic,
        Kind::RedTeam,
    ];
}

/// The faults of one run.
#[derive(Debug, Clone)]
pub struct Faults {
    /// They go on.
    pub active: bool,
    /// When everything is healed.
    pub until: Millis,
    /// How often something was made to go wrong.
    pub struck: u64,
    /// How far the run has come to rest.
    pub rest: Rest,
    /// On whose behalf an impostor speaks now.
    pub impostor_region: Option<RegionName>,
    impostors: u64,
    kinds: Vec<Kind>,
    pace: u64,
    /// A process dies between two effects once in so many; 0: never.
    mid_crash: u64,
}

impl Faults {
    /// The mix of a seed.
    pub fn draw(random: &mut Random, until: Millis) -> Faults {
        let mut kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|_| random.once_in(2)).collect();
        kinds.extend([Kind::Break, Kind::Compact]);
        let mid_crash = if random.once_in(2) { random.between(100, 1_500) } else { 0 };
        let pace = random.between(300, 2_500);
        Faults {
            active: true,
            until,
            struck: 0,
            rest: Rest::default(),
            impostor_region: None,
            impostors: 0,
            kinds,
            pace,
            mid_crash,
        }
    }
}

impl Faults {
    /// Whether somebody has a syndic's key.
    pub fn red_team(&self) -> bool {
        self.kinds.contains(&Kind::RedTeam)
    }

    /// Nothing else goes wrong, and not too often.
    pub fn only(&mut self, kind: Kind) {
        (self.kinds, self.pace, self.mid_crash) = (vec![kind], ROLLING_PACE, 0);
    }
}

impl World {
    /// Whether a process dies here, between two effects of one turn. If so, it has died.
    pub fn crashes_now(&mut self, place: Place) -> bool {
        let rate = self.faults.mid_crash;
        let dies = self.faults.active && rate > 0 && self.random.once_in(rate);
        if dies {
            self.crash(place, false);
        }
        dies
    }

    /// The next fault, or the end of all.
    pub fn fault(&mut self) {
        if self.now >= self.faults.until && self.faults.struck >= FEWEST {
            self.heal();
            return;
        }
        let kinds = self.faults.kinds.clone();
        let kind = self.random.pick(&kinds);
        self.strike(kind);
        let wait = self.random.between(1, 2 * self.faults.pace);
        self.agenda.at(self.now + wait, Event::Fault);
    }

    fn strike(&mut self, kind: Kind) {
        self.say(|| format!("FAULT {kind:?}"));
        self.faults.struck += 1;
        let top = self.some_top();
        let minion = self.random.below(self.minions.len());
        let syndic = self.random.below(self.syndics.len());
        match kind {
            Kind::Break => self.break_one(&[End::Child, End::Parent]),
            Kind::HalfOpen => {
                let told: &[End] = self.random.pick(&[&[], &[End::Child] as &[End], &[End::Parent]]);
                self.break_one(told);
            }
            Kind::Cut => self.cut_one(vec![End::Child, End::Parent]),
            Kind::OneWay => {
                let to = self.random.pick(&[End::Child, End::Parent]);
                self.cut_one(vec![to]);
            }
            Kind::CrashTop => self.crash(Place::Top(top), false),
            Kind::CrashSyndic => self.crash(Place::Syndic(syndic), false),
            Kind::CrashMinion => self.crash(Place::Minion(minion), false),
            Kind::Reboot => self.crash(Place::Minion(minion), true),
            Kind::Pause => self.pause_one(),
            Kind::DiskFull => self.fill_one(),
            Kind::JournalLoss => self.lose_journal(minion),
            Kind::SpoolLoss => self.lose_spool(syndic),
            Kind::Compact => self.compact(minion, syndic),
            Kind::Impostor => self.impostor(minion),
            Kind::Clock => {
                // Minions refuse the jobs of an owner whose clock is far off: that is tried, but not most of the time.
                let far = self.random.once_in(4);
                let jump = self.random.pick(if far { &[YEAR, -YEAR] } else { &[0, 3_000_000, -3_000_000] });
                self.skew[self.random.below(2)] = jump;
            }
            Kind::PauseOwner => {
                let lasts = self.random.between(TTL + GRACE, 4 * TTL);
                self.pause(Place::Top(top), lasts);
            }
            Kind::RegistryAway => {
                let whom = (!self.random.once_in(3)).then_some(top);
                let lasts = self.random.between(500, 5 * TTL);
                self.lose_registry(whom, lasts);
            }
            Kind::Rolling => self.roll(top),
            Kind::MoveMinion => self.later(Place::Minion(minion), 0, Happening::Move),
            Kind::RedTeam => self.attack(),
            Kind::MoveSyndic => self.later(Place::Syndic(syndic), 0, Happening::Move),
        }
    }

    /// The owner three times of four, otherwise the other.
    fn some_top(&mut self) -> usize {
        let (any, owner) = (self.random.below(2), !self.random.once_in(4));
        self.ruler().filter(|_| owner).unwrap_or(any)
    }

    /// A top master is restarted in order, and soon after the other.
    fn roll(&mut self, top: usize) {
        self.stop_top(top);
        let wait = self.random.between(1_000, 10_000);
        self.agenda.at(self.now + wait, Event::Roll(1 - top));
    }

    fn any_place(&mut self) -> Place {
        match self.random.below(4) {
            0 => Place::Top(self.some_top()),
            1 => Place::Syndic(self.random.below(self.syndics.len())),
            _ => Place::Minion(self.random.below(self.minions.len())),
        }
    }

    fn break_one(&mut self, told: &[End]) {
        let links: Vec<u64> = self.net.open_links().filter(|(_, l)| !l.is_dead()).map(|(no, _)| no).collect();
        // Half the time one of the few links to the top: they matter most.
        let top: Vec<u64> = links
            .iter()
            .copied()
            .filter(|no| self.net.get(*no).is_some_and(|l| matches!(l.parent.0, Place::Top(_))))
            .collect();
        let from = if self.random.once_in(2) && !top.is_empty() { top } else { links };
        if !from.is_empty() {
            let link = self.random.pick(&from);
            self.say(|| format!("link {link} breaks, told: {told:?}"));
            self.sever(link, told);
        }
    }

    fn cut_one(&mut self, to: Vec<End>) {
        let (child, parent) = match self.random.below(2) {
            0 => {
                let syndic = self.random.below(self.syndics.len());
                let parents = self.syndics[syndic].parents.clone();
                (Place::Syndic(syndic), self.random.pick(&parents))
            }
            _ => {
                let minion = self.random.below(self.minions.len());
                let parents = self.minions[minion].parents.clone();
                (Place::Minion(minion), Place::Syndic(self.random.pick(&parents)))
            }
        };
        let lasts = self.random.between(500, 15_000);
        self.say(|| format!("cut {child} - {parent}, to {to:?}, for {lasts}"));
        let cut = self.net.cut(Cut { child, parent, to });
        self.agenda.at(self.now + lasts, Event::Mend(cut));
    }

    fn pause_one(&mut self) {
        let place = self.any_place();
        let lasts = self.random.between(300, 15_000);
        self.pause(place, lasts);
    }

    fn pause(&mut self, place: Place, lasts: Millis) {
        let process = self.process(place);
        if !process.up || process.paused {
            return;
        }
        process.paused = true;
        let life = process.life;
        self.say(|| format!("{place} stops for {lasts}"));
        self.agenda.at(self.now + lasts, Event::Resume(place, life));
        if matches!(place, Place::Top(_)) {
            self.postpone(lasts);
        }
    }

    fn fill_one(&mut self) {
        let place = self.any_place();
        let longest = if self.random.once_in(4) { 40_000 } else { 6_000 };
        let lasts = self.random.between(300, longest);
        self.say(|| format!("the disk of {place} can't be written for {lasts}"));
        self.set_failing(place, true);
        self.agenda.at(self.now + lasts, Event::DiskMended(place));
        if matches!(place, Place::Top(_)) {
            self.postpone(lasts + 1_000);
        }
    }

    fn set_failing(&mut self, place: Place, failing: bool) {
        match place {
            Place::Top(no) => self.tops[no].store_away = failing,
            Place::Syndic(no) => self.syndics[no].spool.failing = failing,
            Place::Minion(no) => self.minions[no].journal.failing = failing,
        }
    }

    /// A disk works again.
    pub fn mend_disk(&mut self, place: Place) {
        self.set_failing(place, false);
    }

    /// A syndic of another region attaches with this minion in its roster, and answers for it.
    fn impostor(&mut self, minion: usize) {
        let home = self.minions[minion].region.clone();
        let Some(region) = self.syndics.iter().map(|s| s.region.clone()).find(|r| *r != home) else { return };
        let Some(top) = self.ruler().filter(|top| !self.tops[*top].process.paused) else { return };
        // Of a minion that the top master has never seen it can't know the region: that is for its certificate to say.
        let known = self.owner().and_then(|owner| owner.inventory().no_of(self.minions[minion].id.as_str()));
        if known.is_none() {
            return;
        }
        self.faults.impostors += 1;
        let link = LinkId(IMPOSTORS + self.faults.impostors);
        let Ok(id) = format!("impostor-{}", self.faults.impostors).parse() else { return };
        let claimed = if self.sabotage == Sabotage::TrustRegion { home } else { region.clone() };
        let (now, wall) = (self.now, self.wall(top));
        if let Some(reign) = &mut self.tops[top].reign {
            reign.owner.syndic_up(now, link, id, claimed, Incarnation(link.0));
        }
        let (no, up, since, grains) = (0, true, 0, "{}".into());
        let (id, incarnation) =
            (self.minions[minion].id.clone(), Incarnation(self.minions[minion].incarnation));
        let entries = vec![RosterEntry { no, id, incarnation, up, since, grains }];
        self.faults.impostor_region = Some(region);
        self.heard_from(top, link, Up::Roster(RosterUpdate::Full { version: 1, entries }));
        let answer =
            std::sync::Arc::new(Answer { retcode: 66, ..Answer::bare(Outcome::Failed, Reason::None) });
        let group = |jid| ReturnGroup { jid, answer: answer.clone(), members: [0].into_iter().collect() };
        let groups = self.store.open().map(|head| group(head.job.jid)).collect();
        self.heard_from(top, link, Up::Returns(ReturnBatch { seq: 1, groups }));
        self.faults.impostor_region = None;
        if let Some(reign) = &mut self.tops[top].reign {
            reign.owner.syndic_down(wall, link);
        }
        self.later(Place::Top(top), 0, Happening::Timer);
    }

    /// Everything is healed; from here on the fabric must come to rest.
    fn heal(&mut self) {
        self.say(|| "HEALED".into());
        self.faults.active = false;
        self.skew = [0; 2];
        (self.registry.down, self.registry.cut) = (false, [false; 2]);
        self.net.cuts().into_iter().for_each(|cut| self.mend(cut));
        let minions = (0..self.minions.len()).map(Place::Minion);
        let syndics = (0..self.syndics.len()).map(Place::Syndic);
        for place in [0, 1].map(Place::Top).into_iter().chain(syndics).chain(minions) {
            self.set_failing(place, false);
            let life = self.process(place).life;
            self.resume(place, life);
            self.restart(place, life);
        }
        self.agenda.at(self.now + 1_000, Event::Poll);
    }
}
