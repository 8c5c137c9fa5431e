//! Rules broken on purpose, to prove that the checks can fail.

use relay_core::{
    batch::{BatchRule, BatchSize},
    topology::Share,
};

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sabotage {
    /// Everything is as it should be.
    #[default]
    None,
    /// A minion takes its intent for durable without writing it.
    StartUnjournaled,
    /// A syndic takes what its spool is writing for durable, and acknowledges it.
    AckUndurable,
    /// The top master acknowledges what its store is still committing.
    AckUncommitted,
    /// A syndic drops returns and takes them for acknowledged by the top master.
    DropReturns,
    /// The top master takes what its store is committing for durable.
    ShowUncommitted,
    /// The store lets writes of former owners in.
    Unfenced,
    /// The store adds to a row of answers and never takes anybody out.
    KeepUnknown,
    /// A syndic sends every job to every minion it has, and they take it.
    SendToAll,
    /// The top master never looks at its deadlines.
    NeverDeclare,
    /// The top master believes whatever region a syndic claims.
    TrustRegion,
    /// A minion says "refused" of what it started.
    DenyStart,
    /// The top master starts a job everywhere, whatever its window.
    IgnoreWindow,
    /// The top master takes no notice of failures.
    IgnoreFailures,
    /// The top master does not wait between the stages of a canary.
    IgnoreStages,
    /// The top master lets serial jobs run side by side.
    IgnoreSerial,
    /// A minion says that an execution is over while it goes on: its place is given to another.
    EndEarly,
    /// A former owner takes what the store refused for done.
    IgnoreFence,
    /// A syndic that changes its parent leaves its returns behind.
    DropAtMove,
    /// A watcher that comes again is told everything anew.
    ForgetCursor,
    /// A takeover does not raise the epoch: the former owner's writes land.
    SameEpoch,
    /// A standby takes links, and acknowledges what it hears.
    StandbyAccepts,
    /// A minion takes jobs that nobody signed.
    TakeUnsigned,
    /// A minion takes jobs that were signed for others.
    TakeUnproven,
    /// A minion takes jobs whose time is over.
    TakeOutdated,
}

impl Sabotage {
    /// What a top master makes of what an operator asks for.
    pub fn batch(self, asked: &BatchRule) -> BatchRule {
        let mut rule = asked.clone();
        match (self, &asked.size) {
            (Sabotage::IgnoreWindow, BatchSize::Window(_))
            | (Sabotage::IgnoreStages, BatchSize::Canary(_)) => {
                rule.size = BatchSize::All;
            }
            (Sabotage::IgnoreFailures, _) => rule.max_failures = Some(Share::Count(u32::MAX)),
            (Sabotage::IgnoreSerial, _) => rule.serial = false,
            _ => {}
        }
        rule
    }

    /// Every broken rule, the invariant that must notice, and words that it must use for it.
    pub const ALL: [(Sabotage, &'static str, &'static str); 24] = [
        (Sabotage::StartUnjournaled, "I1", ""),
        (Sabotage::KeepUnknown, "I2", ""),
        (Sabotage::AckUndurable, "I3", ""),
        (Sabotage::AckUncommitted, "I3", ""),
        (Sabotage::DropReturns, "I3", ""),
        (Sabotage::ShowUncommitted, "I4", ""),
        (Sabotage::SendToAll, "I5", ""),
        (Sabotage::NeverDeclare, "I6", ""),
        (Sabotage::Unfenced, "I7", ""),
        (Sabotage::TrustRegion, "I8", ""),
        (Sabotage::DenyStart, "I11", ""),
        (Sabotage::IgnoreWindow, "I12", "run at once"),
        (Sabotage::IgnoreFailures, "I12", "failures"),
        (Sabotage::IgnoreStages, "I12", "of earlier stages"),
        (Sabotage::IgnoreSerial, "I12", "is serial"),
        (Sabotage::EndEarly, "I12", "run at once"),
        (Sabotage::IgnoreFence, "I3", "acknowledged"),
        (Sabotage::DropAtMove, "I3", ""),
        (Sabotage::ForgetCursor, "I10", ""),
        (Sabotage::SameEpoch, "I2", ""),
        (Sabotage::StandbyAccepts, "I3", "acknowledged"),
        (Sabotage::TakeUnsigned, "I13", "nobody ordered"),
        (Sabotage::TakeUnproven, "I13", "not signed for it"),
        (Sabotage::TakeOutdated, "I13", "after the time"),
    ];
}
