//! a02: a call has one spelling. Whatever a path could be taken for after somebody has cleaned it up, it is served only if
//! it is exactly the method's (CVE-2026-33186), and only to who may call.

use abuse_tests::{
    h2::Wire,
    region::{insider, operators, ports, region, serves_on, wire},
    trail::Trail,
};
use fabric_tests::TOP;
use relay_core::identity::Role;

const STATUS: &str = "/relay.operator.v1.Operator/Status";

/// Spellings of [`STATUS`] that are not it.
const SPELLINGS: [&str; 18] = [
    "relay.operator.v1.Operator/Status",
    "//relay.operator.v1.Operator/Status",
    "/relay.operator.v1.Operator//Status",
    "/relay.operator.v1.Operator/Status/",
    "/relay.operator.v1.Operator%2FStatus",
    "/relay.operator.v1.Operator%2fStatus",
    "/%72elay.operator.v1.Operator/Status",
    "/RELAY.OPERATOR.V1.OPERATOR/STATUS",
    "/relay.operator.v1.Operator/status",
    "/relay.operator.v1.Operator./Status",
    "/relay.operator.v1.Operator/Status.",
    "/relay.operator.v1.Operator/./Status",
    "/x/../relay.operator.v1.Operator/Status",
    "/relay.operator.v1.Operator/Status;x=y",
    "/relay.operator.v1.Operator\\Status",
    "/relay.operator.v1.Operator/Status ",
    "/relay.operator.v1.Operator/Status\0",
    "*",
];

#[tokio::test]
async fn a_path_is_served_in_one_spelling_and_to_who_may_call() {
    let mut fabric = region().await;
    let all = ports(&fabric);
    let port = all.iter().find(|(name, ..)| *name == "operators").unwrap();
    // The same bytes with the right path are served: what follows is refused for its path alone.
    assert!(wire(&fabric, port).await.served(1, STATUS.as_bytes(), b"").await.unwrap());
    for path in SPELLINGS {
        // Closing the connection is a refusal, too.
        let served = wire(&fabric, port).await.served(1, path.as_bytes(), b"").await.unwrap_or(false);
        assert!(!served, "{path:?} was served as {STATUS}");
    }
    // A query is no part of the method's name and reaches nothing; it may be refused or not, but not change who may call.
    let top = abuse_tests::region::identity_of(TOP).to_dns();
    for (role, region) in [(Role::Minion, "aws"), (Role::Syndic, "aws"), (Role::TopMaster, "core")] {
        let shown = fabric.pki().load("mallory", role, region);
        for path in SPELLINGS.iter().chain([&STATUS, &"/relay.operator.v1.Operator/Status?x=y"]) {
            let served = match Wire::connect(operators(&fabric), &top, &shown).await {
                Ok(mut wire) => wire.served(1, path.as_bytes(), b"").await.unwrap_or(false),
                Err(_) => false,
            };
            assert!(!served, "{path:?} was served to a {role}");
        }
    }
    let trail = Trail::of(&fabric);
    for who in ["mallory.minion.aws", "mallory.syndic.aws", "mallory.top-master.core"] {
        trail.shows(1, "deny", who, &[("how", "certificate"), ("subject", "call")]).await;
    }
    trail.is_whole();
    // Nor are calls of operators served where links are accepted.
    for (name, at, who) in all.iter().filter(|(name, ..)| *name != "operators") {
        for shown in [insider(&fabric, name), insider(&fabric, "operators")] {
            let served = match Wire::connect(*at, &who.to_dns(), &shown).await {
                Ok(mut wire) => wire.served(1, STATUS.as_bytes(), b"").await.unwrap_or(false),
                Err(_) => false,
            };
            assert!(!served, "{STATUS} was served on {name}");
        }
    }
    serves_on(&mut fabric).await;
}
