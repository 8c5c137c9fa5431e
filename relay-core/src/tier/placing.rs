//! Which members of a job go over which link, in how few messages, and with which proofs.

use std::collections::BTreeMap;

use super::{DIRECT, Provable, Sending, Tier, Work, numbers::set_of};
use crate::{
    Members,
    ids::{Incarnation, Jid},
    merkle::Proof,
    message::{Dispatch, Down, LinkId},
    time::Millis,
};

/// "Send begun": what must be durable before a placement's messages leave.
#[derive(Debug, Clone, PartialEq)]
pub struct SendMark {
    /// The job.
    pub jid: Jid,
    /// The path.
    pub via: Incarnation,
    /// Who, in local numbers.
    pub members: Members,
}

/// What one message can say of all its members.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    /// The link of a tier below; nothing for minions' own links, which share a message.
    shared: Option<LinkId>,
    reoffer: bool,
    /// What is left of the delivery window.
    within: Millis,
}

/// Those of one route.
#[derive(Debug, Default)]
struct Lot {
    links: Vec<LinkId>,
    /// Numbers at the child, and the places of their leaves.
    members: Vec<(u32, u32)>,
}

/// One who can be sent something.
#[derive(Debug, Clone, Copy)]
struct Reached {
    member: u32,
    link: LinkId,
    no: u32,
    place: u32,
}

/// The path by which somebody is reached, and the link that all on it share, if they do.
type Path = (Incarnation, Option<LinkId>);

/// Who goes where.
#[derive(Debug, Default)]
struct Routed {
    marks: Vec<SendMark>,
    routes: BTreeMap<Route, Lot>,
}

/// What [`Tier::place`] decided.
#[derive(Debug, Default)]
pub struct Placement {
    /// Durable first,
    pub marks: Vec<SendMark>,
    /// then these may leave.
    pub sendings: Vec<Sending>,
}

impl Tier {
    /// Decides what to send for a job to those `among` its open members who are reachable, and writes it into the work.
    ///
    /// First sends go to the unsent; members in flight (and `unknown` ones) are offered again, which a minion's
    /// journal makes harmless. A member that had it by another path is tainted from then on.
    ///
    /// Of a cancelled job the minions in flight are sent the cancel, which asks their journals too. A syndic is sent the
    /// job first, with no time left to start it: the syndic may not know it (its spool was lost, or the first dispatch
    /// was), and a cancel names no members.
    ///
    /// Nobody is sent a job of whom it cannot be shown here that he is one of its targets.
    pub fn place(&mut self, now: Millis, jid: Jid, among: &Members) -> Placement {
        let Routed { marks, routes } = self.route(now, jid, among);
        let Some(work) = self.works.get(&jid) else { return Placement::default() };
        let signed = work.job.as_ref().is_some_and(|job| job.targets.is_some());
        let provable = self.trees.get(jid).filter(|_| signed);
        let sendings = routes.into_iter().flat_map(|(route, lot)| messages(jid, work, provable, route, lot));
        Placement { marks, sendings: sendings.collect() }
    }

    /// The same without the messages: they are made by another [`Tier::place`], when the marks are durable.
    pub fn mark(&mut self, now: Millis, jid: Jid, among: &Members) -> Vec<SendMark> {
        self.route(now, jid, among).marks
    }

    fn route(&mut self, now: Millis, jid: Jid, among: &Members) -> Routed {
        let mut routed = Routed::default();
        let paths = self.paths(jid, &self.sendable(jid, among));
        let Some(work) = self.works.get_mut(&jid) else { return routed };
        let mut marks: BTreeMap<Incarnation, Members> = BTreeMap::new();
        for ((via, shared), reached) in paths {
            let members = set_of(reached.iter().map(|to| to.member));
            let fresh = work.sent_via.get(&via).map_or_else(|| members.clone(), |here| &members - here);
            work.tainted |= &fresh - work.ledger.unsent();
            if !(fresh.is_empty() || work.cancelled && via == DIRECT) {
                *marks.entry(via).or_default() |= fresh;
            }
            work.ledger.sent(&members);
            for (reoffer, within, part) in offers(now, work, &members) {
                let lot = routed.routes.entry(Route { shared, reoffer, within }).or_default();
                let all = part.len() == members.len();
                lot.add(shared, reached.iter().filter(|to| all || part.contains(to.member)));
            }
        }
        for (via, members) in marks {
            *work.sent_via.entry(via).or_default() |= &members;
            routed.marks.push(SendMark { jid, via, members });
        }
        routed
    }

