//! Operators who log in: what a password opens, and what ends it, on real processes.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use fabric_tests::{
    Fabric, TOP,
    login::Guest,
    slapd::{ADMIN, Slapd},
    until,
};
use relay_core::identity::Role;
use relay_proto::{Code, operator::WatchEvent};
use relay_runtime::{passwords, secret::Secret};
use tonic::{Status, Streaming};

use crate::console::Console;

const WORD: &str = "correct horse battery";
/// Both may do everything; nobody else anything.
const POLICY: &str = "version: 1\nallow:\n  any:\n    alice: ['*', '@jobs', '@runner', '@wheel']\n    \
                      bob: ['*', '@jobs', '@runner', '@wheel']\n    tester: ['*', '@jobs', '@runner', '@wheel']\n";

/// A password file with these users, who have the same password.
fn users(names: &[&str]) -> String {
    let secret = Secret::new(WORD.into());
    names.iter().map(|name| passwords::line(name, &secret, &["ops".into()]).unwrap() + "\n").collect()
}

async fn region(settings: &str, users: &str) -> Fabric {
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2);
    builder.policy(POLICY).login(settings, users).start().await
}

fn is(status: &Status, code: Code) -> bool {
    Code::of(status) == Some(code)
}

/// The calls of every service that there is.
fn calls() -> Vec<String> {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../relay-proto/proto");
    let mut calls = Vec::new();
    for file in fs::read_dir(protos).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let (mut package, mut service) = ("", "");
        for line in text.lines() {
            let mut words =
                line.split(|c: char| !(c.is_alphanumeric() || ".".contains(c))).filter(|w| !w.is_empty());
            match (words.next(), words.next()) {
                (Some("package"), Some(name)) => package = name,
                (Some("service"), Some(name)) if line.ends_with('{') => service = name,
                (Some("rpc"), Some(call)) => calls.push(format!("/{package}.{service}/{call}")),
                _ => {}
            }
        }
    }
    calls
}

#[tokio::test]
async fn without_credentials_every_call_is_refused_and_a_members_certificate_opens_none() {
    let fabric = region("", &users(&["alice"])).await;
    let calls = calls();
    assert!(calls.len() > 30, "{calls:?}");
    let nobody = Guest::of(&fabric);
    let wrong = nobody.showing(Some(format!("relaytoken_{}", "0".repeat(64))));
    for call in &calls {
        for guest in [&nobody, &wrong] {
            let refused = guest.call(call).await.expect_err(call);
            assert!(is(&refused, Code::Unauthenticated), "{call}: {refused:?}");
        }
    }
    let members =
        [("aws-1-m-00", Role::Minion, "aws"), ("aws-1", Role::Syndic, "aws"), (TOP, Role::TopMaster, "core")];
    let alice = nobody.log_in("alice", WORD).await.unwrap();
    for (id, role, region) in members {
        let member = Guest::certified(&fabric, id, role, region);
        for token in [None, alice.token.clone()] {
            let member = member.showing(token);
            for call in &calls {
                let refused = member.call(call).await.expect_err(call);
                assert!(is(&refused, Code::Denied), "{role} {call}: {refused:?}");
            }
        }
    }
    alice.status().await.expect("others are served");
}

#[tokio::test]
async fn somebody_without_certificate_logs_in_and_out_at_the_console() {
    let fabric = region("", &users(&["alice"])).await;
    let console = Console::without_certificate(&fabric);
    console.run(&["run", "*", "test.ping"]).await.refused(&["not logged in", "relayctl login"]);
    let wrong = console.run_reading(&["login", "--user", "alice"], "wrong word\n").await;
    wrong.refused(&["wrong user or password"]);
    let login = console.run_reading(&["login", "--user", "alice"], WORD).await;
    assert_eq!(login.code, 0, "{login:?}");
    let tokens = console.dir().join("tokens.json");
    assert_eq!(fs::metadata(&tokens).unwrap().mode() & 0o777, 0o600);
    let who = console.json(&["whoami"]).await;
    assert_eq!(
        (&who["user"], &who["how"], &who["groups"][0]),
        (&"alice".into(), &"file".into(), &"ops".into())
    );
    let ping = console.json(&["run", "*", "test.ping"]).await;
    assert_eq!(ping["outcomes"]["ok"], 2, "{ping}");
    let jobs = console.json(&["jobs", "list"]).await;
    assert_eq!(jobs[0]["caller"], "alice", "{jobs}");
    let kept: serde_json::Value = serde_json::from_str(&fs::read_to_string(&tokens).unwrap()).unwrap();
    let token = kept["tokens"][0]["token"].as_str().unwrap().to_owned();
    for (name, text) in [("stdout", &login.out), ("stderr", &login.err), ("the log", &fabric.log(TOP))] {
        assert!(!text.contains(&token) && !text.contains(WORD), "a secret in {name}");
    }
    assert_eq!(console.run(&["logout"]).await.code, 0);
    console.run(&["run", "*", "test.ping"]).await.refused(&["not logged in"]);
    let former = Guest::of(&fabric).showing(Some(token));
    assert!(
        is(&former.status().await.unwrap_err(), Code::Unauthenticated),
        "logged out at the top master, too"
    );
}

