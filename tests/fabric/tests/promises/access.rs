//! Who may do what: rules hold for every way of asking, a refusal says which rule it was, and a second person is a second person.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use fabric_tests::{
    Fabric, TOP,
    operator::Operator,
    pki::{FABRIC, who},
    process::binary,
    until,
};
use relay_core::identity::Role;
use relay_proto::{
    Code,
    operator::{PutScheduleRequest, Schedule, SubmitRequest},
};
use tonic::Status;

const POLICY: &str = "\
version: 1
allow:
  certificate:
    tester: ['*', '@jobs', '@runner', '@wheel']
    alice:
      - 'region:aws': [test.*, {cmd.run: {args: ['echo .*']}}]
      - '@runner': ['schedules.*']
    bob: ['*', '@jobs']
deny: {any: {bob: ['gcp-1-m-00': [cmd.*]]}}
dangerous: [test.echo]
";

async fn fabric() -> Fabric {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("gcp-1", "gcp");
    builder.minions("aws-1", 2).minions("gcp-1", 2).policy(POLICY).start().await
}

fn operator(fabric: &Fabric, name: &str) -> Operator {
    fabric.operator().with_identity(&fabric.pki().load(name, Role::Operator, "core"))
}

fn job(target: &str, function: &str, args: &str) -> SubmitRequest {
    SubmitRequest {
        request_id: rand::random::<[u8; 16]>().to_vec(),
        target: target.into(),
        function: function.into(),
        args: args.as_bytes().to_vec(),
        ..SubmitRequest::default()
    }
}

fn denied(answer: Result<impl std::fmt::Debug, Status>) -> String {
    let refused = answer.expect_err("it was let");
    assert_eq!(Code::of(&refused), Some(Code::Denied), "{refused}");
    refused.message().to_owned()
}

/// A command line as somebody.
struct Shell {
    contexts: String,
    links: String,
}

struct Ran {
    out: String,
    err: String,
    code: i32,
}

impl Shell {
    fn of(fabric: &Fabric, name: &str) -> Shell {
        let links = fabric.dir().join(format!("{name}-bin"));
        fs::create_dir(&links).unwrap();
        let installed = Command::new(binary("salt")).arg("--install-links").arg(&links).output().unwrap();
        assert!(installed.status.success(), "{installed:?}");
        let tls = fabric.pki().issue(name, Role::Operator, "core");
        let show = |path: &Path| path.display().to_string();
        let text = format!(
            "version: 1\ncurrent: test\ncontexts:\n- name: test\n  fabric: {FABRIC}\n  addresses:\n  - address: {:?}\n    \
             server_name: {:?}\n  ca: {:?}\n  cert: {:?}\n  key: {:?}\n",
            fabric.operator().address(),
            who(TOP, Role::TopMaster, "core").to_dns(),
            show(&tls.ca),
            show(&tls.cert),
            show(&tls.key),
        );
        let contexts = fabric.dir().join(format!("{name}-contexts.yaml"));
        fs::write(&contexts, text).unwrap();
        Shell { contexts: contexts.display().to_string(), links: links.display().to_string() }
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        let program = if name == "relayctl" { binary(name) } else { Path::new(&self.links).join(name) };
        let mut command = Command::new(program);
        command.args(arguments).env("RELAY_CONFIG", &self.contexts).env_remove("RELAY_CONTEXT");
        let ran = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { out: text(ran.stdout), err: text(ran.stderr), code: ran.status.code().unwrap_or(-1) }
    }
}

