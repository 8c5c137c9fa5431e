use super::*;
use proptest::prelude::*;
use prost::Message;
use relay_core::{
    job::Job,
    merkle::{Proof, TargetRoot},
};

fn set(members: &[u32]) -> Members {
    members.iter().copied().collect()
}

fn entry(no: u32, id: &str, grains: &str) -> RosterEntry {
    let id = id.parse().unwrap();
    RosterEntry { no, id, incarnation: Incarnation(9), up: true, since: 5, grains: grains.into() }
}

fn there_and_back_up(up: &Up) -> Up {
    up_in(link::Up::decode(&*up_out(up).encode_to_vec()).unwrap()).unwrap()
}

#[test]
fn every_up_survives() {
    let answer = Arc::new(Answer {
        body: "{\"a\":1}".into(),
        truncated: Some([3; 32]),
        retcode: -1,
        ..Answer::bare(Outcome::Failed, Reason::Expired)
    });
    let changes = vec![
        RosterChange::Drop(set(&[7])),
        RosterChange::Put(entry(1, "a", "{}")),
        RosterChange::Put(entry(2, "b", "{\"x\":1}")),
        RosterChange::Up(set(&[0])),
        RosterChange::Down(set(&[3, 4])),
    ];
    let ups = [
        Up::Roster(RosterUpdate::Full {
            version: 4,
            entries: vec![entry(0, "a", "{}"), entry(1, "b", "{}")],
        }),
        Up::Roster(RosterUpdate::Delta { from: 4, to: 5, changes }),
        Up::Heartbeat(vec![Running { jid: Jid::from_micros(5), members: set(&[0]) }]),
        Up::Returns(ReturnBatch {
            seq: 3,
            groups: vec![ReturnGroup { jid: Jid::from_micros(5), answer, members: set(&[1, 70_000]) }],
        }),
    ];
    for up in ups {
        assert_eq!(there_and_back_up(&up), up);
    }
}

#[test]
fn equal_grains_are_sent_once() {
    let entries = (0..100).map(|no| entry(no, &format!("m{no}"), "{\"os\":\"Debian\"}")).collect();
    assert_eq!(roster_out(&RosterUpdate::Full { version: 1, entries }).grains.len(), 1);
}

#[test]
fn every_down_survives() {
    let envelope = link::SignedEnvelope {
        body: link::EnvelopeTargets { target_root: vec![4; 32], target_count: 9 }.encode_to_vec().into(),
        ..Default::default()
    };
    let targets = Some(TargetRoot { hash: [4; 32], count: 9 });
    let envelope = envelope.encode_to_vec().into();
    let job = Arc::new(Job { jid: Jid::from_micros(5), digest: [1; 32], envelope, targets });
    let (epoch, members, flaw) = (Epoch(2), set(&[0, 5]), None);
    let proof = Proof { size: 9, places: vec![3, 1], hashes: vec![[8; 32]; 4] };
    let dispatch = Dispatch { job, epoch, members, proof, reoffer: true, deliver_within: 9, flaw };
    let downs = [
        Down::Heartbeat,
        Down::RosterResync,
        Down::Dispatch(dispatch),
        Down::Cancel { jid: Jid::from_micros(5), epoch: Epoch(2), seal: "seal".into() },
        Down::ReturnsAck { up_to: 7 },
        Down::ReturnsBusy { retry_after: 8 },
    ];
    for down in downs {
        let back = link::Down::decode(&*down_out(&down).encode_to_vec()).unwrap();
        assert_eq!(down_in(back).unwrap(), down);
    }
}

#[test]
fn what_may_not_be_is_refused() {
    let group = link::ReturnGroup { outcome: 1, ..Default::default() };
    assert!(group_in(group.clone()).is_ok());
    assert!(group_in(link::ReturnGroup { outcome: 0, ..group.clone() }).is_err());
    assert!(group_in(link::ReturnGroup { outcome: 99, ..group.clone() }).is_err());
    assert!(group_in(link::ReturnGroup { reason: "because".into(), ..group.clone() }).is_err());
    assert!(group_in(link::ReturnGroup { truncated: vec![1], ..group.clone() }).is_err());
    assert!(
        group_in(link::ReturnGroup { body: vec![0; MAX_BODY_BYTES + 1].into(), ..group.clone() }).is_err()
    );
    let refused = group_in(link::ReturnGroup { same_body: 3, ..group }).unwrap_err().to_string();
    assert!(refused.starts_with("same_body") && refused.contains("body 3 of a connection"), "{refused}");
    let cancel = |len| {
        let cancel = link::Cancel { seal: vec![0; len].into(), ..Default::default() };
        down_in(link::Down { message: Some(link::down::Message::Cancel(cancel)), ..Default::default() })
    };
    assert!(cancel(MAX_SEAL_BYTES).is_ok() && cancel(MAX_SEAL_BYTES + 1).is_err());
    let mut far = Vec::new();
    set(&[u32::MAX]).serialize_into(&mut far).unwrap();
    assert!(members_in(&far).is_err());
    let alien = link::Entry { id: "../etc".into(), ..Default::default() };
    assert!(entry_in(alien, &["{}".into()]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(up) = link::Up::decode(&*bytes) {
            let _ = up_in(up);
        }
        if let Ok(down) = link::Down::decode(&*bytes) {
            let _ = down_in(down);
        }
        let _ = members_in(&bytes);
    }

    #[test]
    fn members_survive(members in prop::collection::btree_set(0u32..MAX_ROSTER, 1..300)) {
        let members: Members = members.into_iter().collect();
        prop_assert_eq!(members_in(&members_out(&members)).unwrap(), members);
    }
}

#[test]
fn a_message_that_mentions_everybody_again_and_again_is_refused() {
    let all = members_out(&Members::from_iter(0..MAX_ROSTER));
    let running = |jobs: u64| link::Heartbeat {
        running: (0..jobs).map(|jid| link::Running { jid, members: all.clone() }).collect(),
    };
    let heartbeat = |jobs| up_in(link::Up { message: Some(link::up::Message::Heartbeat(running(jobs))) });
    assert!(heartbeat(20).is_ok());
    assert!(matches!(heartbeat(21), Err(WireError::Field { field: "running", .. })));
    let group =
        link::ReturnGroup { outcome: link::Outcome::Ok.into(), members: all.clone(), ..Default::default() };
    let returns = |groups: usize| returns_in(link::Returns { seq: 1, groups: vec![group.clone(); groups] });
    assert!(returns(20).is_ok());
    assert!(matches!(returns(21), Err(WireError::Field { field: "groups", .. })));
}
