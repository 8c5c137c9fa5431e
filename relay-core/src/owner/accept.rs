//! Accepting a job: whom it is for is frozen, its batch is fixed, and nothing is promised before it is durable.

use super::*;
use crate::{batch::BatchSize, target::Target};

impl Owner {
    /// An operator submits a job. Answered by [`OwnerEffect::Reply`] with this token.
    pub fn submit(&mut self, now: Millis, wall: WallMicros, token: u64, submission: Submission) {
        (self.now, self.wall) = (now, wall);
        match self.admit(&submission) {
            Err(error) => self.effects.push(OwnerEffect::Reply { token, result: Err(error) }),
            Ok(targets) => self.accept(now, wall, token, submission, targets),
        }
    }

    fn admit(&self, submission: &Submission) -> Result<Members, SubmitError> {
        if self.fenced {
            return Err(SubmitError::NotOwner);
        }
        if let Some(why) = &self.stalled {
            return Err(SubmitError::Store(why.clone()));
        }
        let targets = self.resolve(submission)?;
        if self.jobs.values().filter(|j| !j.closed).count() >= MAX_OPEN_JOBS {
            return Err(SubmitError::TooManyJobs);
        }
        Ok(targets)
    }

    /// The targets that a submission would have now.
    ///
    /// # Errors
    /// There are none, some are not known, they are not those of the plan, or there are too many for a job without a
    /// batch.
    pub fn resolve(&self, submission: &Submission) -> Result<Members, SubmitError> {
        let ids = self.inventory.unknown_ids(&submission.target);
        if let Some(first) = ids.first() {
            let nearest =
                self.inventory.nearest(first, SUGGESTIONS).iter().map(ToString::to_string).collect();
            return Err(SubmitError::UnknownIds { nearest, ids });
        }
        let mut targets = self.inventory.evaluate(&submission.target);
        if targets.is_empty() {
            let (target, nearest) = (submission.target.to_string(), self.nearest(&submission.target));
            return Err(SubmitError::NoMatch { target, nearest });
        }
        if let Some(subset) = submission.subset {
            targets = self.choose(&targets, subset);
        }
        if let Some(planned) = submission.planned.as_ref().filter(|planned| **planned != targets) {
            let (came, gone) = (self.ids(&(&targets - planned)), self.ids(&(planned - &targets)));
            return Err(SubmitError::PlanMoved { came, gone });
        }
        self.guard(&submission.batch, submission.confirmed, &targets)?;
        Ok(targets)
    }

    /// What may have been meant by a target that matches nobody.
    fn nearest(&self, target: &Target) -> Vec<String> {
        let ids = self.inventory.nearest_ids(target, SUGGESTIONS);
        match ids.is_empty() {
            true => self.inventory.nearest_terms(target, SUGGESTIONS),
            false => ids.iter().map(ToString::to_string).collect(),
        }
    }

    /// Those whose id, hashed with the seed, comes first: adding or removing others changes nothing among the rest.
    fn choose(&self, targets: &Members, subset: Subset) -> Members {
        let key = |no: u32| {
            let mut hash = Sha256::new();
            hash.update(subset.seed.to_be_bytes());
            hash.update(self.inventory.get(no).map_or("", |m| m.id.as_str()));
            let digest: [u8; 32] = hash.finalize().into();
            (digest, no)
        };
        let mut keyed: Vec<([u8; 32], u32)> = targets.iter().map(key).collect();
        keyed.sort_unstable();
        keyed.into_iter().take(subset.count as usize).map(|(_, no)| no).collect()
    }

    fn ids(&self, members: &Members) -> Vec<MinionId> {
        members.iter().filter_map(|no| self.inventory.get(no)).map(|m| m.id.clone()).collect()
    }

    /// People forget the batch and break the fleet (saltstack/salt #19054, #48065).
    fn guard(&self, rule: &BatchRule, confirmed: Option<u64>, targets: &Members) -> Result<(), SubmitError> {
        let Some(guard) = self.rule.batches.unbatched_limit else { return Ok(()) };
        let (count, fleet) = (targets.len(), self.inventory.all().len());
        let limited = |name: &RegionName| {
            let region = self.rule.batches.regions.get(name).copied().unwrap_or_default();
            let by_default = region.default_window.is_some() && rule.size == BatchSize::Regions;
            by_default || region.cap.is_some()
        };
        let mut regions = self.inventory.by_region().filter(|(_, all)| !all.is_disjoint(targets));
        let batched = match rule.size {
            BatchSize::Regions | BatchSize::All => regions.all(|(name, _)| limited(name)),
            _ => true,
        };
        if batched || count <= guard.of(fleet) || confirmed == Some(count) {
            return Ok(());
        }
        Err(SubmitError::TooWide { targets: count, fleet, guard })
    }

