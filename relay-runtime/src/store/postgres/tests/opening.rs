//! Getting in: what is refused with nothing changed, who makes the tables, and how a secret is kept.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{
    server::{self, Database},
    *,
};

async fn refused(config: &PostgresConfig) -> StoreError {
    PostgresStore::open(config).await.unwrap_err()
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    PostgresStore::open(&database.config()).await.unwrap().close().await;
    database.psql("UPDATE relay.store SET version = 99; DROP TABLE relay.plans");
    let path: PathBuf = database.config().to_string().into();
    assert_eq!(refused(&database.config()).await, StoreError::Newer { path, found: 99, known: 3 });
    assert_eq!(database.psql("SELECT to_regclass('relay.plans') IS NULL, version FROM relay.store"), "t|99");
}

#[tokio::test]
async fn a_newer_schema_is_refused_when_the_connection_is_made_again() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let store = PostgresStore::open(&database.config()).await.unwrap();
    store.begin().await.unwrap();
    database.psql("UPDATE relay.store SET version = 99");
    database.psql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let error = store.schedules().await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn tables_of_something_else_are_refused_and_left_alone() {
    if !server::is_here() {
        return;
    }
    for foreign in ["relay.races (won boolean)", "relay.store AS SELECT 'a' AS version"] {
        let database = Database::new();
        database.psql(&format!("CREATE SCHEMA relay; CREATE TABLE {foreign}"));
        let server = database.config().to_string();
        assert_eq!(refused(&database.config()).await, StoreError::NotOurs { server });
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'relay'";
        assert_eq!(database.psql(tables), "1");
    }
}

#[tokio::test]
async fn many_that_open_at_once_make_the_tables_once() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let config = database.config();
            tokio::spawn(async move { PostgresStore::open(&config).await })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
    assert_eq!(database.psql("SELECT version FROM relay.store"), "3");
    assert_eq!(database.psql("SELECT count(*) FROM relay.owner"), "1");
}

#[tokio::test]
async fn an_older_store_is_brought_up_to_date_with_what_it_has() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let session = connect::Settings::new(&database.config()).unwrap().connect().await.unwrap();
    schema::migrate(&session, "x", &schema::MIGRATIONS[..1]).await.unwrap();
    database.psql("UPDATE relay.owner SET epoch = 4");
    assert_eq!(
        database.psql("SELECT to_regclass('relay.topologies') IS NULL, version FROM relay.store"),
        "t|1"
    );
    database.psql(
        "INSERT INTO relay.jobs (jid, epoch, created, closed, counts, target_count, inventory_version, delivery_limit,
            request_id, request_digest, digest, function, caller, target, targets, envelope)
        VALUES (7, 4, 1, 2, '{}', 0, 0, 0, '', '', '', 'test.ping', 'root', '*', '', 'sealed')",
    );
    let store = PostgresStore::open(&database.config()).await.unwrap();
    assert_eq!(store.begin().await.unwrap().epoch.0, 5);
    assert_eq!(store.revisions(9, None).await.unwrap(), []);
    assert_eq!(store.records(Area::Audit, Bytes::new(), 9).await.unwrap(), []);
    assert_eq!(database.psql("SELECT jid, envelope, leaves FROM relay.jobs"), "7|\\x7365616c6564|\\x");
    assert_eq!(database.psql("SELECT version FROM relay.store"), "3");
}

#[tokio::test]
async fn migrations_are_made_in_order_all_or_none() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let session = connect::Settings::new(&database.config()).unwrap().connect().await.unwrap();
    let steps = [
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1)",
        "UPDATE t SET a = a * 10",
        "UPDATE t SET a = a + 1",
    ];
    let migrate = async |steps: &[&str]| schema::migrate(&session, "x", steps).await;
    migrate(&steps[..1]).await.unwrap();
    let error = migrate(&[steps[0], steps[1], "UPDATE nowhere SET a = 1"]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Database { why, .. } if why.contains("nowhere")), "{error}");
    let now = "SELECT a, version FROM relay.t, relay.store";
    assert_eq!(database.psql(now), "1|1");
    migrate(&steps).await.unwrap();
    migrate(&steps).await.unwrap();
    assert_eq!(database.psql(now), "11|3");
}

