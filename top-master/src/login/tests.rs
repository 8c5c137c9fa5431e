//! Logging in against a real store and a real password file.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt, path::Path};

use relay_core::audit::Kind;
use relay_proto::Code;
use relay_runtime::{passwords, secret::Secret, store::SqliteStore};
use tempfile::TempDir;
use tonic::Status;

use super::*;
use crate::audit::Reported;

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const WORD: &str = "correct horse";

struct House {
    dir: TempDir,
    store: Arc<dyn Store>,
    clock: Clock,
    audit: (Audit, Reported),
}

impl House {
    async fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("store")).unwrap());
        store.begin().await.unwrap();
        let house = House { dir, store, clock: Clock::start(), audit: Audit::double() };
        house.users(&["alice", "bob"]);
        house
    }

    /// Writes a file with these users, each with the same password.
    fn users(&self, users: &[&str]) {
        let secret = Secret::new(WORD.into());
        let lines = users.iter().map(|user| passwords::line(user, &secret, &["ops".into()]).unwrap() + "\n");
        self.write(&lines.collect::<String>());
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("users")
    }

    /// Replaces the file as a whole, as `relayctl passwd` does.
    fn write(&self, text: &str) {
        let draft = self.dir.path().join("draft");
        fs::write(&draft, text).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(draft, self.file()).unwrap();
    }

    fn config(&self) -> LoginConfig {
        LoginConfig { password_file: Some(self.file()), ..LoginConfig::default() }
    }

    async fn logins(&self) -> Logins {
        Logins::restore(&self.config(), self.store.clone(), self.clock, self.audit.0.clone()).await.unwrap()
    }

    async fn kept(&self) -> usize {
        self.store.records(Area::Login, Bytes::new(), MAX_RECORD_PAGE).await.unwrap().len()
    }
}

async fn log_in(logins: &Logins, user: &str, password: &str) -> Result<Secret, Status> {
    logins.log_in(user, Secret::new(password.into()), "", FROM).await.map(|opened| opened.token)
}

