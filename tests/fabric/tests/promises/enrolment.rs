//! Who joins, who does not, and who is found out: real processes with keys of their own.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
};

use fabric_tests::{Fabric, TOP, newcomer::Decision, pki, process, until};
use relay_core::identity::Role;
use relay_proto::{Code, trust::EnrolRequest};
use relay_runtime::{
    config::Parent,
    enrol::{
        FORMAT,
        parents::{Call, Parents},
        pinned::Pinned,
        proof::OwnKey,
    },
};
use tokio::task::JoinSet;

async fn region() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await
}

/// A process's log holds this at some time.
async fn says(fabric: &Fabric, process: &str, text: &str) {
    until(&format!("{process} to say {text:?}"), async || fabric.log(process).contains(text).then_some(()))
        .await;
}

/// Starts a process (again) that may not get ready.
fn begin(fabric: &mut Fabric, process: &str) {
    fabric.kill9(process);
    fabric.daemon(process).start();
}

/// Everybody who is up answers: so many.
async fn all_answer(fabric: &Fabric, many: usize) {
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", many)].into());
    fabric.check(&mut [&mut ping]).await;
}

/// A member that has joined by itself: its process has the name of its id.
async fn member(fabric: &mut Fabric, id: &str) {
    fabric.newcomer(id, id, "aws-1", "").start();
    fabric.stands(id, "pending").await;
    fabric.decide(Decision::Accept, id).await;
    fabric.minion_is(id, true).await;
}

#[tokio::test]
async fn a_newcomer_runs_jobs_once_it_is_accepted_by_its_fingerprint_and_stays_who_it_is() {
    let mut fabric = region().await;
    fabric.newcomer("web01", "web01", "aws-1", "").start();
    let key = fabric.stands("web01", "pending").await;
    says(&fabric, "web01", &format!("relayctl keys accept web01 --fingerprint {}", key.fingerprint)).await;
    assert_eq!((key.via.as_str(), key.uid), ("aws-1", 0));
    let (status, text) = fabric.daemon("web01").get("/readyz").unwrap();
    assert!(status == 503 && text.contains("waits to be let into the fabric"), "{status} {text}");
    // Another fingerprint lets nobody in, and nobody is let in by his name.
    let wrong = fabric.operator().decide(Decision::Accept, &key, &"ab".repeat(32)).await.unwrap();
    assert!(!wrong.done && wrong.why.contains("no key that asked"), "{}", wrong.why);
    let bare = fabric.operator().decide(Decision::Accept, &key, "").await.unwrap_err();
    assert_eq!(Code::of(&bare), Some(Code::Invalid), "{bare}");
    assert!(!fabric.up().await.contains_key("web01"));
    all_answer(&fabric, 2).await;

    let right = fabric.operator().decide(Decision::Accept, &key, &key.fingerprint).await.unwrap();
    assert!(right.done, "{}", right.why);
    fabric.minion_is("web01", true).await;
    all_answer(&fabric, 3).await;
    let accepted = fabric.stands("web01", "accepted").await;
    assert_eq!((accepted.generation, accepted.by.as_str()), (1, "tester"));
    assert_ne!(accepted.uid, 0);

    let identity = fabric.dir().join("web01/state/web01/identity/identity.pem");
    let held = fs::read(&identity).unwrap();
    fabric.restart("web01").await;
    fabric.minion_is("web01", true).await;
    all_answer(&fabric, 3).await;
    assert_eq!(fs::read(&identity).unwrap(), held, "it asked for nothing again");
}

#[tokio::test]
async fn a_token_lets_in_as_many_as_it_has_uses() {
    let mut fabric = region().await;
    let token = fabric.token("web*", 1).await;
    let setting = format!("token_file: \"{}\"", token.display());
    fabric.newcomer("web01", "web01", "aws-1", &setting).start();
    fabric.minion_is("web01", true).await;
    let key = fabric.stands("web01", "accepted").await;
    assert!(key.by.starts_with("token "), "{}", key.by);
    for late in ["web02", "db01"] {
        fabric.newcomer(late, late, "aws-1", &setting).start();
        says(&fabric, late, "the join token is not good for this").await;
        assert_eq!(fabric.operator().keys(late).await.unwrap(), [], "{late}");
    }
    all_answer(&fabric, 3).await;
    // Nobody on the way has seen it.
    let token = fs::read_to_string(token).unwrap();
    for process in [TOP, "aws-1", "web01", "web02"] {
        assert!(!fabric.log(process).contains(token.trim()), "{process}");
    }
}

