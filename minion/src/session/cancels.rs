//! Which cancels are heeded: those that the fabric's owner signed, whoever brings them.
//!
//! Without that, a syndic in foreign hands could stop all that runs below it, and what it stops would look as if an operator had
//! done it. A cancel that is not heeded changes nothing: the seat hears of it only that the parent lives.

use super::*;

const UNHEEDED: &str = "a cancel is not heeded, and the job goes on";

impl Session {
    /// Whether this cancel is to be heeded. What is refused is counted, and told if no honest parent sends it.
    pub(super) fn heeds(&mut self, jid: Jid, seal: &Bytes) -> bool {
        // An older parent does not pass the signature on. Still it is not believed: it would be enough to claim to be old.
        let parent = self.link.and_then(|link| self.table.get(link));
        if seal.is_empty() && parent.is_none_or(|parent| parent.hello.protocol < CANCELS_SIGNED_SINCE) {
            let more = "the parent is of a version that does not pass on who signed it; upgrade it, and cancel again";
            self.refused(jid, Reason::Version, UNHEEDED, more);
            return false;
        }
        match self.examine_cancel(jid, seal) {
            Ok(()) => true,
            Err(why) if why.is_alarming() && why != Reason::StaleEpoch => {
                self.suspect(Forgery::Cancel, Some(jid));
                self.refused(jid, why, UNHEEDED, "not signed by a top master of this fabric for this job");
                false
            }
            Err(why) => {
                // Of a former owner, or too old: an honest syndic may have kept it, and the owner sends its own.
                debug!(%jid, minion = %self.id, why = why.word(), "{UNHEEDED}");
                self.count(why);
                false
            }
        }
    }

