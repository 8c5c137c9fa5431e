//! What a watch has told so far, as a set: the same events twice, or in another order, make the same result.

use std::collections::{BTreeMap, HashMap};

use anyhow::anyhow;
use bytes::Bytes;
use relay_core::{
    ids::Jid,
    outcome::{Outcome, Reason},
};
use relay_proto::operator::{
    Closed, Count, JobHead, Progress, RegionProgress, Returns, WatchEvent, watch_event::Event,
};
use serde_json::Value;

/// One answer, which many minions may have given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said {
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The exit code.
    pub retcode: i32,
    /// The value as JSON text; empty where there is none.
    pub body: Bytes,
    /// SHA-256 of the whole value, if `body` holds only its beginning; else empty.
    pub truncated: Vec<u8>,
}

impl Said {
    fn read(returns: &Returns) -> anyhow::Result<Said> {
        let strange = |what: &str, word: &str| {
            anyhow!(
                "the top master says the {what} {word:?}, which this relayctl does not know: upgrade relayctl"
            )
        };
        let outcome =
            Outcome::from_word(&returns.outcome).ok_or_else(|| strange("outcome", &returns.outcome))?;
        let reason = Reason::from_word(&returns.reason).ok_or_else(|| strange("reason", &returns.reason))?;
        let (body, truncated) = (returns.body.clone(), returns.truncated.clone());
        Ok(Said { outcome, reason, retcode: returns.retcode, body, truncated })
    }

    /// The value.
    pub fn value(&self) -> Value {
        value(&self.body, &self.truncated)
    }

    /// The outcome with its reason, if there is one: `not_started (unreachable)`.
    pub fn words(&self) -> String {
        words(self.outcome, self.reason)
    }
}

/// The value that a return has. What is cut off, or no JSON, is shown as text; of a text that is cut off, what there is of
/// it.
pub fn value(body: &[u8], truncated: &[u8]) -> Value {
    let text = || Value::String(String::from_utf8_lossy(body).into_owned());
    match (body.is_empty(), truncated.is_empty()) {
        (true, _) => Value::Null,
        (_, false) => beginning(body).map_or_else(text, Value::String),
        _ => serde_json::from_slice(body).unwrap_or_else(|_| text()),
    }
}

/// Longest piece of a JSON text that means nothing without its end, in bytes: two `\uXXXX` of one character.
const LONGEST_ESCAPE: usize = 12;

/// What a JSON text says that was cut off somewhere; nothing for another value. Without this, a command's long output
/// would be one line full of `\n`.
fn beginning(body: &[u8]) -> Option<String> {
    body.first().filter(|first| **first == b'"')?;
    let ends = (1..=body.len()).rev().take(LONGEST_ESCAPE);
    ends.map(|end| [&body[..end], b"\""].concat()).find_map(|closed| serde_json::from_slice(&closed).ok())
}

fn words(outcome: Outcome, reason: Reason) -> String {
    match reason {
        Reason::None => outcome.word().to_owned(),
        reason => format!("{} ({})", outcome.word(), reason.word()),
    }
}

/// An answer and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// The answer.
    pub said: &'a Said,
    /// The minions, sorted.
    pub minions: Vec<&'a str>,
}

/// A minion that was `unknown` before its outcome came. Moments are microseconds since 1970 UTC; 0 where nobody told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// When it was given up as unknown.
    pub unknown: u64,
    /// When its outcome came.
    pub resolved: u64,
}

/// A job, as far as it is known.
#[derive(Debug, Clone)]
pub struct JobResult {
    /// Its name.
    pub jid: Jid,
    /// What was asked for; once a watch has begun.
    pub head: Option<JobHead>,
    /// Where each region stands, as last told.
    pub regions: Vec<RegionProgress>,
    /// Where its batch stands, as last told; `regions` above are taken out of it.
    pub standing: Progress,
    cursor: u64,
    seen: u64,
    unknown_since: HashMap<String, u64>,
    late: BTreeMap<String, Late>,
    targets: u64,
    closed: Option<Closed>,
    said: Vec<Said>,
    number: HashMap<Said, usize>,
    of: BTreeMap<String, usize>,
}

