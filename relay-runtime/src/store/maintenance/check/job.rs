//! One job's rows: each by itself as it passes by, and all of them together at their end (the ledger's invariant I2: every
//! target has at most one outcome, and nobody else has one; a closed job has one for each).

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use relay_core::{
    Members,
    ids::Jid,
    leaves::Leaves,
    ledger::AnswerKey,
    outcome::{Answer, Outcome, Reason},
    time::WallMicros,
};
use relay_proto::{envelope, operator as wire};
use sha2::{Digest, Sha256};

use super::{
    super::table::{Row, Wrong},
    known, within_epoch,
};
use crate::store::{MAX_SUMMARY_ARGS, value::counts_from_text};

/// Is told of what is wrong: the row, and what.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&str, String);

/// What is kept of a job's rows until their end.
#[derive(Default)]
pub(super) struct JobRows {
    jid: Option<Jid>,
    head: Option<Head>,
    /// There is a row of the job itself, understood or not.
    has_head: bool,
    request: Option<Request>,
    /// There are rows of other tables.
    has_parts: bool,
    sent: Members,
    answers: BTreeMap<u64, Outcome>,
    members: BTreeMap<u64, Members>,
    /// Who has which answer after all changes so far.
    replayed: BTreeMap<u64, Members>,
    /// Who of them has one that stays.
    settled: Members,
    /// Answers that may be resolved into others.
    unsettled: BTreeSet<u64>,
    seq: u64,
    /// A row could not be understood: what does not fit it is not told again.
    broken: bool,
}

struct Head {
    targets: Members,
    closed: bool,
    unresolved: bool,
    dropped: bool,
    counts: Option<String>,
    request_id: [u8; 16],
    request_digest: [u8; 32],
}

struct Request {
    id: [u8; 16],
    digest: [u8; 32],
    targets: u64,
    created: WallMicros,
}

impl JobRows {
    /// Looks at a row.
    pub(super) fn take(&mut self, row: &Row, epoch: u64, tell: Tell<'_>) {
        self.jid = Some(Jid::from_micros(row.job() as u64));
        if let Err(why) = row.damage().map_or_else(|| self.look(row, epoch), Err) {
            self.broken = true;
            tell(&row.to_string(), why);
        }
    }

    fn look(&mut self, row: &Row, epoch: u64) -> Result<(), Wrong> {
        let table = row.table.name;
        self.has_head |= table == "jobs";
        self.has_parts |= !matches!(table, "jobs" | "requests");
        match table {
            "jobs" => self.head = Some(head(row, epoch)?),
            "requests" => self.request = Some(request(row)?),
            _ => self.part(table, row)?,
        }
        Ok(())
    }

    fn part(&mut self, table: &str, row: &Row) -> Result<(), Wrong> {
        match table {
            "batches" => batch(row),
            "sends" => {
                self.sent |= row.set("members")?;
                Ok(())
            }
            "answers" => {
                let (no, outcome) = (row.number("no")?, row.word("outcome", Outcome::from_word)?);
                self.answers.insert(no, outcome);
                answer(row, outcome)
            }
            "members" => self.have(row),
            "changes" => self.change(row),
            _ => Ok(()),
        }
    }

    fn have(&mut self, row: &Row) -> Result<(), Wrong> {
        let (no, set, count) = (row.number("no")?, row.set("members")?, row.number("count")?);
        if count != set.len() {
            return Err(format!("count: {count}, and there are {}", set.len()));
        }
        let outcome = row.word("outcome", Outcome::from_word)?;
        if self.answers.get(&no).is_some_and(|answer| *answer != outcome) {
            return Err(format!("outcome: {}, and the answer has another", outcome.word()));
        }
        self.members.insert(no, set);
        Ok(())
    }

