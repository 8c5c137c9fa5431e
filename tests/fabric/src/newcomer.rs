//! Processes that join a running fabric by themselves, and what an operator sees and decides of them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use relay_core::enrol::token::JoinToken;
use relay_proto::trust::{
    CreateTokenRequest, DecideRequest, Decided, Key, ListKeysRequest, Named, members_client::MembersClient,
};
use relay_runtime::{enrol::proof::TokenKey, identity, trust::Pin};
use tonic::Status;

use crate::{Fabric, TOP, config::write_private, operator::Operator, pki::FABRIC, process::Daemon, until};

/// Newcomer n has its admin address at this + n.
const ADMIN: u16 = 4950;
/// A syndic that joins listens on this.
const LISTEN: u16 = 4940;

/// What an operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Lets in.
    Accept,
    /// Turns away.
    Reject,
    /// Forgets.
    Delete,
    /// Lets in again.
    Release,
}

impl Fabric {
    /// A minion that joins by itself below a syndic; not started. The process has the name `process`, and the minion the id
    /// `id`. `more` are more settings of `enrol`.
    ///
    /// # Panics
    /// There is no such syndic.
    pub fn newcomer(&mut self, process: &str, id: &str, below: &str, more: &str) -> &mut Daemon {
        let parent = self.parent(below, "aws", "syndic");
        let text = format!("id: {id}\nstate_dir: state/{id}\n{parent}{}", self.joins(more));
        self.joining(process, "minion", &text)
    }

    /// A syndic that joins by itself below the top master; not started. Where it listens.
    ///
    /// # Panics
    /// As [`Fabric::newcomer`].
    pub fn new_syndic(&mut self, id: &str) -> SocketAddr {
        let parent = self.parent(TOP, "core", "top-master");
        let listen = SocketAddr::new(self.listen(TOP).ip(), LISTEN);
        let text = format!("id: {id}\nlisten: {listen}\nstate_dir: state\n{parent}{}", self.joins(""));
        self.joining(id, "syndic", &text);
        self.listens(id, listen);
        listen
    }

    fn parent(&self, id: &str, region: &str, role: &str) -> String {
        let address = self.listen(id);
        format!("parents:\n  - {{id: {id}, region: {region}, role: {role}, address: \"{address}\"}}\n")
    }

    fn joins(&self, more: &str) -> String {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        format!("enrol: {{root: \"{}\"{more}}}\n", self.pin())
    }

    fn joining(&mut self, process: &str, binary: &'static str, text: &str) -> &mut Daemon {
        let admin = SocketAddr::new(self.listen(TOP).ip(), ADMIN + self.daemons().count() as u16);
        let dir = self.dir().join(process);
        fs::create_dir_all(&dir).expect("a directory");
        // The admin address has to be one that nobody else can reach: the fabric's own is of the loopback net.
        let rest = format!("region: aws\nfabric: {FABRIC}\nadmin: {admin}\n");
        fs::write(dir.join("config.yaml"), format!("{text}{rest}")).expect("a configuration file");
        let daemon = Daemon::new(process, binary, dir, self.dir(), admin);
        self.add(daemon);
        self.daemon(process)
    }

    /// The fingerprint of the fabric's root.
    ///
    /// # Panics
    /// It cannot be read.
    pub fn pin(&self) -> Pin {
        let roots = identity::roots(self.pki().root()).expect("a root");
        Pin::of_certificate(&roots[0]).expect("a fingerprint")
    }

    /// Waits until somebody has asked to join and stands so.
    pub async fn stands(&self, id: &str, state: &str) -> Key {
        until(&format!("{id} to be {state}"), async || {
            self.operator().keys(id).await.ok()?.into_iter().find(|key| key.state == state)
        })
        .await
    }

    /// Decides about somebody who has asked, by the key that the fabric was told.
    ///
    /// # Panics
    /// Nobody has, or it cannot be decided.
    pub async fn decide(&self, what: Decision, id: &str) -> Key {
        let key = self.operator().keys(id).await.expect("an answer").pop().expect("somebody of that name");
        let decided = self.operator().decide(what, &key, &key.fingerprint).await.expect("an answer");
        assert!(decided.done, "{what:?} {id}: {}", decided.why);
        decided.key.expect("a key")
    }

