//! Whether a job is signed by a key that the fabric's key list names.
//!
//! Verifying a signature costs more than all the rest that happens to a job in the fabric, and minions of one process get the same
//! jobs: what was found good is remembered, for as long as its key counts. What was not is not: forgeries push nothing out.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use relay_core::{
    job::{Job, JobSpec},
    outcome::Reason,
    signing::{JobKeys, KeyId, PublicKey},
};
use relay_proto::envelope::{self, Signed};
use relay_runtime::trust::key::ed25519_signed;
use sha2::{Digest, Sha256};

/// Jobs remembered by one process. A job reaches all its minions within a moment of each other, so a few would do; an envelope may
/// have 256 KiB, and so many of those are bearable.
const REMEMBERED: usize = 64;

#[derive(Debug, Clone)]
struct Good {
    spec: Arc<JobSpec>,
    key: KeyId,
    public: PublicKey,
}

#[derive(Debug, Default)]
struct Jobs {
    by_digest: HashMap<[u8; 32], Good>,
    /// The oldest first.
    order: VecDeque<[u8; 32]>,
}

/// The jobs whose signatures were found good by this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Verified(Arc<Mutex<Jobs>>);

impl Verified {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // A panic while holding it leaves maps that are still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, digest: &[u8; 32]) -> Option<Good> {
        self.lock().by_digest.get(digest).cloned()
    }

    fn keep(&self, digest: [u8; 32], good: Good) {
        let mut jobs = self.lock();
        if jobs.by_digest.insert(digest, good).is_none() {
            jobs.order.push_back(digest);
        }
        if jobs.order.len() > REMEMBERED
            && let Some(oldest) = jobs.order.pop_front()
        {
            jobs.by_digest.remove(&oldest);
        }
    }
}

/// Verifies jobs for one minion.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: Arc<dyn JobKeys>,
    verified: Verified,
}

impl Verifier {
    /// By this list of keys.
    pub fn new(keys: Arc<dyn JobKeys>, verified: Verified) -> Verifier {
        Verifier { keys, verified }
    }

    /// What a job says, if it is signed by whom this minion believes.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub fn verify(&self, job: &Job) -> Result<Arc<JobSpec>, Reason> {
        if let Some(good) = self.verified.find(&job.digest) {
            let digest: [u8; 32] = Sha256::digest(&job.envelope).into();
            if digest != job.digest {
                return Err(Reason::DigestMismatch);
            }
            // The key may have been withdrawn since, and minions of one process need not believe the same.
            let counts = self.keys.key(good.key, good.spec.span) == Some(good.public);
            return counts.then_some(good.spec).ok_or(Reason::UnknownKey);
        }
        let Signed { spec, message, signature } = envelope::signed(job)?;
        let public = self.keys.key(signature.key, spec.span).ok_or(Reason::UnknownKey)?;
        if !ed25519_signed(&public, &message, &signature.bytes) {
            return Err(Reason::BadSignature);
        }
        let good = Good { spec: Arc::new(spec), key: signature.key, public };
        self.verified.keep(job.digest, good.clone());
        Ok(good.spec)
    }
}

#[cfg(test)]
mod tests {
    use relay_core::{
        ids::{Epoch, Jid},
        merkle::TargetRoot,
        signing::{NoKey, Signature, Span},
    };
    use relay_runtime::trust::key::SecretKey;

    use super::*;

    /// One key, until it is withdrawn.
    #[derive(Debug)]
    struct List(Mutex<Option<PublicKey>>, Span);

    impl JobKeys for List {
        fn key(&self, id: KeyId, span: Span) -> Option<PublicKey> {
            let during = self.1.not_before <= span.not_before && span.not_after <= self.1.not_after;
            self.0.lock().unwrap().filter(|_| during && id == KEY)
        }
    }

    const KEY: KeyId = KeyId([7; 8]);
    const SPAN: Span = Span { not_before: 100, not_after: 200 };

    struct Bench {
        secret: SecretKey,
        list: Arc<List>,
        verifier: Verifier,
    }

    impl Bench {
        fn new() -> Bench {
            let secret = SecretKey::generate().unwrap();
            let list = Arc::new(List(Mutex::new(Some(secret.public())), SPAN));
            let verifier = Verifier::new(list.clone(), Verified::default());
            Bench { secret, list, verifier }
        }

        fn sealed(&self, n: u64, key: KeyId, span: Span) -> Job {
            let spec = JobSpec {
                jid: Jid::from_micros(n),
                fabric: "test".into(),
                function: "test.ping".into(),
                args: "{}".into(),
                caller: "root".into(),
                run_limit: 1,
                epoch: Epoch(1),
                request: [0; 32],
                targets: TargetRoot::default(),
                span,
            };
            let sign = |message: &[u8]| Ok::<_, NoKey>(Signature { key, bytes: self.secret.sign(message) });
            envelope::seal_with(&spec, sign).unwrap()
        }

        fn verify(&self, job: &Job) -> Result<Jid, Reason> {
            self.verifier.verify(job).map(|spec| spec.jid)
        }
    }

    #[test]
    fn a_listed_key_is_believed_while_it_is_listed_for_the_whole_time() {
        let bench = Bench::new();
        let job = bench.sealed(1, KEY, SPAN);
        // Twice: the second time it is remembered.
        assert_eq!([bench.verify(&job), bench.verify(&job)], [Ok(job.jid); 2]);
        assert_eq!(bench.verify(&bench.sealed(2, KeyId([8; 8]), SPAN)), Err(Reason::UnknownKey));
        let longer = Span { not_after: 201, ..SPAN };
        assert_eq!(bench.verify(&bench.sealed(3, KEY, longer)), Err(Reason::UnknownKey));
        *bench.list.0.lock().unwrap() = None;
        assert_eq!(bench.verify(&job), Err(Reason::UnknownKey), "remembered, and withdrawn since");
        *bench.list.0.lock().unwrap() = Some(SecretKey::generate().unwrap().public());
        assert_eq!(bench.verify(&job), Err(Reason::UnknownKey), "another key under its name");
        assert_eq!(bench.verify(&bench.sealed(4, KEY, SPAN)), Err(Reason::BadSignature));
    }

    #[test]
    fn what_is_remembered_does_not_vouch_for_other_bytes() {
        let bench = Bench::new();
        let job = bench.sealed(1, KEY, SPAN);
        bench.verify(&job).unwrap();
        let mut bytes = job.envelope.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let claimed = Job { envelope: bytes.clone().into(), ..job.clone() };
        assert_eq!(bench.verify(&claimed), Err(Reason::DigestMismatch));
        let forged = Job { digest: Sha256::digest(&bytes).into(), ..claimed };
        assert_eq!(bench.verify(&forged), Err(Reason::BadSignature));
    }

    #[test]
    fn so_many_are_remembered_and_forgeries_push_none_out() {
        let bench = Bench::new();
        let known = || bench.verifier.verified.lock().by_digest.len();
        for n in 0..2 * REMEMBERED as u64 {
            let job = bench.sealed(n, KEY, SPAN);
            bench.verify(&job).unwrap();
            assert!(bench.verify(&bench.sealed(n, KeyId([8; 8]), SPAN)).is_err());
            assert!(bench.verifier.verified.find(&job.digest).is_some());
            assert_eq!(known(), REMEMBERED.min(n as usize + 1));
        }
        assert_eq!(bench.verifier.verified.lock().order.len(), REMEMBERED);
    }
}
