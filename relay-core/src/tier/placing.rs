//! Which members of a job go over which link, in how few messages, and with which proofs.

use std::collections::BTreeMap;

use super::{DIRECT, Provable, Sending, Tier, Work};
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
        let Tier { works, links, seats, up, trees, .. } = self;
        let mut placement = Placement::default();
        let Some(work) = works.get_mut(&jid) else { return placement };
        let job = work.job.clone();
        if job.is_none() && !work.cancelled {
            return placement;
        }
        let open = &(work.ledger.unsent() | work.ledger.in_flight()) | work.ledger.unknown();
        let mut todo = &open & &(among & &*up);
        if work.cancelled {
            todo -= work.ledger.unsent() - &work.tainted;
        }
        if todo.is_empty() {
            return placement;
        }
        let signed = job.as_ref().is_some_and(|job| job.targets.is_some());
        let provable = trees.get(jid);
        let mut routes: BTreeMap<Route, Lot> = BTreeMap::new();
        let mut marks: BTreeMap<Incarnation, Members> = BTreeMap::new();
        let mut placed = Members::new();
        for member in &todo {
            let Some(&(link, no)) = seats.get(&member) else { continue };
            let Some(child) = links.get(&link) else { continue };
            // A minion's cancel goes without the job, and what is not signed (of a former version) has no tree.
            let bare = !signed || work.cancelled && child.via == DIRECT;
            let shown = provable.as_ref().and_then(|provable| provable.place_of(member));
            let Some(place) = shown.or(bare.then_some(0)) else { continue };
            placed.insert(member);
            let here = work.sent_via.get(&child.via).is_some_and(|m| m.contains(member));
            if !here && !work.ledger.unsent().contains(member) {
                work.tainted.insert(member);
            }
            if !(here || work.cancelled && child.via == DIRECT) {
                marks.entry(child.via).or_default().insert(member);
            }
            let left = work.deadlines.of(member).saturating_sub(now);
            let reoffer = left == 0 || work.cancelled || work.tainted.contains(member);
            let over = work.cancelled || work.stopped.contains(member);
            let shared = (child.via != DIRECT).then_some(link);
            let within = if over { 0 } else { left };
            let route = routes.entry(Route { shared, reoffer, within }).or_default();
            if shared.is_none() || route.links.is_empty() {
                route.links.push(link);
            }
            route.members.push((no, place));
        }
        for (via, members) in marks {
            *work.sent_via.entry(via).or_default() |= &members;
            placement.marks.push(SendMark { jid, via, members });
        }
        work.ledger.sent(&placed);
        let provable = provable.filter(|_| signed);
        placement.sendings =
            routes.into_iter().flat_map(|(route, lot)| messages(jid, work, provable, route, lot)).collect();
        placement
    }
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
        messages.push(Sending::new(links, Down::Cancel { jid, epoch: work.epoch }));
    }
    messages
}
