//! Jobs that look after other jobs, with the real functions, the real runner and no fabric.

use std::{future::Future, sync::Arc, time::Duration};

use minion::{
    execution::{Executions, FINISHED_QUEUE, Finished},
    grains::GrainBook,
    runner::{Request, Runner},
    verify::{Verified, Verifier},
};
use relay_core::{
    ids::{Epoch, Jid},
    job::JobSpec,
    outcome::{Answer, Outcome, Reason},
    signing::{JobKeys, KeyId, NoKey, PublicKey, Signature, Span},
};
use relay_proto::envelope;
use relay_runtime::trust::key::SecretKey;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How long a test waits for what must come; only a broken minion pays it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Minion {
    executions: Executions,
    ends: mpsc::Receiver<Finished>,
    dir: tempfile::TempDir,
    next: u64,
    secret: SecretKey,
}

/// A key list with one key.
#[derive(Debug)]
struct Listed(PublicKey);

impl JobKeys for Listed {
    fn key(&self, _: KeyId, _: Span) -> Option<PublicKey> {
        Some(self.0)
    }
}

fn jid(n: u64) -> Jid {
    Jid::from_micros(1_795_246_616_000_000 + n)
}

async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it never came")
}

fn executions(dir: &tempfile::TempDir) -> (Executions, mpsc::Receiver<Finished>) {
    let program = [env!("CARGO_BIN_EXE_minion"), "runner", "--dir"].map(Into::into).to_vec();
    let runner = Runner::new(dir.path()).unwrap().with_program(program);
    let (finished, ends) = mpsc::channel(FINISHED_QUEUE);
    let id: relay_core::ids::MinionId = "web01".parse().unwrap();
    let grains = Arc::new(GrainBook::fixed(id.clone(), Arc::new(json!({}))));
    (Executions::new(id, grains, Some(runner), finished), ends)
}

/// A test that fails leaves nothing running either.
impl Drop for Minion {
    fn drop(&mut self) {
        let runner = Runner::new(self.dir.path()).unwrap();
        for token in runner.tokens().unwrap_or_default() {
            let _ = runner.ask(token, Request::Cancel);
        }
    }
}

impl Minion {
    fn new() -> Minion {
        let dir = tempfile::tempdir().unwrap();
        let (executions, ends) = executions(&dir);
        Minion { executions, ends, dir, next: 0, secret: SecretKey::generate().unwrap() }
    }

    /// As after a death of the process: only the runs go on.
    fn again(&mut self) {
        (self.executions, self.ends) = executions(&self.dir);
    }

    /// Starts a job; its answer, if it is there at once.
    fn start(&mut self, function: &str, args: Value) -> (Jid, Option<Answer>) {
        self.next += 1;
        let spec = JobSpec {
            jid: jid(self.next),
            fabric: "test".into(),
            function: function.into(),
            args: json!({"args": args}).to_string().into(),
            caller: "tests".into(),
            run_limit: 600_000,
            epoch: Epoch(1),
            request: [0; 32],
            targets: Default::default(),
            span: Default::default(),
        };
        let sign = |message: &[u8]| Signature { key: KeyId([0; 8]), bytes: self.secret.sign(message) };
        let job = envelope::seal_with(&spec, |message| Ok::<_, NoKey>(sign(message))).unwrap();
        let verifier = Verifier::new(Arc::new(Listed(self.secret.public())), Verified::default());
        (spec.jid, self.executions.start(&verifier.verify(&job).unwrap(), self.next))
    }

    /// Starts a job that goes on.
    fn begin(&mut self, function: &str, args: Value) -> Jid {
        let (jid, answer) = self.start(function, args);
        assert!(answer.is_none(), "{function} ended at once");
        jid
    }

    /// What a job answers that ends at once.
    fn ask(&mut self, function: &str, args: Value) -> Value {
        let (jid, answer) = self.start(function, args);
        self.executions.leave(jid);
        serde_json::from_slice(&answer.expect("it goes on").body).unwrap()
    }

    async fn end(&mut self) -> Finished {
        let end = patiently(self.ends.recv()).await.unwrap();
        self.executions.leave(end.jid);
        end
    }

