//! The key `login` of a top master, good and broken.

use std::time::Duration;

use super::*;
use crate::passwords;

fn top() -> tempfile::TempDir {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    let users = passwords::locked_line("alice", &[]).unwrap();
    for (name, text, mode) in [
        ("users", users.as_str(), 0o600),
        ("open", users.as_str(), 0o644),
        ("broken", "alice\n", 0o600),
        ("secret", "hush\n", 0o600),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    dir
}

fn load(dir: &Path, login: &str) -> Result<LoginConfig, ConfigErrors> {
    load_top_master(&write(dir, &format!("{TOP}{login}\n"))).map(|config| config.login)
}

/// The problems, with lines counted from the key `login`.
fn problems(dir: &Path, login: &str) -> Vec<String> {
    let above = TOP.lines().count();
    let placed = |line: String| {
        let rest = line.strip_prefix("config.yaml:").unwrap();
        let (no, rest) = rest.split_once(':').unwrap();
        format!("{}:{rest}", no.parse::<usize>().unwrap() - above)
    };
    told(dir, load(dir, login)).into_iter().map(placed).collect()
}

#[test]
fn ways_to_log_in_are_none_or_those_that_are_named() {
    let dir = top();
    assert_eq!(load(dir.path(), "").unwrap(), LoginConfig::default());
    let text =
        "login: {password_file: users, pam_service: relay, token_idle_ms: 60000, token_max_ms: 3600000}";
    let expected = LoginConfig {
        password_file: Some(dir.path().join("users")),
        pam_service: Some("relay".into()),
        ldap: None,
        token_idle: Duration::from_secs(60),
        token_max: Duration::from_secs(3_600),
    };
    assert_eq!(load(dir.path(), text).unwrap(), expected);
    let text = "\
login:
  ldap:
    url: ldaps://ldap.acme.example
    ca: ca.crt
    bind_dn: cn=relay,dc=acme
    password_file: secret
    users: {base: \"ou=people,dc=acme\", require: {accountStatus: active}}
    groups: {base: \"ou=groups,dc=acme\", member: uniqueMember}";
    let ldap = load(dir.path(), text).unwrap().ldap.unwrap();
    assert_eq!(
        (ldap.place.at.to_string(), ldap.place.ca),
        ("ldap.acme.example:636".into(), Some(dir.path().join("ca.crt")))
    );
    assert_eq!((ldap.users.name.as_str(), ldap.users.require.len()), ("uid", 1));
    assert_eq!(ldap.groups.map(|g| (g.member, g.name)), Some(("uniqueMember".into(), "cn".into())));
}

#[test]
fn every_problem_of_a_login_is_told_with_its_place() {
    let dir = top();
    let text = "\
login:
  password_file: broken
  pam_service: ../shadow
  token_idle_ms: 1
  ldap:
    url: ldap.acme.example
    bind_dn: cn=relay
    users: {name: \"u id\"}
    group: {}";
    let found = problems(dir.path(), text);
    let expected = [
        "2:18: broken:1:1: not of the form NAME:HASH:GROUP,GROUP",
        "3:16: \"../shadow\" is no PAM service",
        "4:18: 1 is out of range",
        "6:10: \"ldap.acme.example\" is no directory",
        "8:12: users has no \"base\"",
        "8:19: \"u id\" is no attribute's name",
        "9:5: ldap has no key \"group\"",
    ];
    for expected in expected {
        assert!(found.iter().any(|line| line.starts_with(expected)), "{expected} is not among {found:#?}");
    }
}

#[test]
fn what_would_show_passwords_is_refused() {
    let dir = top();
    let ldap =
        |url: &str, more: &str| format!("login: {{ldap: {{url: \"{url}\", users: {{base: dc=x}}{more}}}}}");
    for (text, why) in [
        ("login: {password_file: open}".to_owned(), "mode 0644"),
        ("login: {password_file: none}".into(), "No such file"),
        ("login: {token_idle_ms: 5000, token_max_ms: 2000}".into(), "no token is left unused for so long"),
        (ldap("ldap://ldap.acme.example", ""), "shows passwords to everything on the way"),
        (ldap("ldaps://ldap.acme.example", ""), "nothing says who may sign"),
        (ldap("ldap://localhost", ", ca: ca.crt"), "and a ca stands here"),
        (ldap("ldaps://localhost", ", ca: secret"), "no certificate in it"),
        (ldap("ldap://localhost", ", bind_dn: cn=x"), "go together"),
        (ldap("ldap://localhost", ", bind_dn: cn=x, password_file: open"), "mode 0644"),
    ] {
        let found = problems(dir.path(), &text);
        assert!(found.iter().any(|line| line.contains(why)), "{text}: {found:#?}");
    }
    load(dir.path(), &ldap("ldap://[::1]:1389", "")).expect("this machine's own");
}
