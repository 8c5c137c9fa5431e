//! Certificates and keys under way: issuers and the root are replaced while jobs run, who is revoked is cut off, jobs are signed
//! with keys that everybody knows in time.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use fabric_tests::{Fabric, TOP, pki::Pki, process, stranger, until};
use relay_core::identity::Role;
use relay_proto::link;
use relay_runtime::{identity::LoadedIdentity, trust::Enrolment};

const REFUSED: &str = "relay_handshakes_refused_total";

async fn real() -> Fabric {
    Fabric::builder().authority().syndic("aws-1", "aws").minions("aws-1", 3).start().await
}

/// A job after the other until it is told that it is over: how many there were.
async fn stream(fabric: &Fabric, over: &AtomicBool) -> usize {
    let mut jobs = 0;
    while !over.load(Relaxed) {
        let mut job = fabric.run("*", "test.ping", &[]).await;
        assert_eq!(job.counts(), [("ok", 3)].into(), "job {jobs}, {}", job.jid());
        fabric.check(&mut [&mut job]).await;
        jobs += 1;
    }
    jobs
}

/// Runs `relayctl ca` on the fabric's authority.
async fn ca(fabric: &Fabric, command: &str) {
    let dir = fabric.pki().authority().display().to_string();
    let line: Vec<String> = format!("ca {command} --dir {dir}").split(' ').map(str::to_owned).collect();
    let run = move || process::run("relayctl", &line.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, said) = tokio::task::spawn_blocking(run).await.unwrap();
    assert_eq!(code, Some(0), "{command}: {said}");
}

/// Everybody gets a new certificate, for the `round`th time, and shows it. The top master makes its own: its issuer was replaced.
async fn renew_all(fabric: &Fabric, round: usize) {
    let pki = fabric.pki();
    pki.issue("aws-1", Role::Syndic, "aws");
    for (_, ids) in fabric.minion_processes() {
        ids.iter().for_each(|id| drop(pki.issue(id, Role::Minion, "aws")));
    }
    fabric.operator().renew(&pki.load("tester", Role::Operator, "core"));
    for daemon in fabric.daemons() {
        let (said, each) = match daemon.name() {
            TOP => ("renewed the own certificate", 1),
            "aws-1-m" => ("read the certificate again", 3),
            _ => ("read the certificate again", 1),
        };
        let what = format!("{} to show its new certificate", daemon.name());
        until(&what, async || (daemon.log().matches(said).count() >= round * each).then_some(())).await;
    }
}

/// Everybody believes anchors of this version.
async fn believed(fabric: &Fabric, anchors: u64) {
    let said = format!("anchors={anchors} ");
    for daemon in fabric.daemons() {
        let what = format!("{} to believe anchors {anchors}", daemon.name());
        until(&what, async || daemon.log().contains(&said).then_some(())).await;
    }
}

/// Whether a minion with this certificate can attach to the syndic.
async fn attaches(fabric: &Fabric, shown: LoadedIdentity) -> bool {
    let trusted = fabric.pki().load("tester", Role::Operator, "core");
    let hello = stranger::up(link::up::Message::Hello(stranger::hello()));
    let name = "aws-1.syndic.aws.test.example";
    stranger::attach(fabric.listen("aws-1"), name, shown, &trusted, hello).await.is_ok()
}

#[tokio::test]
async fn issuers_and_the_root_are_replaced_under_a_stream_of_jobs() {
    let fabric = real().await;
    let former = fabric.pki().load("late", Role::Minion, "aws");
    let over = AtomicBool::new(false);
    let replace = async {
        ca(&fabric, "rotate-issuer --all").await;
        renew_all(&fabric, 1).await;
        ca(&fabric, "rotate-root introduce").await;
        believed(&fabric, 2).await;
        ca(&fabric, "rotate-issuer --all").await;
        renew_all(&fabric, 2).await;
        ca(&fabric, "rotate-root retire").await;
        believed(&fabric, 3).await;
        // Those who had come under the old root come back under the new one.
        fabric.metric_reaches("aws-1", "relay_link_dropped_total", "why=\"root\"", 3.0).await;
        fabric.all_up().await;
        over.store(true, Relaxed);
    };
    let (jobs, ()) = tokio::join!(stream(&fabric, &over), replace);
    println!("{jobs} jobs while the root was replaced, none failed");
    assert!(jobs > 3);
    let refused = fabric.metric("aws-1", REFUSED, "why=\"handshake\"");
    assert!(!attaches(&fabric, former).await, "a certificate of the old root");
    fabric.metric_reaches("aws-1", REFUSED, "why=\"handshake\"", refused + 1.0).await;
    let new = fabric.pki().load("late", Role::Minion, "aws");
    assert!(attaches(&fabric, new).await, "one of the new root");
}

