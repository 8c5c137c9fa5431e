//! The end of certificates, on the test's own clock.

use relay_core::identity::{Identity, Role, check_region};
use tokio::time::timeout;

use super::*;
use crate::{
    authority::{Authority, Scope, member},
    identity::{LoadedIdentity, seen},
    trust::{Denied, Keys, Trusted, bundle, testing},
};

const HOUR: Duration = Duration::from_secs(3_600);

struct Site {
    authority: Authority,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let scopes = [Scope::Region(check_region("aws").unwrap())];
        let now = trust::now();
        let authority = Authority::init(&dir.path().join("ca"), testing::fabric(), &scopes, now).unwrap();
        Site { authority, _dir: dir }
    }

    fn member(&self, lasts: Duration, enrolment: Enrolment) -> LoadedIdentity {
        let who =
            Identity::new("web", Role::Minion, check_region("aws").unwrap(), testing::fabric()).unwrap();
        let held = self.authority.held();
        let made = member(|public| held.issue(&who, public, enrolment, lasts, trust::now())).unwrap();
        let roots = held.anchors().roots.iter().map(|root| root.certificate.clone()).collect();
        LoadedIdentity { certs: made.chain, key: made.key, roots, identity: who }
    }

    fn tls(&self) -> Tls {
        Tls::alone(self.member(HOUR, Enrolment { uid: 1, generation: 0 })).unwrap()
    }

    /// Everybody hears that these are denied.
    fn say(&self, trusted: &Trusted, version: u64, denied: Vec<Denied>) {
        let held = self.authority.held();
        let keys = Keys { denied, expires: trust::now() + 900, ..testing::keys(version) };
        let bytes = bundle::encode(held.signed(), &keys.sign(held.list_key()));
        trusted.offer(&bytes, trust::now()).unwrap();
    }
}

fn shown(tls: &Tls, peer: &LoadedIdentity) -> Result<Shown, Ended> {
    by_belief(tls, &tls.trusted().now(), peer)
}

fn by_belief(tls: &Tls, by: &Belief, peer: &LoadedIdentity) -> Result<Shown, Ended> {
    Shown::new(tls, by, &peer.certs, &seen(&peer.certs[0], &testing::fabric()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn who_is_denied_is_ended_and_not_let_in_again() {
    let (site, peer) = (Site::new(), Enrolment { uid: 7, generation: 3 });
    let (tls, peer) = (site.tls(), site.member(HOUR, peer));
    site.say(tls.trusted(), 1, Vec::new());
    let mut ended = Box::pin(shown(&tls, &peer).unwrap().ended());
    let older = Denied { uid: 7, up_to_generation: 2, until: trust::now() + 900 };
    site.say(tls.trusted(), 2, vec![older]);
    assert!(timeout(Duration::from_secs(5), &mut ended).await.is_err(), "an older one of it");
    site.say(tls.trusted(), 3, vec![Denied { up_to_generation: 3, ..older }]);
    assert_eq!(timeout(Duration::from_secs(5), ended).await, Ok(Ended::Revoked));
    assert_eq!(shown(&tls, &peer).err(), Some(Ended::Revoked));
    let next = site.member(HOUR, Enrolment { uid: 7, generation: 4 });
    assert!(shown(&tls, &next).is_ok(), "its renewed one");
}

#[tokio::test(start_paused = true)]
async fn who_came_under_a_root_that_is_retired_is_ended() {
    let mut site = Site::new();
    let (tls, peer) = (site.tls(), site.member(HOUR, Enrolment { uid: 7, generation: 0 }));
    let mut ended = Box::pin(shown(&tls, &peer).unwrap().ended());
    site.authority.introduce_root(trust::now()).unwrap();
    site.say(tls.trusted(), 1, Vec::new());
    assert!(timeout(Duration::from_secs(5), &mut ended).await.is_err(), "both count");
    site.authority.retire_root(true, trust::now()).unwrap();
    site.say(tls.trusted(), 2, Vec::new());
    assert_eq!(timeout(Duration::from_secs(5), ended).await, Ok(Ended::Root));
}

/// What was verified by an older belief than the one that counts when it is looked at.
#[tokio::test(start_paused = true)]
async fn a_root_that_was_retired_during_the_handshake_counts_no_more() {
    let mut site = Site::new();
    let (tls, peer) = (site.tls(), site.member(HOUR, Enrolment { uid: 7, generation: 0 }));
    let before = tls.trusted().now();
    site.authority.introduce_root(trust::now()).unwrap();
    site.say(tls.trusted(), 1, Vec::new());
    site.authority.retire_root(true, trust::now()).unwrap();
    site.say(tls.trusted(), 2, Vec::new());
    let shown = by_belief(&tls, &before, &peer).unwrap();
    assert_eq!(timeout(Duration::from_secs(5), shown.ended()).await, Ok(Ended::Root));
}

#[test]
fn a_certificate_counts_some_minutes_longer_on_a_link_that_stands() {
    let site = Site::new();
    let mut shown = shown(&site.tls(), &site.member(HOUR, Enrolment { uid: 7, generation: 0 })).unwrap();
    let until = shown.until;
    assert_eq!((shown.look(until), shown.look(until + GRACE - 1)), (Ok(()), Ok(())));
    assert_eq!(shown.look(until + GRACE), Err(Ended::Expired));
    let secs = Duration::from_secs;
    let rests =
        [(0, LOOK_EVERY), (until + GRACE - 7, secs(7)), (until + GRACE, secs(1)), (Seconds::MAX, secs(1))];
    assert_eq!(rests.map(|(now, _)| shown.rest(now)), rests.map(|(_, rest)| rest), "and not much");
}

/// Links begin anew before the certificate that they show ends, and not all at once.
#[tokio::test(start_paused = true)]
async fn a_link_begins_anew_once_the_own_certificate_is_renewed() {
    let site = Site::new();
    let tls = site.tls();
    let mut waits = Vec::new();
    for generation in 1..=8 {
        let mut renewed = Box::pin(renewed(&tls));
        assert!(timeout(2 * HOUR, &mut renewed).await.is_err(), "not renewed yet");
        tls.renew(site.member(HOUR, Enrolment { uid: 1, generation })).unwrap();
        let begun = tokio::time::Instant::now();
        timeout(HOUR, renewed).await.expect("before its end");
        waits.push(begun.elapsed());
    }
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 4 && waits[0] != waits[waits.len() - 1], "{waits:?}");
}
