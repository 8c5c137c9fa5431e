//! Between the generated link messages and [`relay_core::message`].
//!
//! Outwards cannot fail. Inwards everything is checked: ids, sizes, that a bitmap stays within a roster.

use std::{collections::HashMap, sync::Arc};

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, Jid, MinionId},
    members::encode,
    message::{
        Dispatch, Down, ReturnBatch, ReturnGroup, RosterChange, RosterEntry, RosterUpdate, Running, Up,
    },
    outcome::{Answer, MAX_BODY_BYTES, Outcome, Reason},
    roster::MAX_ROSTER,
};

use crate::{
    cancel::MAX_SEAL_BYTES,
    envelope::{self, MAX_ENVELOPE_BYTES},
    error::WireError,
    link,
};

/// Most groups in one return batch, and most running jobs in one heartbeat: far above what a peer of ours sends.
pub const MAX_REPEATED: usize = 65_536;
/// Largest encoded set of roster numbers: every number of the largest roster, as plain bitmaps of 65,536 numbers each, and headers.
const MAX_MEMBERS_BYTES: usize = MAX_ROSTER.div_ceil(1 << 16) as usize * (8 << 10) + 4_096;

/// Most minions that one message may mention over all of its jobs: each has a few at a time, so this is far above what the largest
/// roster can say. Without it, a message of a megabyte could name all numbers for each of 65,536 jobs.
const MAX_MENTIONS: u64 = 20 * MAX_ROSTER as u64;

/// Refuses what mentions more than [`MAX_MENTIONS`].
fn few<'a>(field: &'static str, sets: impl Iterator<Item = &'a Members>) -> Result<(), WireError> {
    let mentions: u64 = sets.map(Members::len).sum();
    match mentions <= MAX_MENTIONS {
        true => Ok(()),
        false => {
            Err(WireError::field(field, format!("{mentions} mentions of minions, at most {MAX_MENTIONS}")))
        }
    }
}

/// Numbers for the wire. The set {0}, a minion's roster of one, is written as nothing.
pub fn members_out(members: &Members) -> Vec<u8> {
    if members.len() == 1 && members.contains(0) {
        return Vec::new();
    }
    encode(members)
}

/// Numbers from the wire.
pub fn members_in(bytes: &[u8]) -> Result<Members, WireError> {
    let bad = |why: &dyn std::fmt::Display| WireError::field("members", why);
    if bytes.is_empty() {
        return Ok(Members::from_iter([0]));
    }
    if bytes.len() > MAX_MEMBERS_BYTES {
        return Err(bad(&format!("{} bytes, at most {MAX_MEMBERS_BYTES}", bytes.len())));
    }
    let members = Members::deserialize_from(bytes).map_err(|e| bad(&e))?;
    match members.max() {
        Some(max) if max >= MAX_ROSTER => {
            Err(bad(&format!("number {max}, a roster has at most {MAX_ROSTER}")))
        }
        // Ranges stay ranges: as anything else a few bytes would take 25 KiB.
        _ => Ok(members),
    }
}

/// A 32-byte hash from the wire.
fn hash_in(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    bytes.try_into().map_err(|_| WireError::field(field, format!("{} bytes, not 32", bytes.len())))
}

fn bounded<T>(field: &'static str, list: &[T]) -> Result<(), WireError> {
    if list.len() > MAX_REPEATED {
        return Err(WireError::field(field, format!("{} entries, at most {MAX_REPEATED}", list.len())));
    }
    Ok(())
}

// ---- up ----

/// A message to a parent.
pub fn up_out(up: &Up) -> link::Up {
    use link::up::Message;
    let message = match up {
        Up::Roster(update) => Message::Roster(roster_out(update)),
        Up::Heartbeat(running) => Message::Heartbeat(link::Heartbeat {
            running: running
                .iter()
                .map(|r| link::Running { jid: r.jid.micros(), members: members_out(&r.members) })
                .collect(),
        }),
        Up::Returns(batch) => Message::Returns(returns_out(batch)),
        Up::Suspicions(list) => Message::Suspicions(suspicions_out(list)),
    };
    link::Up { message: Some(message) }
}