    /// Numbers rise by one. Who newly has an answer that stays is unknown no more; both may be of one change.
    fn change(&mut self, row: &Row) -> Result<(), Wrong> {
        let (seq, no, mut set) = (row.number("seq")?, row.number("no")?, row.set("members")?);
        let before = std::mem::replace(&mut self.seq, seq);
        if seq != before && seq != before + 1 {
            return Err(format!("after change {before} comes change {seq}"));
        }
        let Some(outcome) = self.answers.get(&no) else {
            return Err(format!("answer {no} is missing"));
        };
        if outcome.is_final() {
            for no in &self.unsettled {
                self.replayed.entry(*no).and_modify(|had| *had -= &set);
            }
            self.settled |= &set;
        } else {
            self.unsettled.insert(no);
            set -= &self.settled;
        }
        *self.replayed.entry(no).or_default() |= set;
        Ok(())
    }

    /// A request that outlived its job.
    pub(super) fn is_only_a_request(&self) -> bool {
        !self.has_head && !self.has_parts
    }

    pub(super) fn requested(&self) -> Option<WallMicros> {
        self.request.as_ref().map(|request| request.created)
    }

    /// Looks at all of them together.
    pub(super) fn finish(self, minions: &Members, tell: Tell<'_>) {
        let Some(jid) = self.jid else { return };
        let name = format!("jobs (jid {jid})");
        if !self.has_head && self.has_parts {
            return tell(&name, "it is missing, and there are rows of it".into());
        }
        let Some(head) = &self.head else { return };
        // One that is being pruned loses its rows one after the other.
        if self.broken || head.dropped {
            return;
        }
        for looked in [
            known(&head.targets, minions, "targets"),
            self.asked(head),
            self.sent(head),
            self.numbered(),
            self.disjoint(head),
            self.closed(head),
            self.told(),
        ] {
            looked.unwrap_or_else(|why| tell(&name, why));
        }
    }

    /// Its request is remembered as long as it is.
    fn asked(&self, head: &Head) -> Result<(), Wrong> {
        let Some(request) = &self.request else { return Err("its request id is missing".into()) };
        let same = request.id == head.request_id
            && request.digest == head.request_digest
            && request.targets == head.targets.len();
        if same { Ok(()) } else { Err("its request id is another job's".into()) }
    }

    fn sent(&self, head: &Head) -> Result<(), Wrong> {
        match (&self.sent - &head.targets).min() {
            None => Ok(()),
            Some(no) => Err(format!("minion {no} was sent it and is no target")),
        }
    }

    /// Answers are numbered from 0 on, and it is known of each who gave it.
    fn numbered(&self) -> Result<(), Wrong> {
        let next = self.answers.len() as u64;
        if let Some(no) = (0..next).find(|no| !self.answers.contains_key(no)) {
            return Err(format!("answer {no} is missing"));
        }
        if let Some(no) = (0..next).find(|no| !self.members.contains_key(no)) {
            return Err(format!("it is not known who gave answer {no}: the row of members is missing"));
        }
        match self.members.keys().find(|no| **no >= next) {
            Some(no) => Err(format!("answer {no} is missing, and some gave it")),
            None => Ok(()),
        }
    }

    /// `targets = open + outcomes`: nobody has two, and nobody else has one.
    fn disjoint(&self, head: &Head) -> Result<(), Wrong> {
        let mut done = Members::new();
        for (no, set) in &self.members {
            if let Some(twice) = (&done & set).min() {
                return Err(format!("minion {twice} has two outcomes, the second by answer {no}"));
            }
            if let Some(stranger) = (set - &head.targets).min() {
                return Err(format!("minion {stranger} gave answer {no} and is no target"));
            }
            done |= set;
        }
        Ok(())
    }

    /// A closed job has an outcome of everybody, and the counts of its answers.
    fn closed(&self, head: &Head) -> Result<(), Wrong> {
        let text = match (head.closed, &head.counts) {
            (false, None) => return Ok(()),
            (false, Some(_)) => return Err("it is open and has counts of its close".into()),
            (true, None) => return Err("it is closed and has no counts".into()),
            (true, Some(text)) => text,
        };
        let (mut open, mut counts) = (head.targets.clone(), BTreeMap::<Outcome, u64>::new());
        for (no, set) in self.members.iter().filter(|(_, set)| !set.is_empty()) {
            open -= set;
            if let Some(outcome) = self.answers.get(no) {
                *counts.entry(*outcome).or_default() += set.len();
            }
        }
        if let Some(no) = open.min() {
            return Err(format!("it is closed, and minion {no} has no outcome"));
        }
        let mut told = counts_from_text(text).map_err(|why| format!("counts: {why}"))?;
        told.retain(|_, n| *n > 0);
        if told != counts {
            return Err(format!("counts: {text}, and the answers give others"));
        }
        match counts.contains_key(&Outcome::Unknown) == head.unresolved {
            true => Ok(()),
            false => Err(format!("unresolved: {}, and the answers say otherwise", head.unresolved)),
        }
    }

