//! Every function that runs inside the minion, through the registry: what it returns, and what it refuses.

mod effects;
mod failures;
mod values;

use std::{sync::Arc, time::Duration};

use minion::{
    functions::{Call, Context, Jobs, Prepared, RunningJob, Signalled, prepare},
    grains::GrainBook,
};
use nix::sys::signal::Signal;
use relay_core::{
    ids::Jid,
    outcome::{Answer, Outcome},
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

fn jid(n: u64) -> Jid {
    Jid::from_micros(1_795_246_616_000_000 + n)
}

/// Two jobs run: the one that asks, and a test.sleep, which can be signalled.
struct TwoJobs;

impl Jobs for TwoJobs {
    fn running(&self) -> Vec<RunningJob> {
        let job = |n, function: &str| RunningJob {
            jid: jid(n),
            function: function.into(),
            args: vec![json!(600)],
            started_wall: jid(n).micros(),
            pid: 70 + n as u32,
        };
        vec![job(0, "saltutil.running"), job(1, "test.sleep")]
    }
    fn signal(&self, of: Jid, _: Signal) -> Signalled {
        if of == jid(1) { Signalled::Sent { pid: 71 } } else { Signalled::NoSuchJob }
    }
}

fn context() -> Context {
    let grains =
        json!({"os": "Debian", "ip_interfaces": {"lo": ["127.0.0.1", "::1"]}, "roles": [{"web": 1}]});
    let book = GrainBook::fixed("web01".parse().unwrap(), Arc::new(grains));
    Context { minion: "web01".parse().unwrap(), grains: Arc::new(book), jobs: Arc::new(TwoJobs) }
}

fn call(function: &str, args: Value, kwargs: Value) -> Call {
    let args = args.as_array().unwrap().clone();
    Call {
        jid: jid(0),
        function: function.into(),
        args,
        kwargs: kwargs.as_object().unwrap().clone(),
        run_limit: LIMIT,
    }
}

async fn answer(function: &str, args: Value, kwargs: Value) -> Answer {
    answer_with(&context(), function, args, kwargs).await
}

async fn answer_with(context: &Context, function: &str, args: Value, kwargs: Value) -> Answer {
    match prepare(call(function, args, kwargs), context) {
        Ok(Prepared::Builtin(future)) => future.await,
        Ok(Prepared::Command(_)) => panic!("{function} is a command"),
        Err(refused) => refused,
    }
}

async fn value(function: &str, args: Value, kwargs: Value) -> Value {
    let answer = answer(function, args, kwargs).await;
    let value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.outcome, answer.retcode), (Outcome::Ok, 0), "{value}");
    value
}