    fn examine_cancel(&mut self, jid: Jid, seal: &Bytes) -> Result<(), Reason> {
        let spec = self.verifier.verify_cancel(seal)?;
        self.bearer.check_cancel(wall(), &spec, jid)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use relay_core::{
        Members,
        identity::{Identity, Role},
        ids::Epoch,
        job::{CancelSpec, JobSpec},
        merkle::{Tree, leaf},
        signing::{JobKeys, KeyId, NoKey, PublicKey, Signature, Span},
    };
    use relay_proto::{PROTOCOL, cancel, envelope};
    use relay_runtime::{
        link::{PeerHello, lanes::lanes},
        trust::key::SecretKey,
    };
    use serde_json::json;

    use super::*;
    use crate::verify::Verified;

    const LINK: LinkId = LinkId(1);
    const INCARNATION: Incarnation = Incarnation(7);
    const KEY: KeyId = KeyId([1; 8]);
    const HOUR: u64 = 3_600_000_000;

    /// A key list with one key.
    #[derive(Debug)]
    struct Listed(Mutex<PublicKey>);

    impl JobKeys for Listed {
        fn key(&self, id: KeyId, _: Span) -> Option<PublicKey> {
            (id == KEY).then(|| *self.0.lock().unwrap())
        }
    }

    fn jid() -> Jid {
        Jid::from_micros(1_795_246_616_000_000)
    }

    fn span() -> Span {
        Span { not_before: wall() - HOUR, not_after: wall() + HOUR }
    }

    fn good() -> CancelSpec {
        CancelSpec { fabric: "test".into(), jid: jid(), epoch: Epoch(3), span: span() }
    }

    fn sealed(secret: &SecretKey, key: KeyId, spec: &CancelSpec) -> Bytes {
        let sign = |message: &[u8]| Ok::<_, NoKey>(Signature { key, bytes: secret.sign(message) });
        cancel::seal_with(spec, sign).unwrap()
    }

    /// A minion with a job that runs, below a syndic that speaks this protocol.
    fn session(secret: &SecretKey, protocol: u32) -> Session {
        let (id, fabric): (MinionId, FabricName) = ("web1".parse().unwrap(), "test".parse().unwrap());
        let grains = Arc::new(GrainBook::fixed(id.clone(), Arc::new(json!({}))));
        let (finished, _) = mpsc::channel(FINISHED_QUEUE);
        let listed = Arc::new(Listed(Mutex::new(secret.public())));
        let clock = Clock::start();
        let mut session = Session {
            id: id.clone(),
            verifier: Verifier::new(listed, Verified::default()),
            bearer: Bearer::new("test", id.clone(), INCARNATION),
            policy: LocalPolicy::none(),
            trust: Arc::new(|_| false),
            suspicions: Suspicions::in_memory(),
            flawed: None,
            alarms: (0, 0),
            roster: OwnRoster::new(id.clone(), INCARNATION, grains.clone()),
            seat: Seat::recover(HeartbeatRule::default(), clock.now(), Vec::new()).0,
            journal: Journal::Memory,
            executions: Executions::new(id, grains, None, finished),
            table: LinkTable::default(),
            link: None,
            parents: None,
            clock,
            attached: Arc::new(|_| ()),
        };
        let peer = Identity::new("aws-1", Role::Syndic, "aws".parse().unwrap(), fabric).unwrap();
        let hello = PeerHello { incarnation: Incarnation(0), software: String::new(), protocol };
        let (tx, _) = lanes(1 << 20, CancellationToken::new());
        session.link(LinkEvent::Up { link: LINK, peer, hello, tx });
        session
    }

    /// What the seat asks for, once a running job's minion has heard this cancel.
    fn heard(session: &mut Session, seal: Bytes) -> Vec<SeatEffect> {
        session.seat.effects();
        session.received(Down::Cancel { jid: jid(), epoch: Epoch(u64::MAX), seal });
        session.seat.effects().into_iter().filter(|e| !matches!(e, SeatEffect::Send(_))).collect()
    }

    fn start(session: &mut Session, secret: &SecretKey) {
        let tree = Tree::full(vec![leaf(INCARNATION, &session.id)]);
        let spec = JobSpec {
            jid: jid(),
            fabric: "test".into(),
            function: "test.sleep".into(),
            args: r#"{"args":[600]}"#.into(),
            caller: "root".into(),
            run_limit: 600_000,
            epoch: Epoch(3),
            request: [0; 32],
            targets: tree.root(),
            span: span(),
        };
        let sign = |message: &[u8]| Ok::<_, NoKey>(Signature { key: KEY, bytes: secret.sign(message) });
        let job = Arc::new(envelope::seal_with(&spec, sign).unwrap());
        let dispatch = Dispatch {
            job,
            epoch: Epoch(3),
            members: Members::from_iter([0]),
            proof: tree.prove(vec![0]).unwrap(),
            reoffer: false,
            deliver_within: 60_000,
            flaw: None,
        };
        session.seat.effects();
        session.received(Down::Dispatch(dispatch));
        for effect in session.seat.effects() {
            let SeatEffect::Persist { ticket, .. } = effect else { continue };
            session.seat.persisted(session.clock.now(), ticket);
        }
        assert!(session.seat.effects().iter().any(|e| matches!(e, SeatEffect::Start { .. })));
    }

    #[test]
    fn only_what_the_owner_signed_for_this_job_stops_it() {
        let secret = SecretKey::generate().unwrap();
        let mut session = session(&secret, *PROTOCOL.end());
        start(&mut session, &secret);
        let own = |spec: &CancelSpec| sealed(&secret, KEY, spec);
        let past = Span { not_before: wall() - 3 * HOUR, not_after: wall() - HOUR };
        let future = Span { not_before: wall() + HOUR, not_after: wall() + 2 * HOUR };
        let mut altered = own(&good()).to_vec();
        let end = altered.len() - 1;
        altered[end] ^= 1;
        for (what, seal) in [
            ("unsigned", Bytes::new()),
            ("garbage", Bytes::from_static(b"\xff\xff")),
            ("another key under the right name", sealed(&SecretKey::generate().unwrap(), KEY, &good())),
            ("a key that nobody listed", sealed(&secret, KeyId([2; 8]), &good())),
            ("another fabric", own(&CancelSpec { fabric: "prod".into(), ..good() })),
            ("another job", own(&CancelSpec { jid: Jid::from_micros(9), ..good() })),
            ("a former owner", own(&CancelSpec { epoch: Epoch(2), ..good() })),
            ("over", own(&CancelSpec { span: past, ..good() })),
            ("not yet", own(&CancelSpec { span: future, ..good() })),
            ("altered", altered.into()),
        ] {
            assert_eq!(heard(&mut session, seal), [], "{what}");
            assert_eq!(session.seat.running().collect::<Vec<_>>(), [jid()], "{what}");
        }
        assert_eq!(heard(&mut session, own(&good())), [SeatEffect::Kill { jid: jid() }]);
    }

    #[test]
    fn a_forged_cancel_keeps_no_job_from_starting() {
        let secret = SecretKey::generate().unwrap();
        let mut session = session(&secret, *PROTOCOL.end());
        assert_eq!(heard(&mut session, Bytes::new()), []);
        start(&mut session, &secret);
    }

    /// It can't pass a signature on, and it would be enough to claim to be one.
    #[test]
    fn an_older_parent_stops_nothing() {
        let secret = SecretKey::generate().unwrap();
        let mut session = session(&secret, CANCELS_SIGNED_SINCE - 1);
        start(&mut session, &secret);
        assert_eq!(heard(&mut session, Bytes::new()), []);
        let passed_on = sealed(&secret, KEY, &good());
        assert_eq!(heard(&mut session, passed_on).len(), 1);
    }
}