/// A message from a child. `Hello` and `Fragment` belong to the link layer and are no core messages.
pub fn up_in(up: link::Up) -> Result<Up, WireError> {
    use link::up::Message;
    match up.message {
        Some(Message::Roster(roster)) => Ok(Up::Roster(roster_in(roster)?)),
        Some(Message::Heartbeat(heartbeat)) => {
            bounded("running", &heartbeat.running)?;
            let one = |r: link::Running| {
                Ok(Running { jid: Jid::from_micros(r.jid), members: members_in(&r.members)? })
            };
            let running: Vec<Running> = heartbeat.running.into_iter().map(one).collect::<Result<_, _>>()?;
            few("running", running.iter().map(|r| &r.members))?;
            Ok(Up::Heartbeat(running))
        }
        Some(Message::Returns(returns)) => Ok(Up::Returns(returns_in(returns)?)),
        Some(Message::Suspicions(list)) => Ok(Up::Suspicions(suspicions_in(list)?)),
        Some(Message::Hello(_) | Message::Fragment(_)) | None => Err(WireError::Empty),
    }
}

/// A return batch for the wire or the spool.
pub fn returns_out(batch: &ReturnBatch) -> link::Returns {
    link::Returns { seq: batch.seq, groups: batch.groups.iter().map(group_out).collect() }
}

/// A return batch from the wire or the spool.
pub fn returns_in(returns: link::Returns) -> Result<ReturnBatch, WireError> {
    bounded("groups", &returns.groups)?;
    let groups: Vec<ReturnGroup> = returns.groups.into_iter().map(group_in).collect::<Result<_, _>>()?;
    few("groups", groups.iter().map(|g| &g.members))?;
    Ok(ReturnBatch { seq: returns.seq, groups })
}

/// One folded answer for the wire.
pub fn group_out(group: &ReturnGroup) -> link::ReturnGroup {
    let answer = &group.answer;
    link::ReturnGroup {
        jid: group.jid.micros(),
        outcome: outcome_out(answer.outcome).into(),
        reason: answer.reason.word().into(),
        retcode: answer.retcode,
        body: answer.body.clone(),
        truncated: answer.truncated.map(Vec::from).unwrap_or_default(),
        by_tier: answer.by_tier,
        members: members_out(&group.members),
        same_body: 0,
    }
}