#[tokio::test]
async fn another_key_for_a_name_is_a_conflict_and_replaces_nothing() {
    let mut fabric = region().await;
    member(&mut fabric, "web01").await;
    let before = fabric.stands("web01", "accepted").await;
    fabric.newcomer("other", "web01", "aws-1", "").start();
    says(&fabric, "other", "not let in (conflict)").await;
    let after = fabric.stands("web01", "accepted").await;
    assert_eq!((&after.fingerprint, after.uid), (&before.fingerprint, before.uid));
    assert_eq!(after.rivals.len(), 1);
    let rival = &after.rivals[0].fingerprint;
    let refused = fabric.operator().decide(Decision::Accept, &after, rival).await.unwrap();
    assert!(!refused.done && refused.why.contains("accepted with another key"), "{}", refused.why);
    all_answer(&fabric, 3).await;
}

#[tokio::test]
async fn who_is_rejected_stays_out_until_an_operator_thinks_otherwise() {
    let mut fabric = region().await;
    fabric.newcomer("web01", "web01", "aws-1", "").start();
    fabric.stands("web01", "pending").await;
    fabric.decide(Decision::Reject, "web01").await;
    says(&fabric, "web01", "not let in (rejected)").await;
    all_answer(&fabric, 2).await;
    fabric.decide(Decision::Accept, "web01").await;
    // It would ask by itself within a minute.
    begin(&mut fabric, "web01");
    fabric.minion_is("web01", true).await;
    all_answer(&fabric, 3).await;
}

#[tokio::test]
async fn a_deleted_one_is_cut_off_and_the_next_of_its_name_is_somebody_else() {
    let mut fabric = region().await;
    member(&mut fabric, "web01").await;
    let first = fabric.stands("web01", "accepted").await;
    fabric.decide(Decision::Delete, "web01").await;
    fabric.minion_is("web01", false).await;
    all_answer_but(&fabric, 2).await;
    fabric.newcomer("second", "web01", "aws-1", "").start();
    let pending = fabric.stands("web01", "pending").await;
    assert_ne!(pending.fingerprint, first.fingerprint);
    fabric.decide(Decision::Accept, "web01").await;
    fabric.minion_is("web01", true).await;
    let second = fabric.stands("web01", "accepted").await;
    assert_ne!(second.uid, first.uid);
    all_answer(&fabric, 3).await;
    // The first one still has its key and its certificate, and they open nothing.
    begin(&mut fabric, "web01");
    says(&fabric, "web01", "cannot attach; trying on").await;
    all_answer(&fabric, 3).await;
}

/// Those who are up answer, whoever else there is.
async fn all_answer_but(fabric: &Fabric, many: usize) {
    let mut ping = fabric.run("aws-1-m-*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", many)].into());
    fabric.check(&mut [&mut ping]).await;
}

#[tokio::test]
async fn a_copy_of_a_minion_is_found_within_one_renewal() {
    let mut fabric = region().await;
    fabric.certificate_life(10).await;
    member(&mut fabric, "web01").await;
    let held = fabric.stands("web01", "accepted").await;
    fabric.kill9("web01");
    fabric.cloned("web01", "copy");
    begin(&mut fabric, "web01");
    begin(&mut fabric, "copy");
    let caught = fabric.stands("web01", "quarantined").await;
    assert!(caught.why.contains("clone detected"), "{}", caught.why);
    assert!(caught.generation <= held.generation + 2, "one renewal of each at most: {}", caught.generation);
    // Neither is let on: nobody can tell from here which one is the original.
    fabric.minion_is("web01", false).await;
    until("both to be told", async || {
        ["web01", "copy"].iter().any(|p| fabric.log(p).contains("not let in (quarantined)")).then_some(())
    })
    .await;
    all_answer_but(&fabric, 2).await;
    // Released by the key of one of them, which had none but those.
    let freed = fabric.operator().decide(Decision::Release, &caught, &caught.fingerprint).await.unwrap();
    assert!(freed.done && freed.key.unwrap().uid != held.uid);
}

