//! a04: credentials that are over, or never were any: wrong passwords, made-up tokens, a login that was ended, whose time is up, whose
//! user is gone, a certificate that was revoked (CVE-2021-3144, CVE-2022-22967). Each is refused, cuts what it had opened, and is on
//! record.

use abuse_tests::{
    region::{REGION, SYNDIC, serves_on},
    trail::Trail,
};
use fabric_tests::{Fabric, TOP, login::Guest, until};
use relay_core::identity::Role;
use relay_proto::{Code, operator::WatchEvent};
use relay_runtime::{passwords, secret::Secret, trust::Enrolment};
use tonic::{Status, Streaming};

const WORD: &str = "correct horse battery";
/// Where everybody calls from who has no certificate.
const HERE: &str = "127.0.0.1";
const STATUS: &str = "/relay.operator.v1.Operator/Status";

fn users(names: &[&str]) -> String {
    let secret = Secret::new(WORD.into());
    names.iter().map(|name| passwords::line(name, &secret, &[]).unwrap() + "\n").collect()
}

async fn region(settings: &str, users: &str) -> Fabric {
    let builder = Fabric::builder().syndic(SYNDIC, REGION).minions(SYNDIC, 2);
    builder.login(settings, users).start().await
}

#[track_caller]
fn refused(answer: Result<(), Status>) {
    let refused = answer.expect_err("it was let in");
    assert_eq!(Code::of(&refused), Some(Code::Unauthenticated), "{refused}");
}

/// What ends a stream; nothing if its job does.
async fn end_of(mut stream: Streaming<WatchEvent>) -> Option<Status> {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(status) => return Some(status),
        }
    }
}

#[tokio::test]
async fn what_was_never_a_credential_opens_nothing() {
    let mut fabric = region("", &users(&["alice"])).await;
    let (guest, trail) = (Guest::of(&fabric), Trail::of(&fabric));
    for (user, word, shown) in [
        ("alice", "wrong", "alice"),
        ("alice", "", "alice"),
        ("root", WORD, "root"),
        // A password in the wrong place is nobody's name, and not for a log.
        (WORD, "alice", "(no name)"),
    ] {
        refused(guest.log_in(user, word).await.map(drop));
        let why = [("subject", "login"), ("why", "wrong user or password"), ("from", HERE), ("way", "file")];
        trail.shows(1, "deny", shown, &why).await;
    }
    let made_up = [format!("relaytoken_{}", "0".repeat(64)), "relaytoken_".into(), "x".into(), "a b".into()];
    for (so_far, token) in made_up.into_iter().enumerate() {
        refused(guest.showing(Some(token)).status().await);
        trail
            .shows(so_far + 1, "deny", HERE, &[("subject", "call"), ("path", STATUS), ("how", "nobody")])
            .await;
    }
    // A good token beside somebody else's certificate is two answers to one question.
    let alice = guest.log_in("alice", WORD).await.unwrap();
    let both = Guest::certified(&fabric, "mallory", Role::Operator, "core").showing(alice.token.clone());
    refused(both.status().await);
    trail.shows(1, "deny", "mallory.operator", &[("subject", "call"), ("path", STATUS)]).await;
    // Who goes on is held off, and that is on record, too.
    let held_off = until("alice to be held off", async || {
        let refused = guest.log_in("alice", "wrong").await.map(drop).unwrap_err();
        Some(refused).filter(|refused| Code::of(refused) == Some(Code::Busy))
    });
    held_off.await;
    trail.shows(1, "deny", "alice", &[("why", "too many failed logins")]).await;
    alice.status().await.expect("who is in stays in");
    let log = trail.is_whole();
    assert!(!log.contains(WORD), "a password is in the audit log");
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn a_login_that_is_over_opens_nothing_and_cuts_what_it_had_opened() {
    let all = users(&["gone", "locked", "changed", "out"]);
    let mut fabric = region("", &all).await;
    let (guest, trail) = (Guest::of(&fabric), Trail::of(&fabric));
    let job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    let locked = passwords::locked_line("locked", &[]).unwrap();
    let other = passwords::line("changed", &Secret::new("another word of hers".into()), &[]).unwrap();
    let mut text = all;
    let mut refusals = 0;
    for (user, line) in [("gone", None), ("locked", Some(locked)), ("changed", Some(other)), ("out", None)] {
        let login = guest.log_in(user, WORD).await.unwrap();
        let mut stream = login.watch(job.jid()).await.unwrap();
        stream.message().await.unwrap().expect("an event");
        let why = match user {
            "out" => {
                login.log_out().await.unwrap();
                "logged out"
            }
            _ => {
                text = passwords::with_line(&text, user, line.as_deref());
                fabric.users(&text);
                "the account is gone, locked, or has another password"
            }
        };
        let cut = end_of(stream).await.expect("a stream that is cut");
        assert_eq!(Code::of(&cut), Some(Code::Unauthenticated), "{user}: {cut}");
        trail.shows(1, "login", user, &[("subject", "end of a login"), ("why", why)]).await;
        refused(login.status().await);
        refusals += 1;
        trail.shows(refusals, "deny", HERE, &[("subject", "call"), ("path", STATUS)]).await;
        if user != "out" {
            refused(guest.log_in(user, WORD).await.map(drop));
            trail.shows(1, "deny", user, &[("subject", "login")]).await;
        }
    }
    fabric.witness().open_all();
    trail.is_whole();
    serves_on(&mut fabric).await;
}

/// Also at the very first use of it (CVE-2021-3144).
#[tokio::test]
async fn a_login_whose_time_is_up_opens_nothing_at_its_first_use() {
    let mut fabric = region(", token_idle_ms: 1000, token_max_ms: 1000", &users(&["alice"])).await;
    let (guest, trail) = (Guest::of(&fabric), Trail::of(&fabric));
    let unused = guest.log_in("alice", WORD).await.unwrap();
    let used = guest.log_in("alice", WORD).await.unwrap();
    until("the later one of two logins to be over", async || used.status().await.err()).await;
    refused(unused.status().await);
    trail.shows(2, "deny", HERE, &[("subject", "call"), ("path", STATUS)]).await;
    trail.shows(2, "login", "alice", &[("subject", "end of a login"), ("why", "its time is over")]).await;
    trail.is_whole();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn a_certificate_that_was_revoked_cuts_what_it_had_opened_and_opens_nothing() {
    let builder = Fabric::builder().authority().syndic(SYNDIC, REGION).minions(SYNDIC, 2);
    let mut fabric = builder.start().await;
    let trail = Trail::of(&fabric);
    let shown = fabric.pki().load("mallory", Role::Operator, "core");
    let enrolment = Enrolment::of_certificate(&shown.certs[0]);
    let mallory = fabric.operator().with_identity(&shown);
    let job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    let mut stream = mallory.watch(job.jid().micros()).await.unwrap();
    stream.message().await.unwrap().expect("an event");
    fabric.operator().revoke(enrolment.uid, enrolment.generation).await.unwrap();
    end_of(stream).await.expect("a stream that is cut");
    let uid = format!("{:016x}", enrolment.uid);
    trail.shows(1, "key", "tester", &[("subject", &uid), ("event", "certificate.revoked")]).await;
    // Its handshake is not finished: there is no call that could be on record.
    let refusals = fabric.metric(TOP, "relay_handshakes_refused_total", "why=\"revoked\"");
    mallory.status().await.expect_err("a certificate that was revoked");
    fabric.metric_reaches(TOP, "relay_handshakes_refused_total", "why=\"revoked\"", refusals + 1.0).await;
    fabric.witness().open_all();
    serves_on(&mut fabric).await;
}
