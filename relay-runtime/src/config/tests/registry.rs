//! The key `registry` of a top master, good and broken.

use super::*;
use crate::registry::etcd::{EtcdConfig, EtcdLogin, EtcdTls};

fn top() -> tempfile::TempDir {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    for (name, mode) in [("secret", 0o600), ("open", 0o644)] {
        let file = dir.path().join(name);
        fs::write(&file, "hush\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    dir
}

/// What several top masters need beside it.
const STORE: &str = "store: {postgres: {host: /run/postgresql, database: relay, user: relay}}";

fn load(dir: &Path, registry: &str) -> Result<RegistryKind, ConfigErrors> {
    load_top_master(&write(dir, &format!("{TOP}{registry}\n{STORE}\n"))).map(|config| config.registry)
}

#[test]
fn a_registry_is_in_this_process_or_in_an_etcd() {
    let dir = top();
    assert_eq!(load(dir.path(), "").unwrap(), RegistryKind::Embedded);
    assert_eq!(load(dir.path(), "registry: embedded").unwrap(), RegistryKind::Embedded);
    let local = EtcdConfig {
        endpoints: vec!["127.0.0.1:2379".parse().unwrap()],
        prefix: "/relay/acme.example".into(),
        tls: None,
        login: None,
    };
    let text = "registry: {etcd: {endpoints: [\"http://127.0.0.1:2379/\"]}}";
    assert_eq!(load(dir.path(), text).unwrap(), RegistryKind::Etcd(local.clone()));
    let text =
        "registry: {etcd: {endpoints: [http://etcd:1, \"http://[::1]:2\"], plain: anywhere, prefix: /a/b}}";
    let plain = EtcdConfig {
        endpoints: vec!["etcd:1".parse().unwrap(), "[::1]:2".parse().unwrap()],
        prefix: "/a/b".into(),
        ..local.clone()
    };
    assert_eq!(load(dir.path(), text).unwrap(), RegistryKind::Etcd(plain));
    let file = |name: &str| dir.path().join(name);
    let login = EtcdLogin { user: "relay".into(), password_file: file("secret") };
    for (more, identity, login) in [
        ("tls: {ca: ca.crt}", None, None),
        ("tls: {ca: ca.crt}, user: relay, password_file: secret", None, Some(login)),
        (
            "tls: {ca: ca.crt, cert: top-1.pem, key: top-1.key}",
            Some((file("top-1.pem"), file("top-1.key"))),
            None,
        ),
    ] {
        let text = format!("registry: {{etcd: {{endpoints: [https://etcd-1.acme.example:2379], {more}}}}}");
        let expected = EtcdConfig {
            endpoints: vec!["etcd-1.acme.example:2379".parse().unwrap()],
            tls: Some(EtcdTls { ca: file("ca.crt"), identity }),
            login,
            ..local.clone()
        };
        assert_eq!(load(dir.path(), &text).unwrap(), RegistryKind::Etcd(expected));
    }
}

#[test]
fn every_problem_of_a_registry_is_told_with_its_place() {
    let dir = top();
    let text = "\
registry:
  etcd:
    endpoints:
      - etcd-1:2379
      - https://etcd-2
      - https://etcd 3:2379
    prefix: relay
    usr: relay
    password_file: open
    tls: {ca: secret, cert: ca.crt, key: top-1.key}
    plain: everywhere";
    assert_eq!(
        told(dir.path(), load(dir.path(), text)),
        [
            "config.yaml:14:9: \"etcd-1:2379\" is no endpoint of an etcd (write https://HOST:2379); correct this value",
            "config.yaml:15:9: the address \"etcd-2\" has no port (write host:port, for example top1.acme.example:4510); \
             correct this value",
            "config.yaml:16:9: the address \"etcd 3:2379\" has no usable host (a DNS name, an IPv4 address, or an IPv6 \
             address in brackets); correct this value",
            "config.yaml:17:13: \"relay\" is no prefix of keys (write /NAME or /NAME/NAME, at most 200 bytes, without \
             blanks); correct this value",
            "config.yaml:18:5: etcd has no key \"usr\"; did you mean \"user\"?",
            "config.yaml:19:20: the password in open can be read by others (mode 0644): chmod 600 it; put the password \
             alone into a file of mode 0600",
            "config.yaml:20:15: secret: no certificate in it; put the right PEM file there",
            "config.yaml:20:15: ca.crt with top-1.key: keys may not be consistent: KeyMismatch; put the right PEM file there",
            "config.yaml:21:12: \"everywhere\" is not known here; write one of: anywhere",
        ]
    );
}

#[test]
fn bytes_go_through_a_network_openly_only_if_somebody_said_so() {
    let dir = top();
    let on = |endpoints: &str, more: &str| {
        load(dir.path(), &format!("registry: {{etcd: {{endpoints: {endpoints}{more}}}}}"))
    };
    on("[http://localhost:1, \"http://[::1]:1\"]", "").unwrap();
    for (endpoints, more, said) in [
        ("[http://etcd:1]", "", "etcd:1 is not on this machine"),
        ("[https://etcd:1]", "", "etcd:1 is https, and nothing says who may sign"),
        ("[http://localhost:1]", ", tls: {ca: ca.crt}", "localhost:1 is http, and tls stands here"),
        ("[https://etcd:1]", ", tls: {ca: ca.crt}, plain: anywhere", "tls and plain stand here together"),
        ("[https://etcd:1]", ", tls: {ca: ca.crt, key: top-1.key}", "a certificate and its key go together"),
        ("[https://etcd:1]", ", tls: {ca: none.crt}", "none.crt"),
        ("[]", "", "0 endpoints are here"),
        ("[http://localhost:1, http://localhost:1]", "", "localhost:1 stands here a second time"),
        ("[http://localhost:1]", ", user: relay", "a user and a password_file go together"),
        ("[http://localhost:1]", ", password_file: secret", "a user and a password_file go together"),
        ("[http://localhost:1]", ", user: relay, password_file: none", "the password in none: No such file"),
        ("[http://localhost:1]", ", prefix: /", "\"/\" is no prefix of keys"),
        ("[http://localhost:1]", ", prefix: /a//b", "is no prefix of keys"),
        ("[http://localhost:1]", ", prefix: /a/", "is no prefix of keys"),
    ] {
        let told = told(dir.path(), on(endpoints, more));
        assert!(told.len() == 1 && told[0].contains(said), "{endpoints}{more}: {told:#?}");
    }
    for text in ["registry: etcd", "registry: [embedded]", "registry: {embedded: {}}"] {
        let told = told(dir.path(), load(dir.path(), text));
        assert!(told[0].contains("etcd") && told[0].starts_with("config.yaml:11:"), "{text}: {told:#?}");
    }
}
