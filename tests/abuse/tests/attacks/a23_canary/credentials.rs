//! What opens something: passwords, tokens of logins and of joining, the passwords by which the top master itself is let in
//! elsewhere, keys. Right ones and wrong ones: a slip is not for a log either.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use abuse_tests::{
    canary::Canaries,
    console::{Console, Ran},
    region::{REGION, SYNDIC, serves_on},
    trail::Trail,
};
use fabric_tests::{
    Fabric, TOP,
    etcd::Etcd,
    login::Guest,
    postgres::Database,
    slapd::{ADMIN, ADMIN_WORD, Slapd},
    until,
};
use relay_proto::Code;
use tempfile::TempDir;

/// Where an operator and the machine's owner keep secrets: not below the fabric's directory, which is looked through.
struct Keep(TempDir);

impl Keep {
    fn new() -> Keep {
        Keep(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, secret: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, format!("{secret}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// What is said to people is looked through as well.
fn quiet(secrets: &Canaries, what: &str, ran: &Ran) {
    secrets.absent_in(&format!("what {what} says"), ran.said.as_bytes());
}

fn entries(word: &str) -> String {
    format!(
        "dn: uid=carol,dc=test\nobjectClass: inetOrgPerson\nuid: carol\ncn: Carol\nsn: C\nuserPassword: {word}\n\n"
    )
}

/// Logins with passwords from a file, at the console and over the wire, right and wrong.
async fn logins(fabric: &Fabric, secrets: &mut Canaries, keep: &Keep) -> Vec<String> {
    let (right, wrong, misplaced) =
        (secrets.make("a password"), secrets.make("a wrong password"), secrets.make("a name"));
    let users = fabric.dir().join(TOP).join("users");
    let tester = Console::of(fabric, "tester");
    let shown = users.display().to_string();
    let made = tester.run_told(&["passwd", &shown, "alice"], &right, || {});
    assert_eq!(made.code, 0, "{}", made.said);
    quiet(secrets, "passwd", &made);
    let console = Console::without_certificate(fabric, "alice");
    let mut tokens = Vec::new();
    for (word, print, code) in [(&wrong, false, 3), (&right, false, 0), (&right, true, 0)] {
        let words = ["login", "--user", "alice", "--print-token"];
        let words = if print { &words[..] } else { &words[..3] };
        let ran = console.run_told(words, word, || secrets.absent_in_processes(fabric, 4, &[]));
        assert_eq!(ran.code, code, "{}", ran.said);
        if print {
            let token = ran.said.lines().find(|line| line.starts_with("relaytoken_")).unwrap().to_owned();
            tokens.push(token);
        } else {
            quiet(secrets, "login", &ran);
        }
    }
    let kept = fs::read_to_string(console.home().join("tokens.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    tokens.push(kept["tokens"][0]["token"].as_str().unwrap().to_owned());
    for token in &tokens {
        secrets.add("a login's token", token.strip_prefix("relaytoken_").unwrap());
    }
    // Used at the console from where it is kept, and from a file; then logged out, which takes it out of where it was kept.
    let (token, mut used) = (keep.file("token", &tokens[0]), console.command(&["run", "*", "test.ping"]));
    let ran = used.env("RELAY_TOKEN_FILE", &token).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    for words in [&["run", "*", "test.ping"][..], &["whoami"], &["logout"]] {
        let ran = console.run(words);
        assert_eq!(ran.code, 0, "{}", ran.said);
        quiet(secrets, words[0], &ran);
    }
    // A password where a name belongs, a token where a password belongs, a token that is not valid (any more), and one in a wrong form.
    let guest = Guest::of(fabric);
    guest.log_in(&misplaced, "x").await.map(drop).unwrap_err();
    guest.log_in("alice", &tokens[0]).await.map(drop).unwrap_err();
    for token in [&tokens[1], &misplaced, &format!("relaytoken_{wrong}")] {
        let refused = guest.showing(Some(token.clone())).status().await.unwrap_err();
        quiet(secrets, "the refusal", &Ran { code: 0, said: format!("{refused:?}") });
    }
    tokens
}

/// Join tokens: one that is good, one that nobody made, in files and on standard input.
async fn joining(fabric: &mut Fabric, secrets: &mut Canaries, keep: &Keep) {
    let tester = Console::of(fabric, "inviter");
    let path = keep.0.path().join("join.token");
    let shown = path.display().to_string();
    let made = tester.run(&[
        "token",
        "create",
        "--region",
        REGION,
        "--id",
        "web*",
        "--uses",
        "2",
        "--out-file",
        &shown,
    ]);
    assert_eq!(made.code, 0, "{}", made.said);
    let good = fs::read_to_string(&path).unwrap().trim().to_owned();
    let bad = relay_core::enrol::token::JoinToken::of(rand::random()).reveal().to_string();
    for token in [&good, &bad] {
        secrets.add("a join token", token.strip_prefix("relay-join-").expect("its form"));
    }
    quiet(secrets, "token create", &made);
    for words in [&["token", "list"][..], &["keys", "list"], &["token", "list", "--out", "json"]] {
        quiet(secrets, "a list", &tester.run(words));
    }
    let by = |token: &Path| format!("token_file: {:?}", token.display().to_string());
    fabric.newcomer("web01", "web01", SYNDIC, &by(&path)).start();
    fabric.minion_is("web01", true).await;
    fabric.newcomer("web02", "web02", SYNDIC, &by(&keep.file("bad", &bad))).start();
    let refused = "not good for this";
    until("a newcomer to be refused", async || fabric.log("web02").contains(refused).then_some(())).await;
    secrets.absent_in_processes(fabric, 5, &[]);
}

/// A directory, with the right word and the wrong one of the top master's own.
async fn directory(fabric: &Fabric, secrets: &mut Canaries, word: &str, bind_file: &Path) {
    let guest = Guest::of(fabric).by("ldap");
    guest.log_in("carol", word).await.unwrap_or_else(|refused| panic!("{refused}"));
    guest.log_in("carol", &secrets.make("a wrong word")).await.map(drop).unwrap_err();
    fs::write(bind_file, secrets.make("a wrong bind password")).unwrap();
    let refused = guest.log_in("carol", word).await.map(drop).unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::Busy), "{refused}");
    assert!(fabric.log(TOP).contains(ADMIN), "why nobody can log in is in the log");
    fs::write(bind_file, ADMIN_WORD).unwrap();
}

/// A line from the middle of a private key.
fn key_line(file: &Path) -> String {
    fs::read_to_string(file).unwrap().lines().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn no_credential_is_anywhere_but_where_it_is_kept() {
    let (Some(etcd), Some(database)) = (Etcd::start(1).await, Database::start().await) else { return };
    let (mut secrets, keep) = (Canaries::default(), Keep::new());
    let (carols, stores) = (secrets.make("a word of the directory"), secrets.make("the store's password"));
    let Some(slapd) = Slapd::start(&entries(&carols)).await else { return };
    let bind_file = keep.file("bind", ADMIN_WORD);
    let ldap = format!(
        ", ldap: {{url: \"{}\", ca: {}, bind_dn: \"{ADMIN}\", password_file: {}, users: {{base: \"dc=test\"}}}}",
        slapd.secure_url(),
        slapd.ca(),
        bind_file.display()
    );
    // The database lets everybody in who can reach it: what is shown to it is a password all the same.
    let password = keep.file("store", &stores).display().to_string();
    let store =
        database.setting().replace("user: relay", &format!("user: relay, password_file: {password:?}"));
    assert!(store.contains("password_file"), "{store}");
    let builder = Fabric::builder().syndic(SYNDIC, REGION).minions(SYNDIC, 2).login(&ldap, "");
    let mut fabric = builder.registry(&etcd.setting()).store(&store).start().await;
    let config = fabric.dir().join(TOP).join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "audit: {file: audit.jsonl}\n").unwrap();
    fabric.restart(TOP).await;
    fabric.all_up().await;
    for (role, id) in [("top-master", TOP), ("syndic", SYNDIC), ("minion", "aws-1-m-00")] {
        secrets.add("a key", key_line(&fabric.dir().join("pki").join(role).join(format!("{id}.key"))));
    }
    logins(&fabric, &mut secrets, &keep).await;
    directory(&fabric, &mut secrets, &carols, &bind_file).await;
    joining(&mut fabric, &mut secrets, &keep).await;
    // All of them again at a start, and in whatever is said when things go wrong there.
    fabric.restart(TOP).await;
    fabric.all_up().await;
    fabric.kill9(TOP);
    fs::set_permissions(keep.0.path().join("store"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = fabric_tests::process::run("top-master", &["serve", "--config", &config.display().to_string()]);
    assert!(ran.0 != Some(0) && ran.1.contains("chmod"), "{ran:?}");
    quiet(&secrets, "a start that is refused", &Ran { code: 0, said: ran.1 });
    fs::set_permissions(keep.0.path().join("store"), fs::Permissions::from_mode(0o600)).unwrap();
    fabric.restart(TOP).await;
    fabric.all_up().await;

    assert!(secrets.count() >= 12, "only {} secrets", secrets.count());
    secrets.absent_in_processes(&fabric, 4, &[]);
    secrets.absent_in_fabric(&fabric, |what, path| {
        // A key's own file.
        what == "a key" && path.extension().is_some_and(|kind| kind == "key" || kind == "pem")
    });
    let log = Trail::of(&fabric).is_whole();
    secrets.absent_in("the audit log", log.as_bytes());
    for kind in ["\"login\"", "\"deny\"", "\"token\"", "\"enrol\""] {
        assert!(
            log.contains(&format!("\"kind\":{kind}")),
            "no {kind} in the audit log: was anything recorded?"
        );
    }
    let output = fabric.dir().join(TOP).join("audit.jsonl");
    until("the audit log's file to be written", async || output.exists().then_some(())).await;
    // What the database and the registry keep.
    let tables = database.query(
        "select format('%I.%I', schemaname, tablename) from pg_tables \
         where schemaname not in ('pg_catalog', 'information_schema')",
    );
    assert!(tables.lines().count() >= 3, "{tables}");
    for table in tables.lines() {
        // Bytes are shown as digits, so each is also looked for in the text of its digits.
        let rows = database.query(&format!("select t::text from {table} t"));
        secrets.absent_in(table, &[rows.as_bytes(), &unhexed(&rows)].concat());
    }
    let mut keys = std::process::Command::new("etcdctl");
    keys.env("ETCDCTL_API", "3")
        .arg("--endpoints")
        .arg(etcd.setting().split('"').find(|s| s.starts_with("http")).unwrap());
    if let Ok(all) = keys.args(["get", "", "--from-key"]).output() {
        assert!(!all.stdout.is_empty(), "the registry has keys");
        secrets.absent_in("the registry", &all.stdout);
    }
    serves_on(&mut fabric).await;
}

/// Every `\x…` of PostgreSQL's as the bytes that it stands for.
fn unhexed(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in text.split("\\x").skip(1) {
        let digits: Vec<u8> = part.bytes().take_while(u8::is_ascii_hexdigit).collect();
        bytes.extend(digits.chunks_exact(2).filter_map(|two| {
            let two = std::str::from_utf8(two).ok()?;
            u8::from_str_radix(two, 16).ok()
        }));
        bytes.push(b'\n');
    }
    bytes
}
