//! What is written down when somebody tries what he may not: the log, the metric, and the audit log, which rations it by who it is.
//! What it only counts is not in the log, either: a syndic in the attacker's hands sends thousands.
//!
//! What was refused below is known by the word of who refused it, and that is no proof: who is accused may be honest, and who accuses,
//! the forger.

use relay_core::{
    audit::{Event, Kind},
    ids::{Jid, MinionId, RegionName, TierId},
    inventory::MAX_REGION_MINIONS,
    suspicion::{Report, Reporter},
};
use relay_runtime::telemetry;
use tracing::{error, warn};

use super::Daemon;
use crate::audit::REPORT;

impl Daemon {
    /// A syndic named a minion of another region.
    pub(super) fn foreign(&self, syndic: &TierId, id: &MinionId) {
        metrics::counter!(telemetry::FRAMES_REFUSED_TOTAL, "why" => "foreign_minion").increment(1);
        let seen = Event::new(Kind::Deny, syndic.as_str(), "syndic").about(id);
        if self.report(seen.with("why", "a minion of another region")) {
            error!(%syndic, minion = %id, "a syndic named a minion of another region: refused");
        }
    }

    /// A syndic named new minions for which its region has no room.
    pub(super) fn region_full(&self, syndic: &TierId, region: &RegionName, first: &MinionId, refused: u64) {
        metrics::counter!(telemetry::FRAMES_REFUSED_TOTAL, "why" => "region_full").increment(refused);
        let why = "more new minions than a region can have";
        let seen = Event::new(Kind::Deny, syndic.as_str(), "syndic").about(region);
        if self.report(seen.with("why", why).with("minion", first).with("minions", refused)) {
            error!(
                %syndic, %region, minion = %first, refused, most = MAX_REGION_MINIONS,
                "a syndic named {why}: they are not taken; who was known goes on"
            );
        }
    }

    /// Over a syndic's link came what nobody says who is what he should be.
    pub(super) fn suspect(&self, syndic: &TierId, jid: Jid, why: &'static str, members: u64) {
        metrics::counter!(telemetry::FRAMES_REFUSED_TOTAL, "why" => "suspect").increment(1);
        let seen = Event::new(Kind::Deny, syndic.as_str(), "syndic").about(jid);
        if self.report(seen.with("why", why).with("minions", members)) {
            error!(%syndic, %jid, minions = members, why, "somebody below a syndic tries what he may not");
        }
    }

    /// Somebody below has refused what his parent sent.
    pub(super) fn found_out(&self, found: &Report) {
        let Report { via, accused, kind, count, .. } = found;
        metrics::counter!(telemetry::SUSPICIONS_TOTAL, "kind" => kind.word()).increment(1);
        if self.report(record(found)) {
            let (by, jid) = (who(&found.by), found.jid.map(|jid| jid.to_string()).unwrap_or_default());
            let (kind, thing) = (kind.word(), kind.thing());
            error!(%accused, kind, jid, %by, %via, count, "a forged {thing} was refused below");
        }
    }

    /// A syndic reports more than one has, or of others than its own.
    pub(super) fn flooded(&self, syndic: &TierId, dropped: u64) {
        metrics::counter!(telemetry::SUSPICIONS_TOTAL, "kind" => "dropped").increment(dropped);
        let seen = Event::new(Kind::Deny, syndic.as_str(), "syndic").about("reports of forgeries");
        if self
            .report(seen.with("why", "too many of them, or for others than its own").with("dropped", dropped))
        {
            warn!(%syndic, dropped, "reports of forgeries: too many of them, or for others than its own: not taken");
        }
    }

    /// Writes it into the audit log, and says whether it is one that is told.
    pub(super) fn report(&self, event: Event) -> bool {
        self.audit.as_ref().is_none_or(|audit| audit.notes(event))
    }
}

/// The first of them.
fn who(by: &Reporter) -> String {
    match by {
        Reporter::Syndic(id) => format!("syndic {id}"),
        Reporter::Minions(_, named) => format!("minion {}", named.first().map_or("", MinionId::as_str)),
    }
}