    /// Those among some to whom there is something to say of a job.
    fn sendable(&self, jid: Jid, among: &Members) -> Members {
        let Some(work) = self.works.get(&jid).filter(|work| work.job.is_some() || work.cancelled) else {
            return Members::new();
        };
        let open = &(work.ledger.unsent() | work.ledger.in_flight()) | work.ledger.unknown();
        let mut todo = &open & &(among & &self.up);
        if work.cancelled {
            todo -= work.ledger.unsent() - &work.tainted;
        }
        todo
    }

    /// Those of whom it can be shown that they are targets, by the path on which each is reached.
    fn paths(&mut self, jid: Jid, todo: &Members) -> BTreeMap<Path, Vec<Reached>> {
        let Tier { works, links, seats, trees, .. } = self;
        let mut paths: BTreeMap<Path, Vec<Reached>> = BTreeMap::new();
        let Some(work) = works.get(&jid).filter(|_| !todo.is_empty()) else { return paths };
        let signed = work.job.as_ref().is_some_and(|job| job.targets.is_some());
        let provable = trees.get(jid);
        // Neighbours mostly have the same path: it is looked up once for all of them.
        let (mut path, mut run): (Option<(LinkId, Path)>, Vec<Reached>) = (None, Vec::new());
        for member in todo {
            let Some((link, no)) = seats.get(member) else { continue };
            if path.is_none_or(|(last, _)| last != link) {
                path.into_iter().for_each(|(_, path)| paths.entry(path).or_default().append(&mut run));
                let via = links.get(&link).map(|child| child.via);
                path = via.map(|via| (link, (via, (via != DIRECT).then_some(link))));
            }
            let Some((_, (via, _))) = path else { continue };
            // A minion's cancel goes without the job, and what is not signed (of a former version) has no tree.
            let bare = !signed || work.cancelled && via == DIRECT;
            let shown = provable.and_then(|provable| provable.place_of(member));
            let Some(place) = shown.or(bare.then_some(0)) else { continue };
            run.push(Reached { member, link, no, place });
        }
        path.into_iter().for_each(|(_, path)| paths.entry(path).or_default().append(&mut run));
        paths.retain(|_, reached| !reached.is_empty());
        paths
    }
}

impl Lot {
    fn add<'a>(&mut self, shared: Option<LinkId>, reached: impl Iterator<Item = &'a Reached>) {
        if self.links.is_empty() {
            self.links.extend(shared);
        }
        for to in reached {
            if shared.is_none() {
                self.links.push(to.link);
            }
            self.members.push((to.no, to.place));
        }
    }
}

/// What members are told together: whether it may be known there, what is left of the delivery window, and who.
fn offers(now: Millis, work: &Work, members: &Members) -> Vec<(bool, Millis, Members)> {
    let mut offers = Vec::new();
    for (deadline, part) in work.deadlines.split(members) {
        let left = deadline.saturating_sub(now);
        let again = if left == 0 || work.cancelled { part.clone() } else { &part & &work.tainted };
        let over = if work.cancelled { part.clone() } else { &part & &work.stopped };
        let fresh = &part - &again;
        offers.push((true, 0, &again & &over));
        offers.push((true, left, again - &over));
        offers.push((false, 0, &fresh & &over));
        offers.push((false, left, fresh - over));
    }
    offers.retain(|(.., part)| !part.is_empty());
    offers
}

/// What goes over the links of one route.
fn messages(jid: Jid, work: &Work, provable: Option<&Provable>, route: Route, lot: Lot) -> Vec<Sending> {
    let (Route { shared, reoffer, within }, Lot { links, mut members }) = (route, lot);
    let mut messages = Vec::new();
    if let Some(job) = work.job.clone().filter(|_| shared.is_some() || !work.cancelled) {
        let prove = |places| provable.map(|provable| provable.prove(places)).unwrap_or_default();
        let places = |members: &[(u32, u32)]| members.iter().map(|(_, place)| *place).collect::<Vec<u32>>();
        let (proof, proofs) = match shared {
            Some(_) => {
                // As the members are named: ascending.
                members.sort_unstable();
                (prove(places(&members)), Vec::new())
            }
            None => {
                (Proof::default(), places(&members).into_iter().map(|place| prove(vec![place])).collect())
            }
        };
        let members = members.iter().map(|(no, _)| *no).collect();
        let (epoch, flaw) = (work.epoch, None);
        let dispatch = Dispatch { job, epoch, members, proof, reoffer, deliver_within: within, flaw };
        messages.push(Sending { links: links.clone(), down: Down::Dispatch(dispatch), proofs });
    }
    if work.cancelled {
        let (epoch, seal) = (work.epoch, work.seal.clone());
        messages.push(Sending::new(links, Down::Cancel { jid, epoch, seal }));
    }
    messages
}