    fn accept(
        &mut self,
        now: Millis,
        wall: WallMicros,
        token: u64,
        submission: Submission,
        targets: Members,
    ) {
        self.last_jid = wall.max(self.last_jid.saturating_add(1));
        let jid = Jid::from_micros(self.last_jid);
        let batch = BatchRule { regions: self.rule.batches.regions.clone(), ..submission.batch };
        let Frozen { leaves, shown } = self.freeze(&targets);
        let spec = JobSpec {
            jid,
            fabric: self.rule.fabric.clone(),
            function: submission.function,
            args: submission.args,
            caller: submission.caller,
            run_limit: submission.run_limit,
            epoch: self.rule.epoch,
            request: submission.request_digest,
            targets: shown.root(),
            span: sealing::span(&batch, submission.delivery_limit, wall),
        };
        let job = match self.rule.seal.seal(&spec) {
            Ok(job) => job,
            Err(no_key) => {
                let result = Err(SubmitError::Unsigned(no_key));
                return self.effects.push(OwnerEffect::Reply { token, result });
            }
        };
        self.tier.trees.add(jid, shown);
        let head = JobHead {
            job: Arc::new(job),
            spec,
            request_id: submission.request_id,
            request_digest: submission.request_digest,
            target: submission.written,
            batch,
            targets,
            leaves,
            inventory_version: self.inventory.version(),
            created: wall,
            delivery_limit: submission.delivery_limit,
            epoch: self.rule.epoch,
        };
        self.open(now, token, head);
    }

    /// Opens the job, and commits it together with the first "send begun" marks.
    fn open(&mut self, now: Millis, token: u64, head: JobHead) {
        let jid = head.job.jid;
        self.tier.works.insert(jid, Work::new(Some(head.job.clone()), head.epoch, head.targets.clone()));
        self.note(jid, "accepted", head.targets.len());
        self.commits_short(now);
        let (accept, epoch) = (Write::Accept(Box::new(head.clone())), head.epoch);
        let job = OpenJob {
            timing: self.timing(&head),
            window: self.window(now, 0, &head),
            closed: false,
            token: Some(token),
            grant_until: now + sealing::left(&head.spec.span, head.created),
            cancel: Sealed::default(),
            cancel_owed: false,
            head,
            seq: 0,
        };
        self.serial.extend(job.head.batch.serial.then_some(jid));
        self.jobs.insert(jid, job);
        let granted = self.grant(now, jid).unwrap_or_default();
        let signed = self.signed_for(jid, &granted);
        let marks = self.mark(now, jid, &signed).into_iter().map(|mark| Write::Sent(mark, epoch));
        let writes = [accept].into_iter().chain(marks).collect();
        // The messages are made when the job stands: links may come and go while the store writes.
        let waiting = Waiting { accept: Some(jid), ..Waiting::default() };
        self.persist(writes, waiting, true);
        self.turn_away(jid, &(granted - signed));
    }

    /// Answers the operator, and if the job stands, offers it to all who are up by now.
    pub(super) fn accepted(&mut self, now: Millis, jid: Jid, result: Result<(), WriteError>) {
        let Some(job) = self.jobs.get_mut(&jid) else { return };
        let Some(token) = job.token.take() else { return };
        let targets = job.head.targets.len();
        let reply = match result {
            Ok(()) => Ok(Accepted { jid, targets, known: false }),
            Err(WriteError::RequestKnown { jid, targets, same: true }) => {
                Ok(Accepted { jid, targets, known: true })
            }
            Err(WriteError::RequestKnown { jid, same: false, .. }) => Err(SubmitError::RequestReused(jid)),
            Err(WriteError::JidTaken(_)) => {
                self.rename(now, jid, token);
                return;
            }
            Err(error) => Err(SubmitError::Store(error.to_string())),
        };
        let stands = reply.as_ref().is_ok_and(|a| !a.known);
        if !stands {
            self.drop_job(jid);
        }
        self.effects.push(OwnerEffect::Reply { token, result: reply });
        if stands {
            let work = self.tier.works.get(&jid);
            let sent = work.map(|w| w.ledger.in_flight() & self.tier.up()).unwrap_or_default();
            self.offer_job(now, jid, &sent);
            self.ready.insert(jid);
        }
    }

    /// Another top master took the same microsecond: try the next.
    fn rename(&mut self, now: Millis, jid: Jid, token: u64) {
        let Some(job) = self.jobs.remove(&jid) else { return };
        self.drop_job(jid);
        let Some(next) = self.last_jid.max(jid.micros()).checked_add(1) else {
            let why = "it holds a job of the end of all time; see relayctl store check".into();
            let result = Err(SubmitError::Store(why));
            return self.effects.push(OwnerEffect::Reply { token, result });
        };
        self.last_jid = next;
        let mut head = job.head;
        head.spec.jid = Jid::from_micros(self.last_jid);
        match self.rule.seal.seal(&head.spec) {
            Ok(job) => {
                head.job = Arc::new(job);
                self.open(now, token, head);
            }
            Err(no_key) => {
                let result = Err(SubmitError::Unsigned(no_key));
                self.effects.push(OwnerEffect::Reply { token, result });
            }
        }
    }
}