#[tokio::test]
async fn a_password_is_typed_unseen() {
    let fabric = region("", &users(&["alice"])).await;
    let console = Console::without_certificate(&fabric);
    let mut typing = console.start_on_terminal(&["login", "--user", "alice"]);
    typing.shows("the question", |text| text.contains("Password of alice on test: ").then_some(())).await;
    typing.types(&format!("{WORD}x\x7f\r"));
    let ran = typing.ended().await;
    assert!(ran.code == 0 && ran.out.contains("logged in") && !ran.out.contains(WORD), "{ran:?}");
    assert_eq!(console.json(&["whoami"]).await["user"], "alice");
    let mut giving_up = console.start_on_terminal(&["login"]);
    // The one of the last login.
    giving_up.shows("the question", |text| text.contains("Password of alice").then_some(())).await;
    giving_up.types("abc\x03");
    assert_eq!(giving_up.ended().await.code, 3);
}

#[tokio::test]
async fn a_program_shows_a_token_from_a_file_and_salt_logs_in_for_one_line() {
    let fabric = region("", &users(&["alice"])).await;
    let console = Console::without_certificate(&fabric);
    let printed = console.run_reading(&["login", "--user", "alice", "--print-token"], WORD).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(!console.dir().join("tokens.json").exists(), "printed, and not kept");
    let file = console.dir().join("token");
    fs::write(&file, &printed.out).unwrap();
    let shown = [("RELAY_TOKEN_FILE", file.as_path())];
    for (mode, code) in [(0o644, 3), (0o600, 0)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let ran = console.run_program("relayctl", &["run", "*", "test.ping"], "", &shown).await;
        assert_eq!(ran.code, code, "{ran:?}");
    }
    // A context with a certificate; the line says otherwise.
    let operator = Console::of(&fabric);
    let words = ["-a", "file", "--username", "alice", "*", "test.ping"];
    assert_eq!(operator.run_program("salt", &words, WORD, &[]).await.code, 0);
    let jobs = operator.json(&["jobs", "list"]).await;
    assert_eq!(jobs[0]["caller"], "alice", "{jobs}");
    let wrong = operator.run_program("salt", &words, "wrong word", &[]).await;
    assert!(wrong.code != 0 && wrong.err.contains("wrong user or password"), "{wrong:?}");
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
async fn who_is_removed_is_cut_off_in_the_middle_of_a_stream() {
    let both = users(&["alice", "bob"]);
    let fabric = region("", &both).await;
    let (alice, bob) = (Guest::of(&fabric), Guest::of(&fabric));
    let (alice, bob) = (alice.log_in("alice", WORD).await.unwrap(), bob.log_in("bob", WORD).await.unwrap());
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    let mut stays = bob.watch(job.jid()).await.unwrap();
    stays.message().await.unwrap().expect("an event");
    let mut hers = alice.watch(job.jid()).await.unwrap();
    hers.message().await.unwrap().expect("an event");
    fabric.users(&passwords::with_line(&both, "alice", None));
    let cut = end_of(hers).await.expect("a stream that is cut");
    assert!(is(&cut, Code::Unauthenticated), "{cut:?}");
    assert!(is(&alice.status().await.unwrap_err(), Code::Unauthenticated));
    assert!(is(&alice.log_in("alice", WORD).await.map(drop).unwrap_err(), Code::Unauthenticated));
    fabric.witness().open_all();
    while stays.message().await.expect("his stream goes on").is_some() {}
    job.closed(&fabric).await;
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn a_login_ends_at_its_time_whatever_it_does() {
    let fabric = region(", token_idle_ms: 2000, token_max_ms: 2000", &users(&["alice"])).await;
    let job = fabric.witnessed("*").await;
    let alice = Guest::of(&fabric).log_in("alice", WORD).await.unwrap();
    let cut = end_of(alice.watch(job.jid()).await.unwrap()).await.expect("a stream that is cut");
    assert!(is(&cut, Code::Unauthenticated), "{cut:?}");
    assert!(is(&alice.status().await.unwrap_err(), Code::Unauthenticated));
    fabric.witness().open_all();
}

#[tokio::test]
async fn wrong_passwords_are_held_off_and_a_name_that_nobody_has_is_no_different() {
    let fabric = region("", &users(&["alice", "bob"])).await;
    let guest = Guest::of(&fabric);
    let mut said = Vec::new();
    for user in ["alice", "mallory"] {
        let mut answers = Vec::new();
        loop {
            let refused = guest.log_in(user, "wrong").await.map(drop).unwrap_err();
            answers.push((refused.code(), refused.message().to_owned()));
            if is(&refused, Code::Busy) {
                break;
            }
            assert!(answers.len() < 50, "{answers:?}");
        }
        said.push(answers);
    }
    assert_eq!(said[0], said[1]);
    guest.log_in("bob", WORD).await.expect("others log in");
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    fabric.check(&mut [&mut ping]).await;
}

#[tokio::test]
async fn a_login_outlives_the_top_master_and_not_its_end() {
    let mut fabric = region("", &users(&["alice"])).await;
    let alice = Guest::of(&fabric).log_in("alice", WORD).await.unwrap();
    let other = Guest::of(&fabric).log_in("alice", WORD).await.unwrap();
    other.log_out().await.unwrap();
    fabric.restart(TOP).await;
    assert_eq!(until("an answer", async || alice.who_am_i().await.ok()).await.user, "alice");
    assert!(is(&other.status().await.unwrap_err(), Code::Unauthenticated));
}

/// Alice is in the directory, and in a group of it.
fn entries() -> String {
    format!(
        "dn: ou=people,dc=test\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: uid=alice,ou=people,dc=test\nobjectClass: inetOrgPerson\nuid: alice\ncn: Alice\nsn: A\nuserPassword: {WORD}\n\
         employeeType: active\n\n\
         dn: cn=dba,dc=test\nobjectClass: groupOfNames\ncn: dba\nmember: uid=alice,ou=people,dc=test\n\n"
    )
}

#[tokio::test]
async fn who_is_in_a_directory_logs_in_by_it_and_is_out_when_he_is_not() {
    let Some(slapd) = Slapd::start(&entries()).await else { return };
    let settings = format!(
        ", ldap: {{url: \"{}\", ca: {}, bind_dn: \"{ADMIN}\", password_file: {}, users: {{base: \"ou=people,dc=test\", \
         require: {{employeeType: active}}}}, groups: {{base: dc=test}}}}",
        slapd.secure_url(),
        slapd.ca(),
        slapd.password_file()
    );
    let fabric = region(&settings, "").await;
    let guest = Guest::of(&fabric).by("ldap");
    let alice = guest.log_in("alice", WORD).await.unwrap();
    let who = alice.who_am_i().await.unwrap();
    assert_eq!((who.user.as_str(), who.how.as_str(), who.groups), ("alice", "ldap", vec!["dba".to_owned()]));
    alice.status().await.unwrap();
    // Other spellings, other people's entries, no password: what an anonymous bind would let in.
    for (user, word) in
        [("alice", "wrong"), ("alice", ""), ("Alice", WORD), ("*", WORD), ("alice)(uid=*", WORD), ("", WORD)]
    {
        let refused = guest.log_in(user, word).await.map(drop).unwrap_err();
        assert!(is(&refused, Code::Unauthenticated) || is(&refused, Code::Busy), "{user:?}: {refused:?}");
    }
    slapd.modify(
        "dn: uid=alice,ou=people,dc=test\nchangetype: modify\nreplace: employeeType\nemployeeType: retired\n",
    );
    let refused = guest.log_in("alice", WORD).await.map(drop).unwrap_err();
    assert!(is(&refused, Code::Unauthenticated) || is(&refused, Code::Busy), "{refused:?}");
}

#[tokio::test]
async fn a_directory_that_is_away_lets_nobody_in_and_ends_nobodys_work() {
    let Some(mut slapd) = Slapd::start(&entries()).await else { return };
    let settings = format!(", ldap: {{url: \"{}\", users: {{base: \"ou=people,dc=test\"}}}}", slapd.url());
    let fabric = region(&settings, &users(&["bob"])).await;
    let guest = Guest::of(&fabric).by("ldap");
    let alice = guest.log_in("alice", WORD).await.unwrap();
    slapd.kill9();
    let refused = guest.log_in("alice", WORD).await.map(drop).unwrap_err();
    assert!(is(&refused, Code::Busy) && refused.message().contains("log says why"), "{refused:?}");
    assert!(fabric.log(TOP).contains("nobody can log in"), "not logged");
    alice.status().await.expect("who is in goes on");
    Guest::of(&fabric).log_in("bob", WORD).await.expect("others log in");
    slapd.restart().await;
    guest.log_in("alice", WORD).await.expect("back again");
}

#[tokio::test]
async fn a_directory_that_proves_nothing_is_told_no_password() {
    let Some(slapd) = Slapd::start(&entries()).await else { return };
    // The roots of the fabric have nothing to do with it.
    let settings = |ca: &str| {
        let url = slapd.secure_url();
        format!(", ldap: {{url: \"{url}\", ca: {ca}, users: {{base: \"ou=people,dc=test\"}}}}")
    };
    let other = Slapd::start(&entries()).await.expect("another one");
    let fabric = region(&settings(&other.ca()), "").await;
    let refused = Guest::of(&fabric).by("ldap").log_in("alice", WORD).await.map(drop).unwrap_err();
    assert!(is(&refused, Code::Busy), "{refused:?}");
    assert!(
        fabric.log(TOP).contains("UnknownIssuer") || fabric.log(TOP).contains("certificate"),
        "not logged"
    );
}
