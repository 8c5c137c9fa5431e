//! How a target can end, and why. Each target of a job has exactly one of these in the end.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What became of one (jid, minion). `Unknown` is the only one that may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Ended with retcode 0.
    Ok,
    /// Ended with another retcode.
    Failed,
    /// The run limit passed and the whole process group was seen dead.
    TimedOut,
    /// It was started, did not end, and nothing of it runs any more.
    Interrupted,
    /// A cancel came first, or killed it.
    Cancelled,
    /// Not started, by a rule; safe to run again.
    Refused,
    /// Proven never started; safe to run again.
    NotStarted,
    /// No evidence at the deadline. It may have run; a late return resolves it.
    Unknown,
}

impl Outcome {
    /// Every outcome, in the order in which people are shown them.
    pub const ALL: [Outcome; 8] = [
        Outcome::Ok,
        Outcome::Failed,
        Outcome::TimedOut,
        Outcome::Interrupted,
        Outcome::Cancelled,
        Outcome::Refused,
        Outcome::NotStarted,
        Outcome::Unknown,
    ];

    /// The word used on the command line, in JSON, in the store and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed_out",
            Outcome::Interrupted => "interrupted",
            Outcome::Cancelled => "cancelled",
            Outcome::Refused => "refused",
            Outcome::NotStarted => "not_started",
            Outcome::Unknown => "unknown",
        }
    }

    /// The outcome that a word names.
    pub fn from_word(word: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|o| o.word() == word)
    }

    /// All but `unknown` are final: written once, never changed.
    pub fn is_final(self) -> bool {
        self != Outcome::Unknown
    }
}

/// Why an outcome is what it is, where the outcome alone does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Reason {
    /// The outcome says it all.
    #[default]
    None,
    /// The minion was not reachable before the delivery deadline, and nothing was ever sent to it.
    Unreachable,
    /// The job came after its delivery deadline; the minion's tombstone keeps it from ever starting.
    Expired,
    /// Cancelled before the start.
    BeforeStart,
    /// Killed by a cancel, while it ran.
    WhileRunning,
    /// The minion could not write its intent (disk full, unwritable journal).
    NoSpace,
    /// The minion already runs as many jobs as it may.
    Busy,
    /// The same jid came with another content. A security event.
    DigestMismatch,
    /// The other side speaks a version that this side does not.
    Version,
    /// It was sent, its minion is not connected (or lost its journal since), and nothing says that it started.
    ConnectionLost,
    /// It was running when last heard of, and no end was reported by the bound.
    NoReport,
    /// The process that ran it died, and nothing of it was left alive.
    ProcessDied,
    /// The machine was restarted under it.
    Rebooted,
    /// Its batch was stopped by failures before its turn.
    BatchStopped,
    /// As many as the operator asked for had answered (`--until`).
    Enough,
    /// The job's own deadline passed (`--deadline`).
    Deadline,
    /// Nobody approved the next stage of the canary in time.
    NotApproved,
    /// There is no signature on the job. A security event.
    Unsigned,
    /// It is signed by a key that the minion's key list does not name for that time. A security event.
    UnknownKey,
    /// The signature is not of this job. A security event.
    BadSignature,
    /// It was signed for another fabric. A security event.
    WrongFabric,
    /// It came from an owner that another one has replaced, or says so. Not taken, and not answered.
    StaleEpoch,
    /// Nothing shows that this minion, with this journal, is one of the job's targets. Not taken, and not answered. A security
    /// event.
    NotTarget,
    /// By the minion's clock, the job's time has not come.
    NotYet,
    /// The time for which the job was signed is over.
    Outdated,
    /// The minion's own policy file does not allow the function.
    NotAllowed,
    /// The minion is in a blackout, by its own policy file.
    Blackout,
    /// The minion lost its journal after the targets were frozen: the job is signed for the one before.
    NewJournal,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 28] = [
        Reason::None,
        Reason::Unreachable,
        Reason::Expired,
        Reason::BeforeStart,
        Reason::WhileRunning,
        Reason::NoSpace,
        Reason::Busy,
        Reason::DigestMismatch,
        Reason::Version,
        Reason::ConnectionLost,
        Reason::NoReport,
        Reason::ProcessDied,
        Reason::Rebooted,
        Reason::BatchStopped,
        Reason::Enough,
        Reason::Deadline,
        Reason::NotApproved,
        Reason::Unsigned,
        Reason::UnknownKey,
        Reason::BadSignature,
        Reason::WrongFabric,
        Reason::StaleEpoch,
        Reason::NotTarget,
        Reason::NotYet,
        Reason::Outdated,
        Reason::NotAllowed,
        Reason::Blackout,
        Reason::NewJournal,
    ];

    /// The word in JSON and in the store; empty for [`Reason::None`].
    pub fn word(self) -> &'static str {
        match self {
            Reason::None => "",
            Reason::Unreachable => "unreachable",
            Reason::Expired => "expired",
            Reason::BeforeStart => "before_start",
            Reason::WhileRunning => "while_running",
            Reason::NoSpace => "no_space",
            Reason::Busy => "busy",
            Reason::DigestMismatch => "digest_mismatch",
            Reason::Version => "version",
            Reason::ConnectionLost => "connection_lost",
            Reason::NoReport => "no_report",
            Reason::ProcessDied => "process_died",
            Reason::Rebooted => "rebooted",
            Reason::BatchStopped => "batch_stopped",
            Reason::Enough => "enough",
            Reason::Deadline => "deadline",
            Reason::NotApproved => "not_approved",
            Reason::Unsigned => "unsigned",
            Reason::UnknownKey => "unknown_key",
            Reason::BadSignature => "bad_signature",
            Reason::WrongFabric => "wrong_fabric",
            Reason::StaleEpoch => "stale_epoch",
            Reason::NotTarget => "not_target",
            Reason::NotYet => "not_yet",
            Reason::Outdated => "outdated",
            Reason::NotAllowed => "not_allowed",
            Reason::Blackout => "blackout",
            Reason::NewJournal => "new_journal",
        }
    }

    /// The reason that a word names.
    pub fn from_word(word: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|r| r.word() == word)
    }

    /// Somebody tried what he may not, or something is broken that keeps him from it: to be looked at.
    pub fn is_alarming(self) -> bool {
        self.is_unproven() || matches!(self, Reason::DigestMismatch | Reason::StaleEpoch | Reason::NotTarget)
    }

    /// What was refused for it need not be a job that an owner ever accepted: anybody between could have made it up.
    pub fn is_unproven(self) -> bool {
        use Reason::{BadSignature, UnknownKey, Unsigned, Version, WrongFabric};
        matches!(self, Unsigned | UnknownKey | BadSignature | WrongFabric | Version)
    }

    /// One line for people: what happened and what to do.
    pub fn explain(self) -> &'static str {
        match self {
            Reason::None => "",
            Reason::Unreachable => {
                "not connected before the delivery deadline; nothing was sent, safe to run again"
            }
            Reason::Expired => "arrived after the delivery deadline; will never start, safe to run again",
            Reason::BeforeStart => "cancelled before it started; safe to run again",
            Reason::WhileRunning => "killed by a cancel while it ran; partly done",
            Reason::NoSpace => {
                "the minion could not write its journal: free disk space there; safe to run again"
            }
            Reason::Busy => "the minion already runs as many jobs as it may; safe to run again",
            Reason::DigestMismatch => "another job under the same jid: look at the audit log",
            Reason::Version => "the minion speaks another version; upgrade it",
            Reason::ConnectionLost => {
                "sent, then the connection was lost; it may have run, a late return resolves it"
            }
            Reason::NoReport => "started, but no end was reported in time; a late return resolves it",
            Reason::ProcessDied => "started, then its process died; partly done",
            Reason::Rebooted => "started, then the machine was restarted; partly done",
            Reason::BatchStopped => "the batch was stopped by failures before its turn; safe to run again",
            Reason::Enough => {
                "the job closed when enough had answered (--until); a late return resolves what is unknown"
            }
            Reason::Deadline => {
                "the job's deadline passed (--deadline); a late return resolves what is unknown"
            }
            Reason::NotApproved => "nobody approved its stage in time; safe to run again",
            Reason::Unsigned => "its job was not signed: look at the audit log; safe to run again",
            Reason::UnknownKey => {
                "signed with a key that the minion does not know for that time: see that its trust is up to date; safe to run again"
            }
            Reason::BadSignature => {
                "the signature does not fit the job: look at the audit log; safe to run again"
            }
            Reason::WrongFabric => "the job was signed for another fabric: look at the audit log",
            Reason::StaleEpoch => "it came from a top master that is the owner no more",
            Reason::NotTarget => {
                "the job was not signed for this minion and its journal: look at the audit log; safe to run again"
            }
            Reason::NotYet => {
                "the job's time has not come by the minion's clock: see that the clocks agree; safe to run again"
            }
            Reason::Outdated => "the time for which the job was signed was over; safe to run again",
            Reason::NotAllowed => {
                "the minion's own policy file does not allow the function; safe to run again"
            }
            Reason::Blackout => "the minion is in a blackout by its own policy file; safe to run again",
            Reason::NewJournal => {
                "the minion has another journal than when the job was accepted; nothing was sent, safe to run again"
            }
        }
    }
}

