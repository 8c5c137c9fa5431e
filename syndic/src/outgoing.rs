//! What is for many links goes out in portions, so that what is for few need not wait until all of it is written.
//!
//! Owns the order: a link's messages stay in theirs, but a job for few may pass other jobs that are for many. How a message is
//! encoded and queued is the link table's.

use std::collections::VecDeque;

use relay_core::{ids::Jid, message::Down, tier::Sending};

/// Links that are given a message in one turn of the loop: about a millisecond. Others have their turn then.
pub const PORTION: usize = 64;
/// Messages that wait, at most: beyond it the first leaves as a whole. Each is some kilobytes, and 80 bytes a link.
pub const MAX_WAITING: usize = 32;

struct Waiting {
    sending: Sending,
    since: u64,
}

/// Messages for many, in order.
#[derive(Default)]
pub struct Outgoing(VecDeque<Waiting>);

impl Outgoing {
    /// Takes a message; gives back what may leave now.
    pub fn take(&mut self, now: u64, sending: Sending) -> Option<Sending> {
        let waits = match &sending.down {
            Down::Dispatch(dispatch) => {
                sending.links.len() > PORTION || self.0.iter().any(|w| job_of(w) == Some(dispatch.job.jid))
            }
            // Not before the job that it is about, or after which it was said.
            Down::Cancel { .. } | Down::Placed(_) | Down::Trust(_) => !self.0.is_empty(),
            // These overtake jobs on each link anyway.
            _ => false,
        };
        if !waits {
            return Some(sending);
        }
        self.0.push_back(Waiting { sending, since: now });
        if self.0.len() <= MAX_WAITING {
            return None;
        }
        let Waiting { sending, since } = self.0.pop_front()?;
        Some(sending.aged(now.saturating_sub(since)))
    }

    /// The next portion.
    pub fn portion(&mut self, now: u64) -> Option<Sending> {
        let first = self.0.front_mut()?;
        let waited = now.saturating_sub(first.since);
        let rest = first.sending.links.split_off(PORTION.min(first.sending.links.len()));
        if rest.is_empty() {
            return self.0.pop_front().map(|last| last.sending.aged(waited));
        }
        let proofs = first.sending.proofs.split_off(PORTION.min(first.sending.proofs.len()));
        let rest = Sending { links: rest, down: first.sending.down.clone(), proofs };
        Some(std::mem::replace(&mut first.sending, rest).aged(waited))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn job_of(waiting: &Waiting) -> Option<Jid> {
    match &waiting.sending.down {
        Down::Dispatch(dispatch) => Some(dispatch.job.jid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_core::{
        ids::Epoch,
        job::Job,
        merkle::Proof,
        message::{Dispatch, LinkId},
    };

    use super::*;

    fn dispatch(jid: u64, links: std::ops::Range<u64>) -> Sending {
        let job = Arc::new(Job {
            jid: Jid::from_micros(jid),
            digest: [1; 32],
            envelope: "job".into(),
            targets: None,
        });
        let (members, proof) = (Default::default(), Proof::default());
        let dispatch = Dispatch {
            job,
            epoch: Epoch(1),
            members,
            proof,
            reoffer: false,
            deliver_within: 10_000,
            flaw: None,
        };
        let proofs = links.clone().map(|n| Proof { size: n as u32, ..Proof::default() }).collect();
        let links = links.map(LinkId).collect();
        Sending { links, down: Down::Dispatch(dispatch), proofs }
    }

    fn cancel(jid: u64) -> Sending {
        let (jid, epoch) = (Jid::from_micros(jid), Epoch(1));
        Sending::new(vec![LinkId(1)], Down::Cancel { jid, epoch, seal: "seal".into() })
    }

    /// What leaves until nothing waits: jobs, links, and what is left of the time to start.
    fn drain(outgoing: &mut Outgoing, now: u64) -> Vec<(u64, usize, u64)> {
        let mut left = Vec::new();
        while let Some(sending) = outgoing.portion(now) {
            assert!(sending.links.len() <= PORTION);
            match &sending.down {
                Down::Dispatch(d) => {
                    let own = |(link, proof): (&LinkId, &Proof)| link.0 == u64::from(proof.size);
                    assert!(sending.links.iter().zip(&sending.proofs).all(own), "each link its own proof");
                    assert_eq!(sending.links.len(), sending.proofs.len());
                    left.push((d.job.jid.micros(), sending.links.len(), d.deliver_within));
                }
                _ => left.push((0, sending.links.len(), 0)),
            }
        }
        left
    }

    #[test]
    fn a_job_for_many_leaves_in_portions_and_one_for_few_passes_it() {
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.take(0, dispatch(1, 0..150)), None);
        assert_eq!(outgoing.take(5, dispatch(2, 7..9)), Some(dispatch(2, 7..9)));
        assert_eq!(
            outgoing.take(5, Sending::new(vec![LinkId(1)], Down::Heartbeat)).map(|s| s.links.len()),
            Some(1)
        );
        assert_eq!(drain(&mut outgoing, 10), [(1, 64, 9_990), (1, 64, 9_990), (1, 22, 9_990)]);
        assert!(outgoing.is_empty());
    }

    #[test]
    fn nothing_of_the_same_job_and_no_cancel_passes_what_waits() {
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.take(0, cancel(1)), Some(cancel(1)), "nothing waits");
        assert_eq!(outgoing.take(0, dispatch(1, 0..70)), None);
        assert_eq!(outgoing.take(0, dispatch(1, 3..4)), None, "offered again");
        assert_eq!(outgoing.take(0, cancel(1)), None);
        assert_eq!(drain(&mut outgoing, 0), [(1, 64, 10_000), (1, 6, 10_000), (1, 1, 10_000), (0, 1, 0)]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut outgoing = Outgoing::default();
        for jid in 0..MAX_WAITING as u64 {
            assert_eq!(outgoing.take(0, dispatch(jid, 0..70)), None);
        }
        let first = outgoing.take(0, dispatch(99, 0..70)).unwrap();
        assert_eq!((first.links.len(), first.proofs.len()), (70, 70), "the first, as a whole");
        assert_eq!(outgoing.0.len(), MAX_WAITING);
    }
}