#[tokio::test]
async fn what_cannot_be_safe_is_refused_before_a_byte_is_sent() {
    let config = |host: &str, transport| PostgresConfig {
        host: host.into(),
        port: 5432,
        database: "relay".into(),
        user: "relay".into(),
        password_file: None,
        transport,
    };
    let tls = Transport::Tls { ca: "/nowhere/ca.pem".into(), identity: None };
    let table = [
        (config("db.example.org", Transport::Local), "set TLS"),
        (config("192.0.2.1", Transport::Local), "set TLS"),
        (config("/run/postgresql", tls.clone()), "has no TLS"),
        (config("db.example.org", tls), "/nowhere/ca.pem"),
    ];
    for (config, word) in table {
        let error = refused(&config).await;
        assert!(matches!(&error, StoreError::Setting { why, .. } if why.contains(word)), "{error}");
    }
    for host in ["localhost", "127.0.0.1", "::1", "/run/postgresql"] {
        assert!(connect::Settings::new(&config(host, Transport::Local)).is_ok(), "{host}");
    }
}

#[tokio::test]
async fn a_password_stays_in_its_file_which_nobody_else_can_read() {
    if !server::is_here() {
        return;
    }
    let server = server::Server::start(&["-c", "password_encryption=scram-sha-256"]);
    server.psql(
        "postgres",
        "CREATE ROLE top PASSWORD 's3cret' LOGIN; GRANT CREATE ON DATABASE postgres TO top",
    );
    let rules = server.directory().join("data/pg_hba.conf");
    let scram = "local all relay trust\nlocal all all scram-sha-256\n";
    fs::write(&rules, scram).unwrap();
    server.psql("postgres", "SELECT pg_reload_conf()");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    let write = |text: &str, mode| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let config =
        PostgresConfig { user: "top".into(), password_file: Some(file.clone()), ..server.config("postgres") };
    for (text, mode, word) in [("s3cret\n", 0o640, "chmod 600"), ("wr0ng\n", 0o600, "authentication failed")]
    {
        write(text, mode);
        let error = refused(&config).await.to_string();
        assert!(error.contains(word) && !error.contains(text.trim()), "{error}");
    }
    write("s3cret\n", 0o600);
    let store = PostgresStore::open(&config).await.unwrap();
    store.begin().await.unwrap();
    assert!(!format!("{config:?} {config} {store:?}").contains("s3cret"));
}

#[tokio::test]
async fn commits_are_durable_whatever_the_server_is_set_to() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let name = database.psql("SELECT current_database()");
    database.psql(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let store = PostgresStore::open(&database.config()).await.unwrap();
    let set = "SELECT (current_setting('synchronous_commit') = 'on')::int::bigint";
    assert_eq!(store.number(set).await, 1);
    database.psql(&format!("ALTER DATABASE {name} RESET ALL"));
}

/// TLS: the server's name is checked, and its signer.
#[tokio::test]
async fn tls_is_to_the_right_server_or_not_at_all() {
    if !server::is_here() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (ours, foreign) = (directory.path().join("ours.pem"), directory.path().join("foreign.pem"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = server::Server::start_at(port, &["-c", "listen_addresses=127.0.0.1"]);
    for (path, place) in [(&ours, Some(server.directory())), (&foreign, None)] {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path, signed.cert.pem()).unwrap();
        if let Some(place) = place {
            fs::write(place.join("data/server.crt"), signed.cert.pem()).unwrap();
            let key = place.join("data/server.key");
            fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            if nix::unistd::geteuid().is_root() {
                let user = nix::unistd::User::from_name("postgres").unwrap().unwrap();
                std::os::unix::fs::chown(&key, Some(user.uid.as_raw()), None).unwrap();
            }
        }
    }
    server.psql("postgres", "ALTER SYSTEM SET ssl = on");
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
    fs::write(server.directory().join("data/pg_hba.conf"), rules).unwrap();
    server.psql("postgres", "SELECT pg_reload_conf()");
    let config = |host: &str, ca: Option<&PathBuf>| PostgresConfig {
        host: host.into(),
        port,
        transport: match ca {
            Some(ca) => Transport::Tls { ca: ca.clone(), identity: None },
            None => Transport::Local,
        },
        ..server.config("postgres")
    };
    for (config, word) in [
        (config("localhost", Some(&foreign)), "certificate"),
        (config("127.0.0.1", Some(&ours)), "certificate"),
        (config("localhost", None), "no encryption"),
    ] {
        let error = refused(&config).await.to_string();
        assert!(error.contains(word), "{error}");
    }
    let store = PostgresStore::open(&config("localhost", Some(&ours))).await.unwrap();
    let encrypted = "SELECT ssl::int::bigint FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(store.number(encrypted).await, 1);
}
