//! Policies as people write them.

use super::*;

fn wrong(text: &str) -> Vec<String> {
    let problems = parse_policy(text).expect_err("a broken policy was accepted");
    problems.iter().map(|problem| problem.in_file("p.yaml").to_string()).collect()
}

#[test]
fn problems_are_told_where_they_stand() {
    let told = wrong(
        "\
version: 1
allow:
  any:
    alice:
      - 'region:aws': [test.*, '(']
      - 'G@os:Debian': ['*']
      - '@runer'
    bob: test.ping
deny: {any: {alice: ['web* and G@a:b': [cmd.run]]}}
approval: {wider: 10%}
",
    );
    for (at, what) in [
        ("5:32", "this is no regular expression"),
        ("6:9", "rests on G@os:Debian, which minions say of themselves"),
        ("7:9", "there is no \"@runer\"; did you mean '@runner'?"),
        ("8:10", "a list is expected here"),
        ("9:22", "a rule that denies rests on G@a:b"),
        ("10:12", "approval has no key \"wider\"; did you mean \"wider_than\"?"),
    ] {
        assert!(
            told.iter().any(|l| l.starts_with(&format!("p.yaml:{at}: ")) && l.contains(what)),
            "{at} {what}: {told:#?}"
        );
    }
    assert_eq!(told.len(), 6, "{told:#?}");
}

#[test]
fn a_top_master_does_not_start_without_a_good_policy() {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    let without = TOP.replace("policy: policy.yaml\n", "");
    assert!(told(dir.path(), load_top_master(&write(dir.path(), &without)))[0].contains("has no \"policy\""));
    let file = write(dir.path(), TOP);
    let good = load_top_master(&file).unwrap();
    assert_eq!(good.policy, dir.path().join("policy.yaml"));
    let policy = dir.path().join("policy.yaml");
    fs::write(&policy, "version: 1\nalow: {}\n").unwrap();
    let line = TOP.lines().position(|line| line.starts_with("policy")).unwrap() + 1;
    let wrong = told(dir.path(), load_top_master(&file));
    assert!(wrong[0].starts_with(&format!("config.yaml:{line}:9: policy.yaml:2:1: ")), "{wrong:#?}");
    fs::write(&policy, POLICY).unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o666)).unwrap();
    let wrong = told(dir.path(), load_top_master(&file));
    assert!(wrong[0].contains("everybody on this machine can change it"), "{wrong:#?}");
    fs::remove_file(&policy).unwrap();
    assert!(told(dir.path(), load_top_master(&file))[0].contains("policy.yaml: cannot be read"));
}