fn open_to(mode: u32, path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_token_is_for_who_knows_the_password_and_no_token_is_kept() {
    let house = House::new().await;
    let logins = house.logins().await;
    let token = log_in(&logins, "alice", WORD).await.unwrap();
    let session = logins.take(token.expose()).unwrap();
    assert_eq!(session.caller.to_string(), "alice (file)");
    assert!(session.caller.is_in("ops"));
    let kept = house.store.records(Area::Login, Bytes::new(), 10).await.unwrap();
    let [kept] = &kept[..] else { panic!("{kept:?}") };
    let secret = token.expose().strip_prefix(PREFIX).unwrap();
    assert!(!String::from_utf8_lossy(&kept.value).contains(&secret[..16]));
    assert!(!String::from_utf8_lossy(&kept.key).contains(&secret[..16]));
    let digest = session.token.unwrap();
    logins.log_out(&digest).await.unwrap();
    assert!(session.over.is_cancelled() && logins.take(token.expose()).is_none());
    assert_eq!(house.kept().await, 0);
    let seen = [(Kind::Login, "login".to_owned()), (Kind::Login, "end of a login".into())];
    assert_eq!(house.audit.1.seen(), seen);
}

#[tokio::test]
async fn a_wrong_name_is_answered_as_a_wrong_password() {
    let house = House::new().await;
    let logins = house.logins().await;
    let mut answers = Vec::new();
    for user in ["alice", "nobody-of-this-name", "no name at all", ""] {
        let refused = log_in(&logins, user, "wrong").await.unwrap_err();
        answers.push((refused.code(), refused.message().to_owned()));
    }
    answers.dedup();
    assert_eq!(answers, [(tonic::Code::Unauthenticated, "wrong user or password".into())]);
    let who: Vec<String> = house.audit.1.events().into_iter().map(|event| event.who).collect();
    // What may be a password typed in the wrong place is not written down.
    assert_eq!(who, ["alice", "nobody-of-this-name", "(no name)", "(no name)"]);
}

#[tokio::test]
async fn many_wrong_tries_are_held_off_and_the_right_one_with_them() {
    let house = House::new().await;
    let logins = house.logins().await;
    for user in ["alice", "nobody"] {
        let mut tries = 0;
        let busy = loop {
            let refused = log_in(&logins, user, "wrong").await.unwrap_err();
            if Code::of(&refused) == Some(Code::Busy) {
                break refused;
            }
            tries += 1;
        };
        assert!(tries < 10 && busy.message().contains("try again in 1 s"), "{user}: {tries} {busy}");
    }
    let held = log_in(&logins, "alice", WORD).await.unwrap_err();
    assert_eq!(Code::of(&held), Some(Code::Busy), "the right password is not tried either");
}

#[tokio::test]
async fn a_login_outlives_an_owner_unless_its_account_is_gone_meanwhile() {
    let house = House::new().await;
    let logins = house.logins().await;
    let alice = log_in(&logins, "alice", WORD).await.unwrap();
    let bob = log_in(&logins, "bob", WORD).await.unwrap();
    drop(logins);
    let text = fs::read_to_string(house.file()).unwrap();
    house.write(&passwords::with_line(&text, "bob", None));
    let logins = house.logins().await;
    assert!(logins.take(alice.expose()).is_some() && logins.take(bob.expose()).is_none());
    assert_eq!(house.kept().await, 1);
    let without =
        Logins::restore(&LoginConfig::default(), house.store.clone(), house.clock, house.audit.0.clone())
            .await
            .unwrap();
    assert!(without.take(alice.expose()).is_none(), "there is no password file any more");
    assert_eq!(house.kept().await, 0);
}

#[tokio::test]
async fn who_is_removed_locked_or_has_a_new_password_is_out_at_once() {
    let house = House::new().await;
    let text = fs::read_to_string(house.file()).unwrap();
    let secret = Secret::new(WORD.into());
    let changes = [
        passwords::with_line(&text, "alice", None),
        passwords::with_line(&text, "alice", Some(&passwords::locked_line("alice", &[]).unwrap())),
        passwords::with_line(&text, "alice", Some(&passwords::line("alice", &secret, &[]).unwrap())),
    ];
    for changed in changes {
        house.write(&text);
        let logins = house.logins().await;
        let (alice, bob) =
            (log_in(&logins, "alice", WORD).await.unwrap(), log_in(&logins, "bob", WORD).await.unwrap());
        let stream = logins.take(alice.expose()).unwrap();
        house.write(&changed);
        logins.look_at_accounts(|_| true).await;
        assert!(stream.over.is_cancelled() && logins.take(alice.expose()).is_none());
        assert!(logins.take(bob.expose()).is_some(), "others stay");
    }
}

#[tokio::test]
async fn new_groups_count_for_the_next_call() {
    let house = House::new().await;
    let logins = house.logins().await;
    let token = log_in(&logins, "alice", WORD).await.unwrap();
    let text = fs::read_to_string(house.file()).unwrap().replace(":ops", ":web,dba");
    house.write(&text);
    logins.look_at_accounts(|_| true).await;
    let session = logins.take(token.expose()).unwrap();
    assert_eq!(session.caller.groups().collect::<Vec<_>>(), ["dba", "web"]);
}

#[tokio::test]
async fn while_the_file_cannot_be_used_nobody_is_in() {
    let house = House::new().await;
    let logins = house.logins().await;
    let token = log_in(&logins, "alice", WORD).await.unwrap();
    let stream = logins.take(token.expose()).unwrap();
    open_to(0o644, &house.file());
    logins.look_at_accounts(|_| true).await;
    assert!(stream.over.is_cancelled() && logins.take(token.expose()).is_none());
    let refused = log_in(&logins, "bob", WORD).await.unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::Busy), "{refused}");
    open_to(0o600, &house.file());
    logins.look_at_accounts(|_| true).await;
    assert!(logins.take(token.expose()).is_some(), "good again");
}

#[tokio::test]
async fn without_a_way_to_log_in_it_is_said_what_to_do() {
    let house = House::new().await;
    let none =
        Logins::restore(&LoginConfig::default(), house.store.clone(), house.clock, house.audit.0.clone())
            .await
            .unwrap();
    let refused = log_in(&none, "alice", WORD).await.unwrap_err();
    assert!(
        Code::of(&refused) == Some(Code::Invalid) && refused.message().contains("certificate"),
        "{refused}"
    );
    let logins = house.logins().await;
    let refused =
        logins.log_in("alice", Secret::new(WORD.into()), "ldap", FROM).await.map(|_| ()).unwrap_err();
    assert!(refused.message().contains("there is file"), "{refused}");
}
