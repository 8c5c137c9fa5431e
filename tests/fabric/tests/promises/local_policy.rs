//! What a machine's own file does not allow does not run there, whoever signs it.

use fabric_tests::Fabric;
use relay_core::outcome::{Outcome, Reason};

#[tokio::test]
async fn a_machines_own_policy_counts_at_once_and_says_why_not() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "free");
    let builder = builder.minion_with_policy("aws-1", "own", "functions: ['test.*']\n");
    let fabric = builder.start().await;
    let mut allowed = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(allowed.counts(), [("ok", 2)].into());
    let mut command = fabric.witnessed("*").await;
    fabric.witness().open_all();
    command.closed(&fabric).await;
    assert_eq!(command.outcome("own"), (Outcome::Refused, Reason::NotAllowed));
    assert_eq!(command.outcome("free"), (Outcome::Ok, Reason::None));

    let dark = "minion_blackout: true\nminion_blackout_whitelist: [test.version]\n";
    fabric.set_local_policy("own", dark);
    let mut dark = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(dark.outcome("own"), (Outcome::Refused, Reason::Blackout));
    let mut listed = fabric.run("own", "test.version", &[]).await;
    assert_eq!(listed.counts(), [("ok", 1)].into());
    // A slip does not end a blackout.
    fabric.set_local_policy("own", "minion_blackout: flase\n");
    let mut still = fabric.run("own", "test.ping", &[]).await;
    assert_eq!(still.outcome("own"), (Outcome::Refused, Reason::Blackout));
    fabric.set_local_policy("own", "{}\n");
    let mut over = fabric.run("own", "test.ping", &[]).await;
    assert_eq!(over.counts(), [("ok", 1)].into());
    fabric.check(&mut [&mut allowed, &mut command, &mut dark, &mut listed, &mut still, &mut over]).await;
    assert_eq!(fabric.witness().starts().len(), 1);
}
