//! Whether a job, or that it is to be stopped, is signed by a key that the fabric's key list names.
//!
//! Verifying a signature costs more than all the rest that happens to a job in the fabric, and minions of one process get the same
//! jobs: what was found good is remembered, for as long as its key counts. What was not is not: forgeries push nothing out.

use std::{
    collections::{HashMap, VecDeque},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use relay_core::{
    job::{CancelSpec, Job, JobSpec},
    outcome::Reason,
    signing::{JobKeys, KeyId, PublicKey, Signature, Span},
};
use relay_proto::{
    cancel,
    envelope::{self, Signed},
};
use relay_runtime::trust::key::ed25519_signed;
use sha2::{Digest, Sha256};

/// Jobs, and cancels, remembered by one process. A job reaches all its minions within a moment of each other, so a few would do; an envelope may
/// have 256 KiB, and so many of those are bearable.
const REMEMBERED: usize = 64;

/// What was found good, and by which key.
#[derive(Debug)]
struct Good<T> {
    spec: Arc<T>,
    span: Span,
    key: KeyId,
    public: PublicKey,
}

#[derive(Debug)]
struct Book<T> {
    by_digest: HashMap<[u8; 32], Good<T>>,
    /// The oldest first.
    order: VecDeque<[u8; 32]>,
}

impl<T> Default for Book<T> {
    fn default() -> Book<T> {
        Book { by_digest: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Book<T> {
    /// What is known under this digest, if its key counts still. The key may have been withdrawn since, and minions of one process
    /// need not believe the same.
    fn find(&self, digest: &[u8; 32], keys: &dyn JobKeys) -> Option<Result<Arc<T>, Reason>> {
        let good = self.by_digest.get(digest)?;
        let counts = keys.key(good.key, good.span) == Some(good.public);
        Some(counts.then(|| good.spec.clone()).ok_or(Reason::UnknownKey))
    }

    fn keep(&mut self, digest: [u8; 32], good: Good<T>) {
        if self.by_digest.insert(digest, good).is_none() {
            self.order.push_back(digest);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_digest.remove(&oldest);
        }
    }
}

#[derive(Debug, Default)]
struct Books {
    jobs: Book<JobSpec>,
    cancels: Book<CancelSpec>,
}

/// The jobs and cancels whose signatures were found good by this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Verified(Arc<Mutex<Books>>);

impl Verified {
    fn lock(&self) -> MutexGuard<'_, Books> {
        // A panic while holding it leaves maps that are still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a job says whose signature is good. Only [`Verifier::verify`] makes one.
#[derive(Debug, Clone)]
pub struct Genuine(Arc<JobSpec>);

impl Deref for Genuine {
    type Target = JobSpec;

    fn deref(&self) -> &JobSpec {
        &self.0
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
    pub fn verify(&self, job: &Job) -> Result<Genuine, Reason> {
        let known = self.verified.lock().jobs.find(&job.digest, &*self.keys);
        if let Some(known) = known {
            let digest: [u8; 32] = Sha256::digest(&job.envelope).into();
            return if digest == job.digest { known.map(Genuine) } else { Err(Reason::DigestMismatch) };
        }
        let Signed { spec, message, signature } = envelope::signed(job)?;
        let (spec, good) = self.good(spec.span, spec, &message, &signature)?;
        self.verified.lock().jobs.keep(job.digest, good);
        Ok(Genuine(spec))
    }

    /// What a cancel says, if it is signed by whom this minion believes.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub fn verify_cancel(&self, seal: &Bytes) -> Result<Arc<CancelSpec>, Reason> {
        let digest: [u8; 32] = Sha256::digest(seal).into();
        let known = self.verified.lock().cancels.find(&digest, &*self.keys);
        if let Some(known) = known {
            return known;
        }
        let cancel::Signed { spec, message, signature } = cancel::signed(seal)?;
        let (spec, good) = self.good(spec.span, spec, &message, &signature)?;
        self.verified.lock().cancels.keep(digest, good);
        Ok(spec)
    }

    fn good<T>(
        &self,
        span: Span,
        spec: T,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(Arc<T>, Good<T>), Reason> {
        let key = signature.key;
        let public = self.keys.key(key, span).ok_or(Reason::UnknownKey)?;
        if !ed25519_signed(&public, message, &signature.bytes) {
            return Err(Reason::BadSignature);
        }
        let spec = Arc::new(spec);
        Ok((spec.clone(), Good { spec, span, key, public }))
    }
}

#[cfg(test)]
mod tests {
    use relay_core::{
        ids::{Epoch, Jid},
        merkle::TargetRoot,
        signing::NoKey,
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
        let known = || bench.verifier.verified.lock().jobs.by_digest.len();
        for n in 0..2 * REMEMBERED as u64 {
            let job = bench.sealed(n, KEY, SPAN);
            bench.verify(&job).unwrap();
            assert!(bench.verify(&bench.sealed(n, KeyId([8; 8]), SPAN)).is_err());
            assert!(bench.verifier.verified.lock().jobs.by_digest.contains_key(&job.digest));
            assert_eq!(known(), REMEMBERED.min(n as usize + 1));
        }
        assert_eq!(bench.verifier.verified.lock().jobs.order.len(), REMEMBERED);
    }

    fn cancel(bench: &Bench, n: u64, key: KeyId, span: Span) -> Bytes {
        let spec = CancelSpec { fabric: "test".into(), jid: Jid::from_micros(n), epoch: Epoch(1), span };
        let sign = |message: &[u8]| Ok::<_, NoKey>(Signature { key, bytes: bench.secret.sign(message) });
        cancel::seal_with(&spec, sign).unwrap()
    }

    #[test]
    fn a_cancel_is_believed_as_a_job_is() {
        let bench = Bench::new();
        let verify = |seal: &Bytes| bench.verifier.verify_cancel(seal).map(|spec| spec.jid);
        let good = cancel(&bench, 1, KEY, SPAN);
        // Twice: the second time it is remembered.
        assert_eq!([verify(&good), verify(&good)], [Ok(Jid::from_micros(1)); 2]);
        assert_eq!(verify(&Bytes::new()), Err(Reason::Unsigned));
        assert_eq!(verify(&cancel(&bench, 1, KeyId([8; 8]), SPAN)), Err(Reason::UnknownKey));
        let longer = Span { not_after: 201, ..SPAN };
        assert_eq!(verify(&cancel(&bench, 1, KEY, longer)), Err(Reason::UnknownKey));
        // Another job's name in it, under the same signature.
        let (one, two) = (good.to_vec(), cancel(&bench, 2, KEY, SPAN).to_vec());
        let half = one.iter().zip(&two).position(|(a, b)| a != b).unwrap() + 1;
        let mixed = Bytes::from([&two[..half], &one[half..]].concat());
        assert_eq!(verify(&mixed), Err(Reason::BadSignature));
        // A job's signature is none of its cancel.
        let job = bench.sealed(1, KEY, SPAN);
        assert!(verify(&job.envelope).is_err());
        *bench.list.0.lock().unwrap() = None;
        assert_eq!(verify(&good), Err(Reason::UnknownKey), "remembered, and withdrawn since");
        *bench.list.0.lock().unwrap() = Some(SecretKey::generate().unwrap().public());
        assert_eq!(verify(&cancel(&bench, 3, KEY, SPAN)), Err(Reason::BadSignature));
        assert_eq!(bench.verifier.verified.lock().cancels.order.len(), 1);
    }
}
