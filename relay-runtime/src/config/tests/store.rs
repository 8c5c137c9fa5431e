//! The key `store` of a top master, good and broken.

use super::*;
use crate::store::postgres::{PostgresConfig, Transport};

fn top() -> tempfile::TempDir {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    for (name, mode) in [("secret", 0o600), ("open", 0o644)] {
        let file = dir.path().join(name);
        fs::write(&file, "hush\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    dir
}

fn load(dir: &Path, store: &str) -> Result<StoreKind, ConfigErrors> {
    load_top_master(&write(dir, &format!("{TOP}{store}\n"))).map(|config| config.store)
}

#[test]
fn a_store_is_a_file_or_a_database() {
    let dir = top();
    assert_eq!(load(dir.path(), "").unwrap(), StoreKind::Sqlite);
    assert_eq!(load(dir.path(), "store: sqlite").unwrap(), StoreKind::Sqlite);
    let local = PostgresConfig {
        host: "/run/postgresql".into(),
        port: 5432,
        database: "relay".into(),
        user: "top".into(),
        password_file: None,
        transport: Transport::Local,
    };
    let text = "store: {postgres: {host: /run/postgresql, database: relay, user: top}}";
    assert_eq!(load(dir.path(), text).unwrap(), StoreKind::Postgres(local.clone()));
    let text =
        "store: {postgres: {host: \"::1\", port: 1, database: relay, user: top, password_file: secret}}";
    let far = PostgresConfig {
        host: "::1".into(),
        port: 1,
        password_file: Some(dir.path().join("secret")),
        ..local.clone()
    };
    assert_eq!(load(dir.path(), text).unwrap(), StoreKind::Postgres(far));
    let (ca, own) = (dir.path().join("ca.crt"), ["top-1.pem", "top-1.key"].map(|name| dir.path().join(name)));
    let [cert, key] = own;
    for (how, transport) in [
        ("plain: anywhere", Transport::PlainAnywhere),
        ("tls: {ca: ca.crt}", Transport::Tls { ca: ca.clone(), identity: None }),
        (
            "tls: {ca: ca.crt, cert: top-1.pem, key: top-1.key}",
            Transport::Tls { ca, identity: Some((cert, key)) },
        ),
    ] {
        let text =
            format!("store: {{postgres: {{host: db.acme.example, database: relay, user: top, {how}}}}}");
        let expected = PostgresConfig { host: "db.acme.example".into(), transport, ..local.clone() };
        assert_eq!(load(dir.path(), &text).unwrap(), StoreKind::Postgres(expected));
    }
}

#[test]
fn every_problem_of_a_store_is_told_with_its_place() {
    let dir = top();
    let long = "x".repeat(64);
    let text = format!(
        "\
store:
  postgres:
    host: db:5432
    port: 65536
    database: {long}
    usr: top
    password_file: open
    tls: {{ca: secret, cert: ca.crt, key: top-1.key}}
    plain: everywhere"
    );
    assert_eq!(
        told(dir.path(), load(dir.path(), &text)),
        [
            "config.yaml:13:5: postgres has no \"user\"; add a line \"user: ...\"",
            "config.yaml:13:11: \"db:5432\" is neither a host's name or address nor the directory of a socket (a port is \
             written as port: N); correct this value",
            "config.yaml:14:11: 65536 is out of range; write a whole number from 1 to 65535, without quotes",
            &format!("config.yaml:15:15: \"{}\" is longer than 63 bytes; correct this value", "x".repeat(60)),
            "config.yaml:16:5: postgres has no key \"usr\"; did you mean \"user\"?",
            "config.yaml:17:20: the password in open can be read by others (mode 0644): chmod 600 it; put the password \
             alone into a file of mode 0600",
            "config.yaml:18:15: secret: no certificate in it; put the right PEM file there",
            "config.yaml:18:15: ca.crt with top-1.key: keys may not be consistent: KeyMismatch; put the right PEM file there",
            "config.yaml:19:12: \"everywhere\" is not known here; write one of: anywhere",
        ]
    );
}

#[test]
fn bytes_go_through_a_network_openly_only_if_somebody_said_so() {
    let dir = top();
    let on = |host: &str, more: &str| {
        let text = format!("store: {{postgres: {{host: {host}, database: relay, user: top{more}}}}}");
        load(dir.path(), &text)
    };
    for local in ["localhost", "127.0.0.9", "\"::1\"", "/tmp"] {
        on(local, "").unwrap();
    }
    for (host, more, said) in [
        ("db", "", "db is not on this machine"),
        ("10.0.0.1", "", "10.0.0.1 is not on this machine"),
        ("localhost.acme.example", "", "is not on this machine"),
        ("/tmp", ", tls: {ca: ca.crt}", "/tmp is a socket, which has no TLS"),
        ("db", ", tls: {ca: ca.crt}, plain: anywhere", "tls and plain stand here together"),
        ("db", ", tls: {ca: ca.crt, key: top-1.key}", "a certificate and its key go together"),
        ("db", ", tls: {ca: none.crt}", "none.crt"),
        ("db", ", plain: anywhere, password_file: none", "the password in none: No such file"),
        ("db", ", plain: anywhere, password_file: .", "is not a regular file"),
    ] {
        let told = told(dir.path(), on(host, more));
        assert!(told.len() == 1 && told[0].contains(said), "{host}{more}: {told:#?}");
    }
    for text in ["store: postgres", "store: [sqlite]", "store: {sqlite: {}}"] {
        let told = told(dir.path(), load(dir.path(), text));
        assert!(told[0].contains("postgres") && told[0].starts_with("config.yaml:11:"), "{text}: {told:#?}");
    }
}