    /// A token in a file for its owner alone.
    ///
    /// # Panics
    /// It is refused.
    pub async fn token(&self, id: &str, uses: u32) -> PathBuf {
        let token = JoinToken::of(rand::random());
        self.operator().token(&token, id, uses).await.expect("a token");
        let path = self.dir().join(format!("token-{}", rand::random::<u32>()));
        write_private(&path, &format!("{}\n", token.reveal()));
        path
    }

    /// Lets certificates count for so long, from now on.
    pub async fn certificate_life(&mut self, seconds: u64) {
        let file = self.dir().join(TOP).join("config.yaml");
        let text = fs::read_to_string(&file).expect("its configuration");
        fs::write(&file, format!("{text}certificate_life_s: {seconds}\n")).expect("a configuration file");
        self.restart(TOP).await;
        self.all_up().await;
    }

    /// A second machine with all that a process has on its disk: the process `clone`, not started. The original must be down.
    ///
    /// # Panics
    /// There is no such process.
    pub fn cloned(&mut self, process: &str, clone: &str) {
        let (from, dir) = (self.dir().join(process), self.dir().join(clone));
        copy(&from, &dir);
        let admin = SocketAddr::new(self.listen(TOP).ip(), ADMIN + self.daemons().count() as u16);
        let text = fs::read_to_string(dir.join("config.yaml")).expect("its configuration");
        let line = text.lines().find(|line| line.starts_with("admin:")).expect("an admin address").to_owned();
        fs::write(dir.join("config.yaml"), text.replace(&line, &format!("admin: {admin}"))).expect("a file");
        fs::write(dir.join("log"), "").expect("a log");
        let daemon = Daemon::new(clone, "minion", dir, self.dir(), admin);
        self.add(daemon);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    let mode = fs::metadata(from).expect("a directory").permissions();
    fs::set_permissions(to, mode).expect("the same mode");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&path, &place),
            false => drop(fs::copy(&path, &place).expect("a copy")),
        }
    }
}

impl Operator {
    /// Those with this id who have asked to join; a glob.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn keys(&self, id: &str) -> Result<Vec<Key>, Status> {
        let request = ListKeysRequest { ids: vec![id.into()], ..ListKeysRequest::default() };
        let list = async |channel| MembersClient::new(channel).list(request.clone()).await;
        let mut pages = self.call_on(list).await?;
        let mut keys = Vec::new();
        while let Some(page) = pages.message().await? {
            keys.extend(page.keys);
        }
        Ok(keys)
    }

    /// Decides about somebody, by this fingerprint.
    ///
    /// # Errors
    /// Refused, or nobody there.
    ///
    /// # Panics
    /// The answer is about nobody.
    pub async fn decide(&self, what: Decision, key: &Key, fingerprint: &str) -> Result<Decided, Status> {
        let named = Named {
            id: key.id.clone(),
            role: key.role.clone(),
            region: key.region.clone(),
            fingerprint: fingerprint.into(),
        };
        let request = DecideRequest { keys: vec![named] };
        let decide = async |channel| {
            let (mut client, request) = (MembersClient::new(channel), request.clone());
            match what {
                Decision::Accept => client.accept(request).await,
                Decision::Reject => client.reject(request).await,
                Decision::Delete => client.delete(request).await,
                Decision::Release => client.release(request).await,
            }
        };
        let mut decided = self.call_on(decide).await?.decided;
        Ok(decided.pop().expect("a decision"))
    }

    /// Makes a join token for minions of region aws with such ids.
    ///
    /// # Errors
    /// Refused, or nobody there.
    ///
    /// # Panics
    /// The token makes no key.
    pub async fn token(&self, token: &JoinToken, id: &str, uses: u32) -> Result<String, Status> {
        let request = CreateTokenRequest {
            public: TokenKey::of(token).expect("a key").public(),
            role: "minion".into(),
            region: "aws".into(),
            id: id.into(),
            uses,
            ttl_s: 600,
            cidrs: Vec::new(),
        };
        let create = async |channel| MembersClient::new(channel).create_token(request.clone()).await;
        self.call_on(create).await.map(|made| made.name)
    }
}
