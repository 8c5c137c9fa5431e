//! Certificates that open nothing: alien, of the wrong role, of the wrong region. Refused, counted, nobody disturbed.

use fabric_tests::{Fabric, TOP, pki::Pki, stranger};
use relay_core::identity::Role;
use relay_proto::{Code, link};
use relay_runtime::identity::LoadedIdentity;
use tonic::Status;

const REFUSED: &str = "relay_handshakes_refused_total";

async fn region() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await
}

/// Tries to attach to a parent under this certificate.
async fn attach(fabric: &Fabric, parent: &str, shown: LoadedIdentity) -> Result<(), Status> {
    let name = match parent {
        TOP => "top.top-master.core.test.example".to_owned(),
        syndic => format!("{syndic}.syndic.aws.test.example"),
    };
    let trusted = fabric.pki().load("tester", Role::Operator, "core");
    let hello = stranger::up(link::up::Message::Hello(stranger::hello()));
    stranger::attach(fabric.listen(parent), &name, shown, &trusted, hello).await.map(drop)
}

/// Everybody who belongs there still does, and answers.
async fn undisturbed(fabric: &Fabric) {
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut ping]).await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_no_port() {
    let fabric = region().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let alien = Pki::create(elsewhere.path());
    for parent in ["aws-1", TOP] {
        let role = if parent == TOP { Role::Syndic } else { Role::Minion };
        attach(&fabric, parent, alien.load("aws-1-m-00", role, "aws"))
            .await
            .expect_err("an alien certificate");
        fabric.metric_reaches(parent, REFUSED, "why=\"handshake\"", 1.0).await;
        assert!(fabric.log(parent).contains("connection refused"), "not logged: {}", fabric.log(parent));
    }
    let operator = fabric.operator().with_identity(&LoadedIdentity {
        roots: fabric.pki().load("tester", Role::Operator, "core").roots,
        ..alien.load("tester", Role::Operator, "core")
    });
    operator.status().await.expect_err("an alien operator");
    fabric.metric_reaches(TOP, REFUSED, "why=\"handshake\"", 2.0).await;
    undisturbed(&fabric).await;
}

#[tokio::test]
async fn a_certificate_of_the_wrong_role_or_region_attaches_nowhere() {
    let fabric = region().await;
    let cases = [
        ("aws-1", "x", Role::Operator, "core"),
        ("aws-1", "top", Role::TopMaster, "core"),
        ("aws-1", "x", Role::Minion, "azure"),
        ("aws-1", "x", Role::Syndic, "azure"),
        (TOP, "aws-1-m-00", Role::Minion, "aws"),
        (TOP, "x", Role::Operator, "core"),
        (TOP, "top", Role::TopMaster, "core"),
    ];
    for (parent, id, role, region) in cases {
        let before = fabric.metric(parent, REFUSED, "why=\"link\"");
        let shown = fabric.pki().load(id, role, region);
        let refused = attach(&fabric, parent, shown).await.expect_err("a wrong certificate");
        assert_eq!(Code::of(&refused), Some(Code::Denied), "{parent} {id} {role} {region}: {refused}");
        assert!(refused.message().contains(&format!("{id}.{role}.{region}")), "{refused}");
        assert_eq!(fabric.metric(parent, REFUSED, "why=\"link\""), before + 1.0);
    }
    undisturbed(&fabric).await;
}

#[tokio::test]
async fn only_operators_may_call() {
    let fabric = region().await;
    for (id, role, region) in [
        ("aws-1-m-00", Role::Minion, "aws"),
        ("aws-1", Role::Syndic, "aws"),
        ("top", Role::TopMaster, "core"),
    ] {
        let caller = fabric.operator().with_identity(&fabric.pki().load(id, role, region));
        for refused in
            [caller.status().await.err(), caller.cancel(1).await.err(), caller.watch(1).await.err()]
        {
            let refused = refused.expect("only operators may call");
            assert_eq!(Code::of(&refused), Some(Code::Denied), "{role}: {refused}");
        }
    }
    fabric.metric_reaches(TOP, REFUSED, "why=\"operator\"", 9.0).await;
    undisturbed(&fabric).await;
}

#[tokio::test]
async fn a_syndic_speaks_for_no_minion_of_another_region() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("azure-1", "azure");
    let fabric = builder.minions("aws-1", 2).minion("azure-1", "far").start().await;
    let entry = link::Entry { no: 0, id: "far".into(), incarnation: 7, up: true, since: 0, grains: 0 };
    let roster =
        link::Roster { to: 1, full: true, put: vec![entry], grains: vec!["{}".into()], ..Default::default() };
    let frames = [
        stranger::up(link::up::Message::Hello(stranger::hello())),
        stranger::up(link::up::Message::Roster(roster)),
    ];
    let (shown, trusted) =
        (fabric.pki().load("evil", Role::Syndic, "aws"), fabric.pki().load("far", Role::Minion, "azure"));
    let name = "top.top-master.core.test.example";
    let _link = stranger::attach(fabric.listen(TOP), name, shown, &trusted, frames.concat()).await.unwrap();
    fabric.metric_reaches(TOP, "relay_frames_refused_total", "why=\"foreign_minion\"", 1.0).await;
    assert_eq!(fabric.up().await["far"], "azure-1");
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 3)].into());
    fabric.check(&mut [&mut ping]).await;
}
