//! Whose word of a forgery is taken.

use super::*;
use crate::suspicion::{A_MINUTE_OF_A_LINK, Forgery, RATION, Report, Reporter, Suspicion, Witness};

fn suspicion(parent: &str, witness: Witness) -> Suspicion {
    let jid = Some(Jid::from_micros(1));
    Suspicion { kind: Forgery::Unsigned, jid, parent: parent.parse().unwrap(), at: 3, count: 4, witness }
}

fn minions(members: &[u32]) -> Witness {
    Witness::Minions(set(members))
}

impl Bench {
    fn reports(&mut self, now: Millis, link: LinkId, list: Vec<Suspicion>) -> (Vec<Report>, u64) {
        self.out.clear();
        self.owner.from_syndic(now, 0, link, Up::Suspicions(list));
        self.turn(now);
        let reports = self.out.iter().filter_map(|effect| match effect {
            OwnerEffect::Reported(report) => Some(report.clone()),
            _ => None,
        });
        let dropped = self.out.iter().map(|effect| match effect {
            OwnerEffect::ReportsDropped { dropped, .. } => *dropped,
            _ => 0,
        });
        (reports.collect(), dropped.sum())
    }
}

#[test]
fn a_report_names_who_says_so_about_whom_and_by_whom_it_came() {
    let mut bench = Bench::new(&["a", "b"]);
    let below = Witness::Below("aws-3".parse().unwrap());
    let list = [minions(&[0, 1, 9]), Witness::Sender, below].map(|witness| suspicion("aws-2", witness));
    let (reports, dropped) = bench.reports(0, LINK, list.into());
    let names = ["a", "b"].map(|id| id.parse().unwrap());
    let by: Vec<Reporter> = reports.iter().map(|report| report.by.clone()).collect();
    let syndic = |id: &str| Reporter::Syndic(id.parse().unwrap());
    assert_eq!(by, [Reporter::Minions(2, names.into()), syndic("aws-1"), syndic("aws-3")]);
    let first = &reports[0];
    assert_eq!((first.via.as_str(), first.accused.as_str(), first.count), ("aws-1", "aws-2", 4));
    assert_eq!(dropped, 0);
}

#[test]
fn a_syndic_speaks_for_its_own_region_alone() {
    let mut bench = Bench::new(&["a"]);
    let azure = LinkId(2);
    bench.owner.syndic_up(0, azure, "azure-1".parse().unwrap(), "azure".parse().unwrap(), Incarnation(8));
    let id = "a".parse().unwrap();
    let entry =
        RosterEntry { no: 0, id, incarnation: Incarnation(1), up: true, since: 0, grains: "{}".into() };
    let full = RosterUpdate::Full { version: 1, entries: vec![entry] };
    bench.owner.from_syndic(0, 0, azure, Up::Roster(full));
    let foreign = [
        suspicion("azure-2", minions(&[0])),
        suspicion("azure-2", Witness::Below("aws-1".parse().unwrap())),
        suspicion("aws-1", Witness::Sender),
    ];
    assert_eq!(bench.reports(0, azure, foreign.into()), (vec![], 3));
    let (reports, _) = bench.reports(0, azure, vec![suspicion("top", Witness::Sender)]);
    assert_eq!(reports.len(), 1, "of the top master whom it calls its parent, it may");
}

#[test]
fn a_flood_is_counted_and_ends_with_its_minute() {
    let mut bench = Bench::new(&["a"]);
    let one = suspicion("aws-2", minions(&[0]));
    let most = u64::from(A_MINUTE_OF_A_LINK);
    let (reports, dropped) = bench.reports(0, LINK, vec![one.clone(); 200]);
    assert_eq!((reports.len() as u64, dropped), (most, 200 - most));
    bench.attach(1, LinkId(3), "aws-1", SPOOL, &["a"], 1);
    assert_eq!(bench.reports(1, LinkId(3), vec![one.clone()]), (vec![], 1), "by another link, too");
    assert_eq!(bench.reports(RATION, LinkId(3), vec![one]).0.len(), 1);
}
