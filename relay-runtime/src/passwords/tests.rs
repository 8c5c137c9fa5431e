//! The password file: what is read, what is refused, and who is let in.

use std::{fs, os::unix::fs::PermissionsExt};

use proptest::prelude::*;

use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

#[test]
fn who_is_in_the_file_is_let_in_with_his_password_alone() {
    let groups = ["web".to_owned(), "dba".to_owned()];
    let alice = line("alice", &secret("correct horse"), &groups).unwrap();
    let bob = locked_line("bob", &[]).unwrap();
    let users = Passwords::parse(&format!("# who\n\n{alice}\n{bob}\n")).unwrap();
    assert_eq!(users.check("alice", &secret("correct horse")).unwrap().groups, groups);
    for (user, password) in
        [("alice", "correct horsf"), ("alice", ""), ("bob", "!"), ("bob", ""), ("eve", "correct horse")]
    {
        assert_eq!(users.check(user, &secret(password)), None, "{user} {password}");
    }
    assert!(users.account("alice").is_some() && users.account("bob").is_none());
    let long = secret(&"x".repeat(MAX_PASSWORD_BYTES + 1));
    assert_eq!(users.check("alice", &long), None);
}

#[test]
fn what_is_printed_has_no_hash() {
    let alice = line("alice", &secret("correct horse"), &["web".into()]).unwrap();
    let users = Passwords::parse(&format!("{alice}\nbob:!:\n")).unwrap();
    let account = "Account { groups: [\"web\"], stamp: *** }";
    let none = "Account { groups: [], stamp: *** }";
    assert_eq!(
        format!("{users:?}"),
        format!(
            "Passwords {{ users: {{\"alice\": Entry {{ hash: ***, account: {account} }}, \
             \"bob\": Entry {{ hash: !, account: {none} }}}}, .. }}"
        )
    );
}

#[test]
fn a_new_password_is_another_account_and_new_groups_are_not() {
    let parse = |line: &str| Passwords::parse(line).unwrap().account("alice").unwrap().clone();
    let first = line("alice", &secret("correct horse"), &[]).unwrap();
    let again = line("alice", &secret("correct horse"), &[]).unwrap();
    assert_ne!(parse(&first).stamp, parse(&again).stamp, "another salt");
    let grouped = format!("{first}web");
    assert_eq!(
        (parse(&first).stamp, &*parse(&grouped).groups),
        (parse(&grouped).stamp, &["web".to_owned()][..])
    );
}

#[test]
fn every_wrong_line_is_told_with_its_place() {
    let good = line("alice", &secret("correct horse"), &[]).unwrap();
    let weak = good.replace("m=19456,t=2", "m=1024,t=2");
    let heavy = good.replace("m=19456,t=2", "m=1048576,t=2").replace("alice", "carol");
    let other = good.replace("argon2id", "argon2i").replace("alice", "dave");
    let text = format!("{good}\n{good}\n-x:!:\nbob\nbob:hash:\n{weak}\n{heavy}\n{other}\neve:!:a b\n");
    let problems = Passwords::parse(&text).unwrap_err();
    let found: Vec<String> = problems.iter().map(|p| p.in_file("f").to_string()).collect();
    let expected = [
        "f:2:1: alice stands here a second time",
        "f:3:1: \"-x\" is no user's name",
        "f:4:1: not of the form",
        "f:5:1: its hash is no PHC string",
        "f:6:1: its hash is too weak",
        "f:7:1: its hash costs too much",
        "f:8:1: its hash is not of argon2id",
        "f:9:1: \"a b\" is no group's name",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    found.iter().zip(expected).for_each(|(found, start)| assert!(found.starts_with(start), "{found}"));
}

#[test]
fn who_is_not_there_costs_what_most_cost() {
    let good = line("alice", &secret("correct horse"), &[]).unwrap();
    let (m, other) = ("m=19456,t=2", "m=12288,t=3");
    let text =
        [good.replace(m, other), good.replace("alice", "bob").replace(m, other), good.replace("alice", "c")];
    let users = Passwords::parse(&text.join("\n")).unwrap();
    let params = Params::try_from(&users.nobody).unwrap();
    assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (12_288, 3, 1));
}

#[test]
fn a_file_for_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    fs::write(&path, locked_line("alice", &[]).unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let why = Passwords::read(&path).unwrap_err().to_string();
    assert!(why.contains("mode 0640") && why.contains("chmod 600"), "{why}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Passwords::read(&path).unwrap().len(), 1);
}

#[test]
fn a_line_replaces_its_users_and_no_others() {
    let text = "# who\nalice:!:a\nalicia:!:\n";
    assert_eq!(with_line(text, "alice", Some("alice:!:b")), "# who\nalice:!:b\nalicia:!:\n");
    assert_eq!(with_line(text, "alice", None), "# who\nalicia:!:\n");
    assert_eq!(with_line(text, "bob", Some("bob:!:")), "# who\nalice:!:a\nalicia:!:\nbob:!:\n");
    assert_eq!(with_line("a:!:\nb:!:\na:!:\n", "a", Some("a:!:x")), "a:!:x\nb:!:\n");
}

#[test]
fn what_is_no_password_or_name_makes_no_line() {
    for (user, password, groups) in [
        ("alice", "short", vec![]),
        ("alice", &*"x".repeat(MAX_PASSWORD_BYTES + 1), vec![]),
        ("al:ice", "long enough", vec![]),
        ("", "long enough", vec![]),
        ("alice", "long enough", vec!["a,b".to_owned()]),
        ("alice", "long enough", vec!["g".to_owned(); MAX_GROUPS + 1]),
    ] {
        line(user, &secret(password), &groups).expect_err(user);
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z$:=,!# \n0-9]{0,200}") {
        let _ = Passwords::parse(&text);
    }
}
