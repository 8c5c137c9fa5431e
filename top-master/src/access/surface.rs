//! What each call asks of whoever makes it at a top master. A test takes every call from the descriptors, so that none can be added without
//! a line here; and what has no line here, or one for another port, is not served: [`crate::front`] asks this table for each call, before any
//! handler, and [`crate::serve`] for each link.

use relay_core::{access::Verb, identity::Role};

/// What is asked of whoever makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: the call is how one comes to be known. Bounded and throttled instead.
    Nothing,
    /// A certificate of this role, and what it says is checked against the name in it. (A syndic takes minions, too.)
    Peer(&'static [Role]),
    /// What rules say of the job, on its targets.
    Job,
    /// A verb, and the same of the job.
    VerbAndJob(Verb),
    /// A verb.
    Verb(Verb),
}

/// How a syndic attaches.
pub const ATTACH: &str = "/relay.link.v1.Link/Attach";

/// A port of a top master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Where operators call.
    Operators,
    /// Where syndics attach, and newcomers and members ask for certificates.
    Links,
}

/// The services of [`Door::Links`], as their paths begin.
const LINKS: [&str; 2] = ["/relay.link.v1.Link/", "/relay.trust.v1.Enrol/"];

/// Every call, sorted by path.
pub const SURFACE: &[(&str, Asked)] = &[
    ("/relay.access.v1.Access/Login", Asked::Nothing),
    ("/relay.access.v1.Access/Logout", Asked::Verb(Verb::Logout)),
    ("/relay.access.v1.Access/WhoAmI", Asked::Verb(Verb::WhoAmI)),
    ("/relay.access.v1.Approvals/Approve", Asked::VerbAndJob(Verb::ApprovalsDecide)),
    ("/relay.access.v1.Approvals/List", Asked::Verb(Verb::ApprovalsList)),
    ("/relay.access.v1.Approvals/Reject", Asked::Verb(Verb::ApprovalsDecide)),
    ("/relay.access.v1.Approvals/Show", Asked::Verb(Verb::ApprovalsList)),
    ("/relay.access.v1.Rules/Show", Asked::Verb(Verb::PolicyShow)),
    ("/relay.audit.v1.Audit/Tail", Asked::Verb(Verb::AuditRead)),
    (ATTACH, Asked::Peer(&[Role::Syndic])),
    ("/relay.operator.v1.Operator/ApplyTopology", Asked::Verb(Verb::TopologyApply)),
    ("/relay.operator.v1.Operator/Approve", Asked::Verb(Verb::JobsContinue)),
    ("/relay.operator.v1.Operator/Cancel", Asked::Verb(Verb::JobsCancel)),
    ("/relay.operator.v1.Operator/FollowNow", Asked::Verb(Verb::TopologyApply)),
    ("/relay.operator.v1.Operator/GetTopology", Asked::Verb(Verb::TopologyShow)),
    ("/relay.operator.v1.Operator/JobStats", Asked::Verb(Verb::JobsStats)),
    ("/relay.operator.v1.Operator/ListJobs", Asked::Verb(Verb::JobsList)),
    ("/relay.operator.v1.Operator/ListMinions", Asked::Verb(Verb::MinionsList)),
    ("/relay.operator.v1.Operator/ListSchedules", Asked::Verb(Verb::SchedulesList)),
    ("/relay.operator.v1.Operator/Outstanding", Asked::Verb(Verb::JobsShow)),
    ("/relay.operator.v1.Operator/PauseSchedule", Asked::Verb(Verb::SchedulesPause)),
    ("/relay.operator.v1.Operator/Plan", Asked::Job),
    ("/relay.operator.v1.Operator/PruneJobs", Asked::Verb(Verb::JobsPrune)),
    ("/relay.operator.v1.Operator/PutSchedule", Asked::VerbAndJob(Verb::SchedulesPut)),
    ("/relay.operator.v1.Operator/RemoveSchedule", Asked::Verb(Verb::SchedulesRemove)),
    ("/relay.operator.v1.Operator/RunSchedule", Asked::VerbAndJob(Verb::SchedulesRun)),
    ("/relay.operator.v1.Operator/Status", Asked::Verb(Verb::FabricStatus)),
    ("/relay.operator.v1.Operator/Submit", Asked::Job),
    ("/relay.operator.v1.Operator/TopologyHistory", Asked::Verb(Verb::TopologyShow)),
    ("/relay.operator.v1.Operator/TopologyStatus", Asked::Verb(Verb::TopologyShow)),
    ("/relay.operator.v1.Operator/Watch", Asked::Verb(Verb::JobsShow)),
    ("/relay.trust.v1.Enrol/Renew", Asked::Nothing),
    ("/relay.trust.v1.Enrol/Request", Asked::Nothing),
    ("/relay.trust.v1.Members/Accept", Asked::Verb(Verb::KeysAccept)),
    ("/relay.trust.v1.Members/CreateToken", Asked::Verb(Verb::TokensCreate)),
    ("/relay.trust.v1.Members/Delete", Asked::Verb(Verb::KeysDelete)),
    ("/relay.trust.v1.Members/List", Asked::Verb(Verb::KeysList)),
    ("/relay.trust.v1.Members/ListTokens", Asked::Verb(Verb::TokensList)),
    ("/relay.trust.v1.Members/Reject", Asked::Verb(Verb::KeysReject)),
    ("/relay.trust.v1.Members/Release", Asked::Verb(Verb::KeysRelease)),
    ("/relay.trust.v1.Members/Revoke", Asked::Verb(Verb::KeysDelete)),
    ("/relay.trust.v1.Members/RevokeToken", Asked::Verb(Verb::TokensRevoke)),
];