/// A restart at each tier believes what it believed, though its configuration names the root of then.
#[tokio::test]
async fn restarts_go_on_with_the_new_root() {
    let mut fabric = real().await;
    ca(&fabric, "rotate-root introduce").await;
    believed(&fabric, 2).await;
    ca(&fabric, "rotate-issuer --all").await;
    renew_all(&fabric, 1).await;
    ca(&fabric, "rotate-root retire").await;
    believed(&fabric, 3).await;
    for name in ["aws-1-m", "aws-1", TOP] {
        fabric.restart(name).await;
    }
    fabric.all_up().await;
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 3)].into());
    fabric.check(&mut [&mut ping]).await;
}

/// An authority of the same name with another key: the top master does not start with its issuers, and says why.
#[tokio::test]
async fn a_top_master_without_its_authority_does_not_start() {
    let fabric = real().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let alien = Pki::with_authority(elsewhere.path(), &BTreeSet::from(["aws"]));
    let config = std::fs::read_to_string(fabric.dir().join(TOP).join("config.yaml")).unwrap();
    let ours = fabric.pki().trust_dir().display().to_string();
    for (trust, expected) in [
        (alien.trust_dir().display().to_string(), "is not signed by a root of"),
        ("nowhere".to_owned(), "is no directory"),
    ] {
        let file = elsewhere.path().join("config.yaml");
        std::fs::write(elsewhere.path().join("policy.yaml"), "{version: 1, allow: {any: {'*': ['*']}}}")
            .unwrap();
        let free = config.replace(&fabric.listen(TOP).ip().to_string(), "127.0.0.1").replace(&ours, &trust);
        // Any free port: the fabric's own are in use.
        let free: String = free
            .lines()
            .map(|line| match line.split_once(": 127.0.0.1:") {
                Some((key, _)) => format!("{key}: 127.0.0.1:0\n"),
                None => format!("{line}\n"),
            })
            .collect();
        std::fs::write(&file, free).unwrap();
        let (code, said) = process::run("top-master", &["serve", "--config", &file.display().to_string()]);
        assert!(code != Some(0) && said.contains(expected), "{trust}: {code:?} {said}");
    }
}

/// How long a revocation takes to cut a link that stands, printed; asserted is only that it does.
async fn revoked(minions: usize) {
    let fabric = Fabric::builder().authority().syndic("aws-1", "aws").minions("aws-1", minions).start().await;
    let gone = fabric.ids("aws-1-m")[0].clone();
    let file = fabric.dir().join("pki/minion").join(format!("{gone}.pem"));
    let pem = std::fs::read(file).unwrap();
    let enrolment = {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        Enrolment::of_certificate(&CertificateDer::from_pem_slice(&pem).unwrap())
    };
    assert!(enrolment.is_known());
    let begun = Instant::now();
    fabric.operator().revoke(enrolment.uid, enrolment.generation).await.expect("a revocation that is taken");
    fabric.metric_reaches("aws-1", "relay_link_dropped_total", "why=\"revoked\"", 1.0).await;
    println!("revoked among {minions} minions: its link was cut after {:?}", begun.elapsed());
    fabric.minion_is(&gone, false).await;
    // It comes again and again, and is not let in; the others are not disturbed.
    fabric.metric_reaches("aws-1", REFUSED, "why=\"revoked\"", 1.0).await;
    let mut ping = fabric.run(&format!("not L@{gone}"), "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", minions - 1)].into());
    fabric.check(&mut [&mut ping]).await;
}

#[tokio::test]
async fn who_is_revoked_is_cut_off() {
    revoked(3).await;
}

/// For the figure: takes a minute, and the descriptors of a real syndic.
#[tokio::test]
#[ignore = "takes a minute; prints how long a revocation takes at 1,000 minions"]
async fn who_is_revoked_is_cut_off_among_a_thousand() {
    tokio::time::timeout(Duration::from_secs(300), revoked(1_000)).await.expect("an end");
}