fn record(found: &Report) -> Event {
    let Report { via, by, accused, kind, jid, at, count } = found;
    let event = Event::new(Kind::Deny, who(by), REPORT)
        .about(format!("forged {} from {accused}", kind.thing()))
        .with("from", accused)
        .with("kind", kind.word())
        .with("via", via)
        .with("times", count)
        .with("first", Jid::from_micros(*at));
    let event = jid.iter().fold(event, |event, jid| event.with("jid", jid));
    match by {
        Reporter::Syndic(_) => event,
        Reporter::Minions(all, named) => {
            let names: Vec<&str> = named.iter().map(MinionId::as_str).collect();
            event.with("minions", all).with("named", names.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_core::{
        ids::Incarnation,
        inventory::Inventory,
        message::{LinkId, ReturnBatch, ReturnGroup, RosterEntry, RosterUpdate, Up},
        outcome::{Answer, Outcome, Reason},
        owner::Owner,
        suspicion::{Forgery, Suspicion, Witness},
    };
    use relay_runtime::store::{SqliteStore, Store};

    use super::*;
    use crate::{
        audit::{Audit, Reported},
        daemon::testing,
    };

    const LINK: LinkId = LinkId(1);

    /// A top master with a syndic `aws-2` and its minion `web01`.
    async fn daemon(dir: &std::path::Path) -> (Daemon, Reported) {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.join("store")).unwrap());
        let rule = testing::rule(store.begin().await.unwrap().epoch);
        let owner = Owner::recover(rule, 0, 0, Inventory::new(), Vec::new());
        let mut daemon = testing::daemon(owner, store);
        let (audit, reported) = Audit::double();
        daemon.audited(audit);
        let (syndic, region) = ("aws-2".parse().unwrap(), "aws".parse().unwrap());
        daemon.owner.syndic_up(0, LINK, syndic, region, Incarnation(1));
        let (id, grains) = ("web01".parse().unwrap(), "{}".into());
        let entry = RosterEntry { no: 0, id, incarnation: Incarnation(7), up: true, since: 0, grains };
        daemon.heard_from_syndic(
            0,
            LINK,
            Up::Roster(RosterUpdate::Full { version: 1, entries: vec![entry] }),
        );
        (daemon, reported)
    }

    fn suspicion(kind: Forgery, jid: u64) -> Suspicion {
        let (jid, parent) = (Some(Jid::from_micros(jid)), "aws-1".parse().unwrap());
        let witness = Witness::Minions([0].into_iter().collect());
        Suspicion { kind, jid, parent, at: 1_000_000, count: 3, witness }
    }

    #[tokio::test]
    async fn who_was_found_out_is_in_the_audit_log() {
        let dir = tempfile::tempdir().unwrap();
        let (mut daemon, reported) = daemon(dir.path()).await;
        let list = vec![suspicion(Forgery::BadSignature, 5), suspicion(Forgery::Cancel, 6)];
        daemon.heard_from_syndic(0, LINK, Up::Suspicions(list));
        daemon.perform();
        let events = reported.events();
        assert_eq!(events.len(), 2, "{events:?}");
        let first = &events[0];
        assert_eq!(
            (first.kind, first.who.as_str(), first.how.as_str()),
            (Kind::Deny, "minion web01", "report")
        );
        assert_eq!(first.subject, "forged job from aws-1");
        let details =
            ["from", "kind", "via", "times", "jid", "minions", "named"].map(|key| &first.details[key][..]);
        let jid = Jid::from_micros(5).to_string();
        assert_eq!(details, ["aws-1", "bad_signature", "aws-2", "3", &jid, "1", "web01"]);
        assert_eq!(events[1].subject, "forged cancel from aws-1");
    }

    #[tokio::test]
    async fn whoever_makes_reports_and_finals_up_has_his_ration_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let (mut daemon, reported) = daemon(dir.path()).await;
        for n in 1..500 {
            daemon.heard_from_syndic(0, LINK, Up::Suspicions(vec![suspicion(Forgery::Unsigned, n)]));
            let answer = Arc::new(Answer::by_tier(Outcome::Ok, Reason::None));
            let group = ReturnGroup { jid: Jid::from_micros(n), answer, members: [0].into_iter().collect() };
            daemon.heard_from_syndic(0, LINK, Up::Returns(ReturnBatch { seq: n, groups: vec![group] }));
            daemon.perform();
        }
        let of = |how: &str| reported.events().iter().filter(|event| event.how == how).count();
        assert_eq!((of("report"), of("syndic")), (20, 20));
    }
}