    /// All changes together give who has which answer now.
    fn told(&self) -> Result<(), Wrong> {
        let nobody = Members::new();
        let differs = |(no, set): &(&u64, &Members)| self.replayed.get(no).unwrap_or(&nobody) != *set;
        match self.members.iter().find(differs) {
            None => Ok(()),
            Some((no, _)) => Err(format!("its changes give answer {no} to others than have it")),
        }
    }
}

fn head(row: &Row, epoch: u64) -> Result<Head, Wrong> {
    let (jid, digest) = (Jid::from_micros(row.number("jid")?), row.fixed("digest")?);
    let job = envelope::job(jid, digest, row.bytes("envelope")?.to_vec().into());
    let digest: [u8; 32] = Sha256::digest(&job.envelope).into();
    if digest != job.digest {
        return Err("the envelope does not have its digest".into());
    }
    let spec = envelope::open(&job).map_err(|e| format!("envelope: {e}"))?;
    if spec.jid != job.jid {
        return Err(format!("the envelope is of job {}", spec.jid));
    }
    let args = row.has("args").then(|| row.bytes("args")).transpose()?;
    let same_args = args == Some(&spec.args[..]).filter(|args| args.len() <= MAX_SUMMARY_ARGS);
    if spec.function != row.text("function")? || spec.caller != row.text("caller")? || !same_args {
        return Err("function, caller or args are not those of the envelope".into());
    }
    within_epoch(row.number("epoch")?, epoch)?;
    let (targets, count) = (row.set("targets")?, row.number("target_count")?);
    if targets.len() != count {
        return Err(format!("target_count: {count}, and there are {}", targets.len()));
    }
    // None in a job of a former version, or one that nobody is sent any more.
    let leaves = Some(row.bytes("leaves")?).filter(|leaves| !leaves.is_empty());
    leaves.map(|leaves| Leaves::decode(leaves, &targets)).transpose().map_err(|e| format!("leaves: {e}"))?;
    Ok(Head {
        targets,
        closed: row.has("closed"),
        unresolved: row.flag("unresolved")?,
        dropped: row.flag("dropped")?,
        counts: row.has("counts").then(|| row.text("counts").map(str::to_owned)).transpose()?,
        request_id: row.fixed("request_id")?,
        request_digest: row.fixed("request_digest")?,
    })
}

fn request(row: &Row) -> Result<Request, Wrong> {
    Ok(Request {
        id: row.fixed("id")?,
        digest: row.fixed("digest")?,
        targets: row.number("target_count")?,
        created: row.number("created")?,
    })
}

fn batch(row: &Row) -> Result<(), Wrong> {
    let rule = wire::Batch::decode(row.bytes("rule")?).map_err(|e| format!("rule: {e}"))?;
    relay_proto::batch::decode(rule).map_err(|e| format!("rule: {e}"))?;
    let approved = row.number("approved")?;
    u32::try_from(approved).map(drop).map_err(|e| format!("approved: {approved}: {e}"))
}

fn answer(row: &Row, outcome: Outcome) -> Result<(), Wrong> {
    let answer = Answer {
        outcome,
        reason: row.word("reason", Reason::from_word)?,
        retcode: row.signed("retcode")?,
        body: row.bytes("body")?.to_vec().into(),
        truncated: row.has("truncated").then(|| row.fixed("truncated")).transpose()?,
        by_tier: row.flag("by_tier")?,
    };
    let size = row.number("body_size")?;
    if size != answer.body.len() as u64 {
        return Err(format!("body_size: {size}, and there are {} bytes", answer.body.len()));
    }
    match AnswerKey::of(&answer).body == row.fixed::<32>("digest")? {
        true => Ok(()),
        false => Err("the body does not have its digest".into()),
    }
}