impl JobResult {
    /// A job of which only the name and the number of its targets is known (0: not even that).
    pub fn new(jid: Jid, targets: u64) -> JobResult {
        JobResult {
            jid,
            head: None,
            regions: Vec::new(),
            standing: Progress::default(),
            cursor: 0,
            seen: 0,
            unknown_since: HashMap::new(),
            late: BTreeMap::new(),
            targets,
            closed: None,
            said: Vec::new(),
            number: HashMap::new(),
            of: BTreeMap::new(),
        }
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// An outcome or a reason that this program does not know.
    pub fn apply(&mut self, event: WatchEvent) -> anyhow::Result<()> {
        match event.event {
            Some(Event::Head(head)) => {
                self.targets = head.targets;
                self.head = Some(head);
            }
            Some(Event::Returns(returns)) => self.returns(returns)?,
            Some(Event::Progress(mut progress)) => {
                self.regions = std::mem::take(&mut progress.regions);
                self.standing = progress;
            }
            Some(Event::Closed(closed)) => self.closed = Some(closed),
            // A newer top master's event: what it tells is not needed for the outcomes.
            None => {}
        }
        self.cursor = self.cursor.max(event.cursor);
        Ok(())
    }

    fn returns(&mut self, returns: Returns) -> anyhow::Result<()> {
        let said = Said::read(&returns)?;
        let number = *self.number.entry(said).or_insert_with_key(|said| {
            self.said.push(said.clone());
            self.said.len() - 1
        });
        for minion in returns.minions {
            self.one(minion, number, returns.at);
        }
        Ok(())
    }

    fn one(&mut self, minion: String, number: usize, at: u64) {
        let resolved = self.said[number].outcome.is_final();
        let slot = self.of.entry(minion.clone()).or_insert(number);
        // The only legal change is from `unknown` to a final outcome; a repeat is what is there already.
        if self.said[*slot].outcome.is_final() && *slot != number {
            return;
        }
        let before = std::mem::replace(slot, number);
        if !resolved {
            self.unknown_since.entry(minion).or_insert(at);
        } else if before != number {
            let unknown = self.unknown_since.remove(&minion).unwrap_or(0);
            self.late.insert(minion, Late { unknown, resolved: at });
        }
    }

    /// How many minions the job is for.
    pub fn targets(&self) -> u64 {
        self.targets
    }
    /// How many of them have an outcome.
    pub fn accounted(&self) -> u64 {
        self.of.len() as u64
    }
    /// Whether the top master has said that it is over.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }
    /// How many of them have none yet.
    pub fn outstanding(&self) -> u64 {
        self.targets.saturating_sub(self.accounted())
    }
    /// How long the job took, as its top master measured it. While it is open, the time from its acceptance to the last
    /// [`JobResult::seen_at`], which may be wrong by as much as the two machines' clocks differ.
    pub fn elapsed_ms(&self) -> u64 {
        let created = self.head.as_ref().map_or(0, |head| head.created);
        let so_far = if created == 0 { 0 } else { self.seen.saturating_sub(created) / 1_000 };
        self.closed.as_ref().map_or(so_far, |c| c.elapsed_ms)
    }
    /// Notes when it was last looked at, in microseconds since 1970 UTC.
    pub fn seen_at(&mut self, now: u64) {
        self.seen = now;
    }
    /// The cursor of the last event that can be resumed after; 0: none.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }
    /// Watches on after an event that another watch told last: nothing before it is known here.
    pub fn resume_after(&mut self, cursor: u64) {
        self.cursor = cursor;
    }
    /// Minions whose outcome came after they had been given up as unknown, by id.
    pub fn late(&self) -> impl Iterator<Item = (&str, Late, &Said)> {
        self.late.iter().filter_map(|(id, late)| Some((id.as_str(), *late, &self.said[*self.of.get(id)?])))
    }
    /// Ids of the minions whose answer is one of these, sorted.
    pub fn ids_where(&self, wanted: impl Fn(&Said) -> bool) -> Vec<&str> {
        let has = |number: &usize| wanted(&self.said[*number]);
        self.of.iter().filter(|(_, number)| has(number)).map(|(id, _)| id.as_str()).collect()
    }
    /// The outcomes at the close as the top master counted them: also of minions that this watch began too late for.
    pub fn outcomes_at_close(&self) -> Vec<Outcome> {
        let counts = self.closed.as_ref().map(|closed| closed.outcomes.as_slice()).unwrap_or_default();
        counts.iter().filter(|c| c.minions > 0).filter_map(|c| Outcome::from_word(&c.outcome)).collect()
    }
    /// Whether all that was known when the watch began has come.
    pub fn is_complete_so_far(&self) -> bool {
        let known = |head: &JobHead| head.outcomes.iter().map(|c: &Count| c.minions).sum::<u64>();
        match &self.head {
            _ if self.is_closed() => true,
            Some(head) => head.closed == 0 && self.accounted() >= known(head) && !self.regions.is_empty(),
            None => false,
        }
    }

    /// The outcome of each minion that has one.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.of.values().map(|number| self.said[*number].outcome)
    }

    /// How many minions have each outcome, in the order in which people are shown them.
    pub fn counts(&self) -> BTreeMap<Outcome, u64> {
        let mut counts = BTreeMap::new();
        self.outcomes().for_each(|outcome| *counts.entry(outcome).or_default() += 1);
        counts
    }

    /// The same with reasons: `198 ok, 2 not_started (unreachable)`.
    pub fn count_words(&self) -> String {
        let mut counts: BTreeMap<(Outcome, Reason), u64> = BTreeMap::new();
        for number in self.of.values() {
            let said = &self.said[*number];
            *counts.entry((said.outcome, said.reason)).or_default() += 1;
        }
        let each = counts.into_iter().map(|((outcome, reason), n)| format!("{n} {}", words(outcome, reason)));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Equal answers together, the largest group first.
    pub fn folded(&self) -> Vec<Group<'_>> {
        let mut members: Vec<Vec<&str>> = vec![Vec::new(); self.said.len()];
        self.of.iter().for_each(|(minion, number)| members[*number].push(minion));
        let groups = self.said.iter().zip(members).map(|(said, minions)| Group { said, minions });
        let mut groups: Vec<Group<'_>> = groups.filter(|g| !g.minions.is_empty()).collect();
        // By content among equals, so that the same job prints the same every time.
        groups.sort_by(|a, b| b.minions.len().cmp(&a.minions.len()).then_with(|| a.said.cmp(b.said)));
        groups
    }

    /// Each minion by itself, by id.
    pub fn unfolded(&self) -> Vec<Group<'_>> {
        self.of.iter().map(|(id, number)| Group { said: &self.said[*number], minions: vec![id] }).collect()
    }
}