/// What is asked of who makes a call on one port; nothing if there is no such call there, and then nobody may make it.
pub fn at(door: Door, path: &str) -> Option<Asked> {
    let of =
        if LINKS.iter().any(|service| path.starts_with(service)) { Door::Links } else { Door::Operators };
    asked(path).filter(|_| of == door)
}

/// What is asked of who makes a call; nothing if there is no such call.
fn asked(path: &str) -> Option<Asked> {
    SURFACE.binary_search_by_key(&path, |(known, _)| known).ok().map(|at| SURFACE[at].1)
}

#[cfg(test)]
mod tests {
    use relay_proto::CALLS;

    use super::*;

    #[test]
    fn every_call_of_every_service_says_what_it_asks() {
        let unknown: Vec<_> = CALLS.iter().filter(|call| asked(call).is_none()).collect();
        assert!(unknown.is_empty(), "add what these calls ask of their callers to SURFACE: {unknown:#?}");
        let gone: Vec<_> = SURFACE.iter().filter(|(path, _)| !CALLS.contains(path)).collect();
        assert!(gone.is_empty(), "there are no such calls (any more): {gone:#?}");
        assert!(SURFACE.is_sorted_by_key(|(path, _)| path), "sorted by path");
        assert!(CALLS.len() > 30, "the descriptors are read: {}", CALLS.len());
    }

    #[test]
    fn nobody_is_answered_unasked_but_where_one_becomes_known() {
        let open: Vec<_> =
            SURFACE.iter().filter(|(_, asks)| *asks == Asked::Nothing).map(|(path, _)| *path).collect();
        let known =
            ["/relay.access.v1.Access/Login", "/relay.trust.v1.Enrol/Renew", "/relay.trust.v1.Enrol/Request"];
        assert_eq!(open, known);
        let without: Vec<_> = SURFACE
            .iter()
            .map(|(path, _)| *path)
            .filter(|path| at(Door::Operators, path) == Some(Asked::Nothing))
            .collect();
        assert_eq!(without, [crate::front::LOGIN], "operators' port");
    }

    #[test]
    fn a_call_is_at_one_port() {
        for (path, asks) in SURFACE {
            let (here, there) = (at(Door::Operators, path), at(Door::Links, path));
            assert!(here.is_some() != there.is_some(), "{path}");
            let of_peers = matches!(asks, Asked::Peer(_)) || path.contains("Enrol");
            assert_eq!(there.is_some(), of_peers, "{path}");
        }
        for path in [
            "",
            "/",
            "/relay.link.v1.Link/",
            "/relay.link.v1.Link/attach",
            "/relay.operator.v1.Operator/Status/",
        ] {
            assert!(at(Door::Operators, path).is_none() && at(Door::Links, path).is_none(), "{path}");
        }
    }
}