#[tokio::test]
async fn certificates_are_renewed_while_jobs_run() {
    let mut fabric = region().await;
    fabric.certificate_life(10).await;
    member(&mut fabric, "web01").await;
    let mut generation = 1;
    while generation < 3 {
        all_answer(&fabric, 3).await;
        generation = fabric.stands("web01", "accepted").await.generation;
    }
    fabric.minion_is("web01", true).await;
    all_answer(&fabric, 3).await;
}

#[tokio::test]
async fn a_syndic_joins_too_and_passes_on_for_those_below_it() {
    let mut fabric = region().await;
    fabric.new_syndic("aws-2");
    fabric.daemon("aws-2").start();
    let key = fabric.stands("aws-2", "pending").await;
    assert_eq!((key.role.as_str(), key.via.as_str()), ("syndic", ""));
    fabric.decide(Decision::Accept, "aws-2").await;
    fabric.syndic_is("aws-2", true).await;
    fabric.newcomer("web01", "web01", "aws-2", "").start();
    let key = fabric.stands("web01", "pending").await;
    assert_eq!(key.via, "aws-2");
    fabric.decide(Decision::Accept, "web01").await;
    fabric.minion_is("web01", true).await;
    assert_eq!(fabric.up().await["web01"], "aws-2");
    all_answer(&fabric, 3).await;
}

