//! A running fabric, and what a test may do to it.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use relay_proto::operator::SubmitRequest;
use tempfile::TempDir;

use crate::{
    builder::Builder,
    config, http,
    job::{Job, Request},
    operator::Operator,
    pki::Pki,
    process::{self, Daemon},
    until,
    witness::Witness,
};

/// The name of the top master.
pub const TOP: &str = "top";
/// Lines of each log that a failed test shows.
const SHOWN_LINES: usize = 25;

/// A fabric of real processes. They end with it.
pub struct Fabric {
    daemons: Vec<Daemon>,
    operator: Operator,
    pki: Pki,
    listen: BTreeMap<String, SocketAddr>,
    ids: BTreeMap<String, Vec<String>>,
    witness: Witness,
    // Last: what lies in it is used until everything above is gone.
    dir: TempDir,
}

impl Fabric {
    /// Nothing yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        dir: TempDir,
        pki: Pki,
        operator: Operator,
        daemons: Vec<Daemon>,
        listen: BTreeMap<String, SocketAddr>,
        ids: BTreeMap<String, Vec<String>>,
        witness: Witness,
    ) -> Fabric {
        Fabric { daemons, operator, pki, listen, ids, witness, dir }
    }

    pub(crate) async fn start_all(&mut self) {
        self.daemons.iter_mut().for_each(Daemon::start);
        for daemon in &mut self.daemons {
            daemon.ready().await;
        }
        self.all_up().await;
    }

    /// Waits until the top master sees every minion up.
    pub async fn all_up(&self) {
        let all: usize = self.ids.values().map(Vec::len).sum();
        until("all minions to be up", async || (self.up().await.len() == all).then_some(())).await;
    }

    /// The minions that the top master sees up: id and syndic.
    pub async fn up(&self) -> BTreeMap<String, String> {
        let minions = self.operator.minions("").await.unwrap_or_default();
        minions.into_iter().filter(|m| m.up).map(|m| (m.id, m.syndic)).collect()
    }

    /// Waits until the top master sees a syndic up, or down.
    pub async fn syndic_is(&self, id: &str, up: bool) {
        until(&format!("the top master to see {id} up: {up}"), async || {
            let status = self.operator.status().await.ok()?;
            status.syndics.iter().any(|s| s.id == id && s.up == up).then_some(())
        })
        .await;
    }

    /// Waits until the top master sees a minion up, or down.
    pub async fn minion_is(&self, id: &str, up: bool) {
        until(&format!("the top master to see {id} up: {up}"), async || {
            (self.up().await.contains_key(id) == up).then_some(())
        })
        .await;
    }

    // ---- processes ----

    /// A process by its name.
    ///
    /// # Panics
    /// There is none.
    pub fn daemon(&mut self, name: &str) -> &mut Daemon {
        self.daemons
            .iter_mut()
            .find(|d| d.name() == name)
            .unwrap_or_else(|| panic!("there is no process {name}"))
    }

    fn daemon_ref(&self, name: &str) -> &Daemon {
        self.daemons.iter().find(|d| d.name() == name).unwrap_or_else(|| panic!("there is no process {name}"))
    }

    /// All processes.
    pub fn daemons(&self) -> impl Iterator<Item = &Daemon> {
        self.daemons.iter()
    }

    /// kill -9.
    pub fn kill9(&mut self, name: &str) {
        self.daemon(name).kill9();
    }

    /// SIGSTOP.
    pub fn stop(&mut self, name: &str) {
        self.daemon(name).stop();
    }

    /// SIGCONT.
    pub fn cont(&mut self, name: &str) {
        self.daemon(name).cont();
    }

    /// Starts it again; it may be down, and is waited for.
    pub async fn restart(&mut self, name: &str) {
        self.kill9(name);
        self.daemon(name).start();
        self.daemon(name).ready().await;
    }

    /// What a process has logged.
    pub fn log(&self, name: &str) -> String {
        self.daemon_ref(name).log()
    }

    /// The sum of a metric of a process over the series with this label.
    ///
    /// # Panics
    /// Its admin address does not answer.
    pub fn metric(&self, name: &str, metric: &str, label: &str) -> f64 {
        let answer = self.daemon_ref(name).get("/metrics");
        let (status, text) = answer.unwrap_or_else(|e| panic!("{name}: /metrics: {e}"));
        assert_eq!(status, 200, "{name}: /metrics");
        http::metric(&text, metric, label)
    }

    /// Waits until a metric has risen to this.
    pub async fn metric_reaches(&self, name: &str, metric: &str, label: &str, least: f64) {
        let what = format!("{metric}{{{label}}} of {name} to be {least} at least");
        until(&what, async || (self.metric(name, metric, label) >= least).then_some(())).await;
    }

    /// Where children dial a syndic or the top master.
    ///
    /// # Panics
    /// Nobody dials that.
    pub fn listen(&self, name: &str) -> SocketAddr {
        *self.listen.get(name).unwrap_or_else(|| panic!("{name} does not listen"))
    }

    /// A second process with a minion's certificate and a journal of its own, not started: `NAME-twin`.
    ///
    /// # Panics
    /// There is no such process of one minion.
    pub fn twin(&mut self, name: &str) -> &mut Daemon {
        let twin = format!("{name}-twin");
        let (original, dir) = (self.daemon_ref(name), self.dir().join(&twin));
        let text = fs::read_to_string(original.dir().join("config.yaml")).expect("its configuration");
        let admin = format!("admin: {}", original.admin());
        let text = text.replace(&admin, "").replace("state_dir: state", "state_dir: twin");
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("config.yaml"), text).expect("a configuration file");
        let daemon = Daemon::new(&twin, "minion", dir, self.dir(), original.admin());
        self.daemons.push(daemon);
        self.daemon(&twin)
    }

    // ---- parts ----

    /// The operator API.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The authority.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// One more process.
    pub(crate) fn add(&mut self, daemon: Daemon) {
        self.daemons.push(daemon);
    }

    /// One more that is dialled there.
    pub(crate) fn listens(&mut self, name: &str, address: SocketAddr) {
        self.listen.insert(name.into(), address);
    }

    /// Replaces the password file of the top master.
    pub fn users(&self, text: &str) {
        config::write_private(&self.dir().join(TOP).join(config::USERS_FILE), text);
    }

    /// Puts another policy file in the place of the one of a minion that has one ([`Builder::minion_with_policy`]).
    pub fn set_local_policy(&self, minion: &str, text: &str) {
        config::set_local_policy(&self.dir().join(minion), text);
    }

    /// The witness.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// The directory of it all.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes this the active topology, where `planned_on` is it now (0: none), and waits until every region has it. Addresses
    /// are filled in as [`Builder::topology`] says.
    ///
    /// # Panics
    /// It is not taken.
    pub async fn apply_topology(&self, text: &str, planned_on: u64) {
        let text = crate::builder::addressed(text, &self.listen);
        let state = self.operator.apply_topology(text, planned_on).await.expect("a topology that is taken");
        assert_eq!(state, "active");
    }

    /// The ids of a process's minions.
    ///
    /// # Panics
    /// It is no process of minions.
    pub fn ids(&self, process: &str) -> &[String] {
        self.ids.get(process).unwrap_or_else(|| panic!("{process} is no process of minions"))
    }

    /// Every process of minions with the ids in it.
    pub fn minion_processes(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.ids.iter().map(|(name, ids)| (name.as_str(), ids.as_slice()))
    }

    // ---- jobs ----

    /// A job to be submitted.
    pub fn job(&self, target: &str, function: &str) -> Request<'_> {
        let request = SubmitRequest {
            request_id: rand::random::<[u8; 16]>().to_vec(),
            target: target.into(),
            function: function.into(),
            args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
            delivery_timeout_ms: 0,
            run_timeout_ms: 0,
            ..SubmitRequest::default()
        };
        Request::new(self, request)
    }

    /// Submits the body that the witness sees.
    pub async fn witnessed(&self, target: &str) -> Job {
        self.job(target, "cmd.run").args([self.witness.command()]).submit().await.expect("an accepted job")
    }

    /// Submits a job and waits until it is closed.
    pub async fn run(&self, target: &str, function: &str, args: &[&str]) -> Job {
        let request = self.job(target, function).args(args.iter().copied());
        let mut job = request.submit().await.expect("an accepted job");
        job.closed(self).await;
        job
    }

    /// Waits until the bodies of this many of a job's minions have started.
    pub async fn started(&self, job: &Job, least: usize) {
        until(&format!("{least} bodies of {} to start", job.jid()), async || {
            let starts = self.witness.starts();
            (starts.iter().filter(|s| s.jid == job.jid()).count() >= least).then_some(())
        })
        .await;
    }

    /// Waits until this many bodies have started, of all jobs together.
    pub async fn started_in_all(&self, least: usize) {
        let what = format!("{least} bodies to start");
        until(&what, async || (self.witness.starts().len() >= least).then_some(())).await;
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for daemon in &self.daemons {
                let log = daemon.log();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
                println!("---- end of the log of {} ----\n{last}", daemon.name());
            }
        }
        self.daemons.iter_mut().for_each(Daemon::kill9);
        process::sweep(self.dir.path());
    }
}
