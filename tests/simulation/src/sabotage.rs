//! Rules broken on purpose, to prove that the checks can fail.

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
    /// A syndic sends every job to every minion it has.
    SendToAll,
    /// The top master never looks at its deadlines.
    NeverDeclare,
    /// The top master believes whatever region a syndic claims.
    TrustRegion,
    /// A minion says "refused" of what it started.
    DenyStart,
}

impl Sabotage {
    /// Every broken rule, and the invariant that must notice.
    pub const ALL: [(Sabotage, &'static str); 11] = [
        (Sabotage::StartUnjournaled, "I1"),
        (Sabotage::KeepUnknown, "I2"),
        (Sabotage::AckUndurable, "I3"),
        (Sabotage::AckUncommitted, "I3"),
        (Sabotage::DropReturns, "I3"),
        (Sabotage::ShowUncommitted, "I4"),
        (Sabotage::SendToAll, "I5"),
        (Sabotage::NeverDeclare, "I6"),
        (Sabotage::Unfenced, "I7"),
        (Sabotage::TrustRegion, "I8"),
        (Sabotage::DenyStart, "I11"),
    ];
}