    /// The one running job, once its process is there.
    async fn shown(&mut self) -> Value {
        let own = std::process::id();
        patiently(async {
            loop {
                let running = self.ask("saltutil.running", json!([]));
                match &running[0]["pid"] {
                    Value::Number(n) if n.as_u64() != Some(own.into()) && n.as_u64() != Some(0) => {
                        return running[0].clone();
                    }
                    _ => tokio::task::yield_now().await,
                }
            }
        })
        .await
    }
}

fn told(end: &Finished) -> (Outcome, Reason, i32) {
    (end.answer.outcome, end.answer.reason, end.answer.retcode)
}

#[tokio::test]
async fn a_function_inside_the_minion_can_be_killed() {
    let mut minion = Minion::new();
    let sleep = minion.begin("test.sleep", json!([600]));
    let text = minion.ask("saltutil.kill_job", json!([sleep.to_string()]));
    assert_eq!(text, format!("Signal 9 sent to job {sleep} at pid {}", std::process::id()));
    let end = minion.end().await;
    assert_eq!((end.jid, told(&end)), (sleep, (Outcome::Failed, Reason::None, -9)));
    assert_eq!(minion.ask("saltutil.kill_job", json!([sleep.to_string()])), "");
    assert_eq!(minion.ask("saltutil.running", json!([])), json!([]));
}

#[tokio::test]
async fn a_command_ends_by_the_signal_that_it_got() {
    let mut minion = Minion::new();
    let sleep = minion.begin("cmd.run", json!(["sleep 600"]));
    let shown = minion.shown().await;
    assert_eq!((&shown["fun"], &shown["arg"]), (&json!("cmd.run"), &json!(["sleep 600"])));
    let text = minion.ask("saltutil.term_job", json!([sleep.to_string()]));
    assert_eq!(text, format!("Signal 15 sent to job {sleep} at pid {}", shown["pid"]));
    assert_eq!(told(&minion.end().await), (Outcome::Failed, Reason::None, -15));
}

/// The runner is not there yet when the signal comes: it is kept for it.
#[tokio::test]
async fn what_comes_before_the_runner_is_not_lost() {
    let mut minion = Minion::new();
    let killed = minion.begin("cmd.run", json!(["sleep 600"]));
    minion.ask("saltutil.kill_job", json!([killed.to_string()]));
    assert_eq!(told(&minion.end().await), (Outcome::Failed, Reason::None, -9));
    let cancelled = minion.begin("cmd.run", json!(["sleep 600"]));
    minion.executions.kill(cancelled);
    let end = minion.end().await;
    assert_eq!((end.answer.outcome, end.answer.reason), (Outcome::Cancelled, Reason::WhileRunning));
}

#[tokio::test]
async fn all_jobs_are_killed_but_the_one_that_asks() {
    let mut minion = Minion::new();
    let jobs = [
        minion.begin("test.sleep", json!([600])),
        minion.begin("cmd.run", json!(["sleep 600"])),
        minion.begin("test.rand_sleep", json!([600_000])),
    ];
    let texts = minion.ask("saltutil.kill_all_jobs", json!([]));
    let texts: Vec<&str> = texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(texts.len(), jobs.len(), "{texts:?}");
    for (jid, text) in jobs.iter().zip(&texts) {
        assert!(text.starts_with(&format!("Signal 9 sent to job {jid} at pid ")), "{text}");
    }
    for _ in jobs {
        assert_eq!(told(&minion.end().await), (Outcome::Failed, Reason::None, -9));
    }
}

#[tokio::test]
async fn a_cancel_ends_a_function_inside_as_cancelled() {
    let mut minion = Minion::new();
    let sleep = minion.begin("test.sleep", json!([600]));
    minion.executions.kill(sleep);
    let end = minion.end().await;
    assert_eq!((end.answer.outcome, end.answer.reason), (Outcome::Cancelled, Reason::WhileRunning));
}

#[tokio::test]
async fn a_run_that_outlived_its_minion_is_shown_and_can_be_killed() {
    let mut minion = Minion::new();
    let sleep = minion.begin("cmd.run", json!(["sleep 600"]));
    let run = minion.next;
    let before = minion.shown().await;
    minion.again();
    minion.executions.recover(sleep, run);
    let after = minion.shown().await;
    for name in ["jid", "fun", "arg", "pid"] {
        assert_eq!(before[name], after[name]);
    }
    minion.ask("saltutil.kill_job", json!([sleep.to_string()]));
    assert_eq!(told(&minion.end().await), (Outcome::Failed, Reason::None, -9));
}