/// One answer: what a minion says of a job, or what a tier says for minions it never sent it to. Equal ones fold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The function's or command's exit code; 0 where there is none.
    pub retcode: i32,
    /// The return value as JSON text, at most [`MAX_BODY_BYTES`]; empty where there is none.
    pub body: Bytes,
    /// SHA-256 of the whole value, if it was longer than the limit and `body` holds only its beginning.
    pub truncated: Option<[u8; 32]>,
    /// Said by a tier on its own knowledge (`not_started`, `cancelled` before the start), not by the minion.
    pub by_tier: bool,
}

/// Largest return value. What is longer is cut, with the hash of the whole beside it.
pub const MAX_BODY_BYTES: usize = 1 << 20;

impl Answer {
    /// An answer without a body.
    pub fn bare(outcome: Outcome, reason: Reason) -> Answer {
        Answer { outcome, reason, retcode: 0, body: Bytes::new(), truncated: None, by_tier: false }
    }

    /// The same with nothing left of its body but the hash.
    pub fn without_body(&self) -> Answer {
        let whole = self.truncated.unwrap_or_else(|| Sha256::digest(&self.body).into());
        Answer { body: Bytes::new(), truncated: Some(whole), ..self.clone() }
    }

    /// It claims that nothing was started.
    pub fn denies_start(&self) -> bool {
        matches!(
            (self.outcome, self.reason),
            (Outcome::NotStarted | Outcome::Refused, _) | (Outcome::Cancelled, Reason::BeforeStart)
        )
    }

    /// What a tier says on its own knowledge.
    pub fn by_tier(outcome: Outcome, reason: Reason) -> Answer {
        Answer { by_tier: true, ..Answer::bare(outcome, reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lossless() {
        for o in Outcome::ALL {
            assert_eq!(Outcome::from_word(o.word()), Some(o));
        }
        for r in Reason::ALL {
            assert_eq!(Reason::from_word(r.word()), Some(r));
            assert_eq!(r == Reason::None, r.explain().is_empty());
        }
    }
}