#[tokio::test]
async fn a_newcomer_believes_nobody_but_its_root() {
    let mut fabric = region().await;
    let pin = fabric.pin().to_string();
    fabric.newcomer("web01", "web01", "aws-1", "");
    let file = fabric.dir().join("web01/config.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&pin, &format!("sha256:{}", "0".repeat(64)))).unwrap();
    fabric.daemon("web01").start();
    says(&fabric, "web01", "cannot ask to join").await;
    assert_eq!(fabric.operator().keys("web01").await.unwrap(), []);
    assert!(fabric.log("web01").contains("UnknownIssuer"), "{}", fabric.log("web01"));
}

/// Asks a syndic without a certificate, as anybody can.
struct Stranger {
    parents: Parents,
    pinned: Arc<Pinned>,
}

impl Stranger {
    fn at(fabric: &Fabric, syndic: &str) -> Stranger {
        let address: SocketAddr = fabric.listen(syndic);
        let parent = Parent {
            id: syndic.parse().unwrap(),
            region: "aws".parse().unwrap(),
            role: Role::Syndic,
            address: address.to_string().parse().unwrap(),
        };
        Stranger { parents: Parents::new(vec![parent], pki::fabric()), pinned: Pinned::new(fabric.pin()) }
    }

    async fn ask(&self, id: &str, region: &str, csr: Vec<u8>) -> Result<(), tonic::Status> {
        let request = EnrolRequest {
            format: FORMAT,
            id: id.into(),
            role: "minion".into(),
            region: region.into(),
            csr,
            ..EnrolRequest::default()
        };
        self.parents.ask(&Call::Request(request), &self.pinned.client().unwrap()).await.map(drop)
    }
}

#[tokio::test]
async fn a_flood_of_requests_is_bounded_and_jobs_run_on() {
    const EACH: usize = 80;
    let fabric = Arc::new(region().await);
    let csr = OwnKey::generate().unwrap().csr().unwrap();
    let mut flood = JoinSet::new();
    for who in 0..12 {
        let (stranger, csr) = (Stranger::at(&fabric, "aws-1"), csr.clone());
        flood.spawn(async move {
            let (mut taken, mut later) = (0, 0);
            for n in 0..EACH {
                match stranger.ask(&format!("flood-{who}-{n}"), "aws", csr.clone()).await {
                    Ok(()) => taken += 1,
                    Err(status) => later += usize::from(Code::of(&status) == Some(Code::Busy)),
                }
            }
            (taken, later)
        });
    }
    // While it lasts.
    for _ in 0..3 {
        all_answer(&fabric, 2).await;
    }
    let (mut taken, mut later) = (0, 0);
    while let Some(asked) = flood.join_next().await {
        let (more, less) = asked.unwrap();
        (taken, later) = (taken + more, later + less);
    }
    assert!(later > 0, "nobody was told to ask later; {taken} were taken");
    assert_eq!(fabric.operator().keys("flood-*").await.unwrap().len(), taken);
    all_answer(&fabric, 2).await;
}

#[tokio::test]
async fn what_is_no_good_request_is_refused() {
    let fabric = region().await;
    let stranger = Stranger::at(&fabric, "aws-1");
    let csr = OwnKey::generate().unwrap().csr().unwrap();
    let mut forged = csr.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for (id, region, csr, code) in [
        ("web01", "azure", csr.clone(), Code::Denied),
        ("web01", "aws", forged, Code::Invalid),
        ("web01", "aws", vec![], Code::Invalid),
        ("../web01", "aws", csr.clone(), Code::Invalid),
        ("web01.minion.azure", "aws", csr.clone(), Code::Invalid),
    ] {
        match stranger.ask(id, region, csr).await {
            Err(refused) => assert_eq!(Code::of(&refused), Some(code), "{id} {region}: {refused}"),
            // A name with dots is one label more of an id, and of nobody else's region.
            Ok(()) => assert_eq!(id, "web01.minion.azure"),
        }
    }
    all_answer(&fabric, 2).await;
}

#[tokio::test]
async fn operators_decide_with_relayctl() {
    let mut fabric = region().await;
    let contexts = fabric.dir().join("contexts.yaml");
    fs::write(&contexts, context(&fabric)).unwrap();
    let run = async |line: &str| {
        let mut command = Command::new(process::binary("relayctl"));
        command.args(line.split(' ')).env("RELAY_CONFIG", &contexts).env_remove("RELAY_CONTEXT");
        let ran = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await;
        let ran = ran.unwrap().unwrap();
        (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
    };
    for id in ["web01", "web02"] {
        fabric.newcomer(id, id, "aws-1", "").start();
        fabric.stands(id, "pending").await;
    }
    let (code, listed) = run("keys list --state pending").await;
    assert_eq!(code, Some(0), "{listed}");
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let (_, fingers) = run("keys finger web*").await;
    let file = fabric.dir().join("fingerprints");
    fs::write(&file, &fingers).unwrap();
    let (code, accepted) = run(&format!("keys accept --file {}", file.display())).await;
    assert_eq!(code, Some(0), "{accepted}");
    for id in ["web01", "web02"] {
        fabric.minion_is(id, true).await;
    }
    let (code, deleted) = run("keys delete web01").await;
    assert_eq!(code, Some(0), "{deleted}");
    assert!(deleted.contains("retired"), "{deleted}");
    let (code, refused) = run("keys reject web02").await;
    assert_eq!(code, Some(1), "{refused}");
    assert!(refused.contains("delete it"), "{refused}");
    let token = fabric.dir().join("join.token");
    let create = format!("token create --region aws --id db* --uses 2 --out-file {}", token.display());
    let (code, made) = run(&create).await;
    assert_eq!(code, Some(0), "{made}");
    let secret = fs::read_to_string(&token).unwrap();
    assert!(secret.starts_with("relay-join-") && !made.contains(secret.trim()), "{made}");
    fabric.newcomer("db01", "db01", "aws-1", &format!("token_file: \"{}\"", token.display())).start();
    fabric.minion_is("db01", true).await;
    let (_, tokens) = run("token list").await;
    assert!(tokens.contains("1 of 2"), "{tokens}");
    let name = tokens.lines().nth(1).and_then(|line| line.split_whitespace().next()).unwrap().to_owned();
    let (code, revoked) = run(&format!("token revoke {name}")).await;
    assert_eq!(code, Some(0), "{revoked}");
}

fn context(fabric: &Fabric) -> String {
    let tls = fabric.pki().issue("tester", Role::Operator, "core");
    format!(
        "version: 1\ncurrent: test\ncontexts:\n- name: test\n  fabric: {}\n  addresses:\n  - address: {:?}\n    \
         server_name: {:?}\n  ca: {:?}\n  cert: {:?}\n  key: {:?}\n",
        pki::FABRIC,
        fabric.operator().address(),
        pki::who(TOP, Role::TopMaster, "core").to_dns(),
        tls.ca.display(),
        tls.cert.display(),
        tls.key.display(),
    )
}