/// One folded answer from the wire or a file, its body in full: a link that remembers bodies has put it in its place before.
pub fn group_in(group: link::ReturnGroup) -> Result<ReturnGroup, WireError> {
    if group.same_body != 0 {
        let why =
            format!("stands for body {} of a connection, and here none are remembered", group.same_body);
        return Err(WireError::field("same_body", why));
    }
    let outcome = outcome_in(group.outcome())?;
    let reason = Reason::from_word(&group.reason);
    let reason = reason.ok_or_else(|| WireError::field("reason", short(&group.reason)))?;
    if group.body.len() > MAX_BODY_BYTES {
        return Err(WireError::field(
            "body",
            format!("{} bytes, at most {MAX_BODY_BYTES}", group.body.len()),
        ));
    }
    let truncated = match group.truncated.as_slice() {
        [] => None,
        whole => Some(hash_in("truncated", whole)?),
    };
    let by_tier = group.by_tier;
    let answer = Answer { outcome, reason, retcode: group.retcode, body: group.body, truncated, by_tier };
    let members = members_in(&group.members)?;
    Ok(ReturnGroup { jid: Jid::from_micros(group.jid), answer: Arc::new(answer), members })
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

fn outcome_out(outcome: Outcome) -> link::Outcome {
    match outcome {
        Outcome::Ok => link::Outcome::Ok,
        Outcome::Failed => link::Outcome::Failed,
        Outcome::TimedOut => link::Outcome::TimedOut,
        Outcome::Interrupted => link::Outcome::Interrupted,
        Outcome::Cancelled => link::Outcome::Cancelled,
        Outcome::Refused => link::Outcome::Refused,
        Outcome::NotStarted => link::Outcome::NotStarted,
        Outcome::Unknown => link::Outcome::Unknown,
    }
}

fn outcome_in(outcome: link::Outcome) -> Result<Outcome, WireError> {
    Ok(match outcome {
        link::Outcome::Ok => Outcome::Ok,
        link::Outcome::Failed => Outcome::Failed,
        link::Outcome::TimedOut => Outcome::TimedOut,
        link::Outcome::Interrupted => Outcome::Interrupted,
        link::Outcome::Cancelled => Outcome::Cancelled,
        link::Outcome::Refused => Outcome::Refused,
        link::Outcome::NotStarted => Outcome::NotStarted,
        link::Outcome::Unknown => Outcome::Unknown,
        link::Outcome::Unspecified => return Err(WireError::field("outcome", "none, or of a newer version")),
    })
}

fn roster_out(update: &RosterUpdate) -> link::Roster {
    let mut out = link::Roster::default();
    let mut grains = HashMap::new();
    match update {
        RosterUpdate::Full { version, entries } => {
            (out.to, out.full) = (*version, true);
            entries.iter().for_each(|entry| put_out(entry, &mut out, &mut grains));
        }
        RosterUpdate::Delta { from, to, changes } => {
            (out.from, out.to) = (*from, *to);
            for change in changes {
                match change {
                    RosterChange::Put(entry) => put_out(entry, &mut out, &mut grains),
                    RosterChange::Up(members) => out.up = members_out(members),
                    RosterChange::Down(members) => out.down = members_out(members),
                    RosterChange::Drop(members) => out.drop = members_out(members),
                }
            }
            // In a roster an absent set is empty, and the set {0} must be spelled out.
            for (change, field) in changes.iter().filter_map(named_set) {
                if change.len() == 1 && change.contains(0) {
                    *field(&mut out) = encode(change);
                }
            }
        }
    }
    out
}

type Field = fn(&mut link::Roster) -> &mut Vec<u8>;

fn named_set(change: &RosterChange) -> Option<(&Members, Field)> {
    match change {
        RosterChange::Up(members) => Some((members, |r| &mut r.up)),
        RosterChange::Down(members) => Some((members, |r| &mut r.down)),
        RosterChange::Drop(members) => Some((members, |r| &mut r.drop)),
        RosterChange::Put(_) => None,
    }
}

fn put_out(entry: &RosterEntry, out: &mut link::Roster, grains: &mut HashMap<Arc<str>, u32>) {
    let next = out.grains.len() as u32;
    let at = *grains.entry(entry.grains.clone()).or_insert(next);
    if at == next {
        out.grains.push(entry.grains.to_string());
    }
    out.put.push(link::Entry {
        no: entry.no,
        id: entry.id.to_string(),
        incarnation: entry.incarnation.0,
        up: entry.up,
        since: entry.since,
        grains: at,
    });
}

fn roster_in(roster: link::Roster) -> Result<RosterUpdate, WireError> {
    if roster.put.len() > MAX_ROSTER as usize {
        return Err(WireError::field("put", format!("{} entries, at most {MAX_ROSTER}", roster.put.len())));
    }
    let grains: Vec<Arc<str>> = roster.grains.into_iter().map(Arc::from).collect();
    let put = roster.put.into_iter().map(|entry| entry_in(entry, &grains)).collect::<Result<Vec<_>, _>>()?;
    if roster.full {
        return Ok(RosterUpdate::Full { version: roster.to, entries: put });
    }
    let set = |bytes: &[u8]| if bytes.is_empty() { Ok(Members::new()) } else { members_in(bytes) };
    let mut changes = vec![RosterChange::Drop(set(&roster.drop)?)];
    changes.extend(put.into_iter().map(RosterChange::Put));
    changes.push(RosterChange::Up(set(&roster.up)?));
    changes.push(RosterChange::Down(set(&roster.down)?));
    changes.retain(|change| named_set(change).is_none_or(|(members, _)| !members.is_empty()));
    Ok(RosterUpdate::Delta { from: roster.from, to: roster.to, changes })
}

fn entry_in(entry: link::Entry, grains: &[Arc<str>]) -> Result<RosterEntry, WireError> {
    let id: MinionId = entry.id.parse().map_err(|e| WireError::field("id", e))?;
    if entry.no >= MAX_ROSTER {
        return Err(WireError::field("no", format!("{}, a roster has at most {MAX_ROSTER}", entry.no)));
    }
    let grains = grains.get(entry.grains as usize).cloned();
    let grains = grains.ok_or_else(|| WireError::field("grains", "points past the list"))?;
    let incarnation = Incarnation(entry.incarnation);
    Ok(RosterEntry { no: entry.no, id, incarnation, up: entry.up, since: entry.since, grains })
}

// ---- down ----

/// A message to a child.
pub fn down_out(down: &Down) -> link::Down {
    use link::down::Message;
    let message = match down {
        Down::Heartbeat => Message::Alive(link::Alive {}),
        Down::RosterResync => Message::Resync(link::Resync {}),
        Down::Dispatch(dispatch) => Message::Dispatch(dispatch_out(dispatch)),
        Down::Cancel { jid, epoch, seal } => {
            Message::Cancel(link::Cancel { jid: jid.micros(), epoch: epoch.0, seal: seal.clone() })
        }
        Down::ReturnsAck { up_to } => Message::ReturnsAck(link::ReturnsAck { up_to: *up_to }),
        Down::ReturnsBusy { retry_after } => {
            Message::ReturnsBusy(link::ReturnsBusy { retry_after_ms: *retry_after })
        }
        Down::Placed(placed) => Message::Placed(placed_out(placed)),
        Down::Trust(bundle) => Message::Trust(link::Trust { bundle: bundle.clone() }),
    };
    link::Down { message: Some(message), incarnation: 0, proof: None }
}

fn dispatch_out(dispatch: &Dispatch) -> link::Dispatch {
    link::Dispatch {
        jid: dispatch.job.jid.micros(),
        epoch: dispatch.epoch.0,
        digest: dispatch.job.digest.to_vec(),
        envelope: dispatch.job.envelope.clone(),
        members: members_out(&dispatch.members),
        reoffer: dispatch.reoffer,
        deliver_within_ms: dispatch.deliver_within,
        proof: (dispatch.proof.size > 0).then(|| proof_out(&dispatch.proof)),
    }
}

/// A message from a parent. `Welcome`, `Refusal` and `Fragment` belong to the link layer and are no core messages.
pub fn down_in(down: link::Down) -> Result<Down, WireError> {
    use link::down::Message;
    match down.message {
        Some(Message::Alive(_)) => Ok(Down::Heartbeat),
        Some(Message::Resync(_)) => Ok(Down::RosterResync),
        Some(Message::Dispatch(dispatch)) => Ok(Down::Dispatch(dispatch_in(dispatch, down.proof)?)),
        Some(Message::Cancel(cancel)) => cancel_in(cancel),
        Some(Message::ReturnsAck(ack)) => Ok(Down::ReturnsAck { up_to: ack.up_to }),
        Some(Message::ReturnsBusy(busy)) => Ok(Down::ReturnsBusy { retry_after: busy.retry_after_ms }),
        Some(Message::Placed(placed)) => Ok(Down::Placed(placed_in(placed)?)),
        Some(Message::Trust(trust)) => Ok(Down::Trust(trust.bundle)),
        Some(Message::Welcome(_) | Message::Refusal(_) | Message::Fragment(_)) | None => {
            Err(WireError::Empty)
        }
    }
}

fn cancel_in(cancel: link::Cancel) -> Result<Down, WireError> {
    let link::Cancel { jid, epoch, seal } = cancel;
    if seal.len() > MAX_SEAL_BYTES {
        return Err(WireError::field("seal", format!("{} bytes, at most {MAX_SEAL_BYTES}", seal.len())));
    }
    Ok(Down::Cancel { jid: Jid::from_micros(jid), epoch: Epoch(epoch), seal })
}

/// `own`: a minion's proof, which came beside the message that it shares with others.
fn dispatch_in(dispatch: link::Dispatch, own: Option<link::Proof>) -> Result<Dispatch, WireError> {
    if dispatch.envelope.len() > MAX_ENVELOPE_BYTES {
        let why = format!("{} bytes, at most {MAX_ENVELOPE_BYTES}", dispatch.envelope.len());
        return Err(WireError::field("envelope", why));
    }
    let jid = Jid::from_micros(dispatch.jid);
    let digest = hash_in("digest", &dispatch.digest)?;
    Ok(Dispatch {
        job: Arc::new(envelope::job(jid, digest, dispatch.envelope)),
        epoch: Epoch(dispatch.epoch),
        members: members_in(&dispatch.members)?,
        proof: own.or(dispatch.proof).map(proof_in).transpose()?.unwrap_or_default(),
        reoffer: dispatch.reoffer,
        deliver_within: dispatch.deliver_within_ms,
        flaw: None,
    })
}

mod placed;
mod proof;
mod suspicions;
use placed::{placed_in, placed_out};
use proof::proof_in;
pub use proof::proof_out;
use suspicions::{suspicions_in, suspicions_out};

#[cfg(test)]
mod tests;