#[tokio::test]
async fn somebody_may_do_something_in_one_region_only() {
    let fabric = fabric().await;
    let (alice, bob) = (operator(&fabric, "alice"), operator(&fabric, "bob"));
    alice.submit(job("region:aws", "test.ping", "{}")).await.unwrap();
    alice.submit(job("*-m-01 and region:aws", "cmd.run", r#"{"args":["echo hi"]}"#)).await.unwrap();
    let told = denied(alice.submit(job("*", "test.ping", "{}")).await);
    assert!(
        told.contains("on 2 of its 4 targets: gcp-1-m-[00-01]") && told.contains("policy.yaml:6"),
        "{told}"
    );
    denied(alice.submit(job("region:aws", "cmd.run", r#"{"args":["reboot"]}"#)).await);
    denied(alice.submit(job("region:aws", "cmd.run", r#"{"args":[],"kwargs":{"cmd":"echo hi"}}"#)).await);
    denied(alice.submit(job("region:aws", "grains.items", "{}")).await);
    denied(alice.status().await);
    denied(alice.minions("").await);
    // A rule that denies wins over one that allows everything.
    bob.submit(job("region:aws", "cmd.run", r#"{"args":["echo hi"]}"#)).await.unwrap();
    let told = denied(bob.submit(job("*", "cmd.run", r#"{"args":["echo hi"]}"#)).await);
    assert!(told.contains("denies it on gcp-1-m-00; leave these out"), "{told}");
    // Who is in no rule may nothing, also with a good certificate.
    denied(operator(&fabric, "mallory").submit(job("*", "test.ping", "{}")).await);
}

#[tokio::test]
async fn a_job_is_its_makers_and_theirs_who_may_see_all() {
    let fabric = fabric().await;
    let (alice, bob) = (operator(&fabric, "alice"), operator(&fabric, "bob"));
    let own = alice.submit(job("region:aws", "test.ping", "{}")).await.unwrap().jid;
    let others = bob.submit(job("region:aws", "test.ping", "{}")).await.unwrap().jid;
    assert!(alice.watch(own).await.is_ok() && bob.watch(own).await.is_ok());
    denied(alice.watch(others).await);
    denied(alice.cancel(others).await);
    assert!(alice.jobs().await.unwrap().iter().all(|head| head.caller == "alice"));
}

#[tokio::test]
async fn salts_lines_say_salts_words() {
    let fabric = fabric().await;
    let alice = Shell::of(&fabric, "alice");
    let good = alice.run("salt", &["-C", "region:aws", "test.ping"]);
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    let refused = alice.run("salt", &["*", "test.ping"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused.err.starts_with("Authorization error occurred.\n") && refused.err.contains("gcp-1-m"),
        "{}",
        refused.err
    );
    let refused = alice.run("relayctl", &["run", "*", "test.ping"]);
    assert!(refused.code == 3 && refused.err.contains("policy.yaml:6"), "{}", refused.err);
}

#[tokio::test]
async fn which_rule_decides_is_told_without_trying_it() {
    let fabric = fabric().await;
    let tester = Shell::of(&fabric, "tester");
    let explain = |name: &str, words: &[&str]| {
        tester.run("relayctl", &[&["policy", "explain", "--as", name, "--"], words].concat())
    };
    let allowed = explain("alice", &["run", "region:aws", "test.ping"]);
    assert!(allowed.code == 0 && allowed.out.contains("policy.yaml:6"), "{}{}", allowed.out, allowed.err);
    let refused = explain("alice", &["run", "*", "test.ping"]);
    assert!(refused.code == 1 && refused.out.contains("gcp-1-m-[00-01]"), "{}{}", refused.out, refused.err);
    assert_eq!(explain("alice", &["jobs.prune"]).code, 1);
    assert_eq!(explain("bob", &["run", "aws*", "test.echo", "x"]).code, 2);
    let file = fabric.dir().join(TOP).join("policy.yaml").display().to_string();
    let offline = tester.run(
        "relayctl",
        &["policy", "explain", "--file", &file, "--offline", "--as", "eve", "--", "run", "*", "test.ping"],
    );
    assert_eq!(offline.code, 1, "{}{}", offline.out, offline.err);
    // Who may not see the policy does not see it.
    let refused = Shell::of(&fabric, "alice").run("relayctl", &["policy", "show"]);
    assert!(refused.code == 3 && refused.err.contains("policy.show"), "{}", refused.err);
}

#[tokio::test]
async fn a_wrong_policy_is_not_taken_and_the_former_one_holds() {
    let fabric = fabric().await;
    let tester = Shell::of(&fabric, "tester");
    let file = fabric.dir().join(TOP).join("policy.yaml");
    let alice = operator(&fabric, "alice");
    let show = || tester.run("relayctl", &["policy", "show", "--out", "json"]);
    let digest =
        |ran: &Ran| serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["digest"].to_string();
    let before = digest(&show());
    fs::write(&file, "version: 1\nalow: {}\n").unwrap();
    let told =
        until("the wrong policy to be told of", async || Some(show()).filter(|ran| ran.code == 2)).await;
    assert!(told.out.contains("did you mean") && digest(&told) == before, "{}", told.out);
    assert!(fabric.log(TOP).contains("the policy is not taken"));
    alice.submit(job("region:aws", "test.ping", "{}")).await.unwrap();
    // And a good one counts without a restart.
    fs::write(&file, POLICY.replace("'region:aws': [test.*", "'region:gcp': [test.*")).unwrap();
    until("the new policy to hold", async || {
        Some(show()).filter(|ran| ran.code == 0 && digest(ran) != before)
    })
    .await;
    denied(alice.submit(job("region:aws", "test.ping", "{}")).await);
    alice.submit(job("region:gcp", "test.ping", "{}")).await.unwrap();
}

#[tokio::test]
async fn a_schedule_runs_with_the_rights_that_its_maker_has_then() {
    let fabric = fabric().await;
    let alice = operator(&fabric, "alice");
    let put = |target: &str| {
        let job = SubmitRequest { request_id: Vec::new(), ..job(target, "test.ping", "{}") };
        let schedule =
            Schedule { name: "often".into(), every_ms: 1_000, job: Some(job), ..Schedule::default() };
        PutScheduleRequest { schedule: Some(schedule), replace: false }
    };
    denied(alice.put_schedule(put("*")).await);
    alice.put_schedule(put("region:aws")).await.unwrap();
    let kept = async || fabric.operator().schedules().await.ok()?.into_iter().find(|s| s.name == "often");
    until("it to run", async || kept().await.filter(|schedule| schedule.last_jid != 0)).await;
    let file = fabric.dir().join(TOP).join("policy.yaml");
    fs::write(&file, POLICY.replace("    alice:\n", "    carol:\n")).unwrap();
    let refused =
        until("a run to be refused", async || kept().await.filter(|s| !s.last_error.is_empty())).await;
    assert!(
        refused.last_error.contains("alice (certificate) may not run test.ping"),
        "{}",
        refused.last_error
    );
    assert!(refused.last_jid == 0, "{refused:?}");
}

#[tokio::test]
async fn a_dangerous_job_runs_when_a_second_person_agrees() {
    let fabric = fabric().await;
    let (alice, bob, tester) =
        (Shell::of(&fabric, "alice"), Shell::of(&fabric, "bob"), Shell::of(&fabric, "tester"));
    let asked = alice.run("relayctl", &["run", "region:aws", "test.echo", "hi"]);
    assert_eq!(asked.code, 3, "{}{}", asked.out, asked.err);
    let name = asked
        .err
        .split("It waits as ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect(&asked.err)
        .to_owned();
    assert!(fabric.operator().jobs().await.unwrap().is_empty());
    // Not by herself; she has not even the right to decide anything.
    let own = alice.run("relayctl", &["approvals", "approve", &name, "--yes"]);
    assert!(own.code == 3 && !own.err.is_empty(), "{}", own.err);
    let shown = bob.run("relayctl", &["approvals", "show", &name]);
    assert!(
        shown.out.contains("alice asks for") && shown.out.contains("aws-1-m-[00-01]"),
        "{}{}",
        shown.out,
        shown.err
    );
    let approved = bob.run("relayctl", &["approvals", "approve", &name, "--yes", "--out", "json"]);
    assert_eq!(approved.code, 0, "{}{}", approved.out, approved.err);
    let jobs = until("the job to be over", async || {
        fabric.operator().jobs().await.ok().filter(|jobs| jobs.iter().any(|head| head.closed != 0))
    })
    .await;
    assert!(jobs.len() == 1 && jobs[0].caller == "alice (approved by bob)", "{jobs:?}");
    // Its maker sees what came of it.
    let jid = relay_core::ids::Jid::from_micros(jobs[0].jid).to_string();
    let seen = alice.run("relayctl", &["jobs", "watch", &jid]);
    assert!(seen.code == 0 && seen.out.contains("hi"), "{}{}", seen.out, seen.err);
    let listed = tester.run("relayctl", &["approvals", "list"]);
    assert!(listed.out.contains("approved") && listed.out.contains("bob"), "{}", listed.out);
    // What is rejected does not run, also when it is asked for again.
    let asked =
        alice.run("relayctl", &["run", "region:aws", "test.echo", "no", "--request-id", &"0a".repeat(16)]);
    let name = asked
        .err
        .split("It waits as ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect(&asked.err)
        .to_owned();
    assert_eq!(bob.run("relayctl", &["approvals", "reject", &name, "--why", "not now"]).code, 0);
    let again =
        alice.run("relayctl", &["run", "region:aws", "test.echo", "no", "--request-id", &"0a".repeat(16)]);
    assert!(again.code == 3 && again.err.contains("rejected: not now"), "{}", again.err);
    assert_eq!(fabric.operator().jobs().await.unwrap().len(), 1);
}

/// Every call of the operators' port, from the descriptors, by somebody with a good certificate and no right.
#[tokio::test]
async fn no_call_is_answered_to_who_has_no_right() {
    let fabric = fabric().await;
    let (mallory, tester) = (operator(&fabric, "mallory"), operator(&fabric, "tester"));
    // About who asks, and open to everybody who is known; and the services of other ports.
    let other = ["/relay.access.v1.Access/", "/relay.link.v1.", "/relay.trust.v1.Enrol/"];
    let calls = relay_proto::CALLS.iter().filter(|call| !other.iter().any(|prefix| call.starts_with(prefix)));
    let mut asked = 0;
    for call in calls {
        let refused = mallory.empty(call).await.expect_err(call);
        // A job that is none is refused as that, before it is known what it would be.
        let nonsense = call.ends_with("/Submit") || call.ends_with("/Plan");
        let expected = if nonsense { Code::Invalid } else { Code::Denied };
        assert_eq!(Code::of(&refused), Some(expected), "{call}: {refused}");
        asked += 1;
    }
    assert!(asked > 25, "{asked}");
    // They are there: whoever may is told something else.
    for call in relay_proto::CALLS.iter().filter(|call| call.starts_with("/relay.operator.v1.Operator/")) {
        let code = tester.empty(call).await.err().and_then(|e| Code::of(&e));
        assert!(code != Some(Code::Denied), "{call}");
    }
}
