//! Every function that runs inside the minion, through the registry: what it returns, and what it refuses.

use std::{sync::Arc, time::Duration};

use minion::functions::{Call, Context, Prepared, RunningJob, list, prepare};
use relay_core::{
    ids::Jid,
    outcome::{Answer, MAX_BODY_BYTES, Outcome},
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

fn jid(n: u64) -> Jid {
    Jid::from_micros(1_795_246_616_000_000 + n)
}

fn context() -> Context {
    let job = |n, function: &str| RunningJob {
        jid: jid(n),
        function: function.into(),
        args: vec![json!(600)],
        started_wall: jid(n).micros(),
        pid: 70 + n as u32,
    };
    let grains =
        json!({"os": "Debian", "ip_interfaces": {"lo": ["127.0.0.1", "::1"]}, "roles": [{"web": 1}]});
    Context {
        minion: "web01".parse().unwrap(),
        grains: Arc::new(grains),
        running: Arc::new(move || vec![job(0, "saltutil.running"), job(1, "test.sleep")]),
    }
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
    match prepare(call(function, args, kwargs), &context()) {
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

#[tokio::test]
async fn functions_return_what_salts_do() {
    for (function, args, kwargs, returned) in [
        ("test.ping", json!([]), json!({}), json!(true)),
        ("test.echo", json!(["hello"]), json!({}), json!("hello")),
        ("test.echo", json!([]), json!({"text": [1, null]}), json!([1, null])),
        (
            "test.arg",
            json!([1, "two"]),
            json!({"z": 3, "a": 4}),
            json!({"args": [1, "two"], "kwargs": {"z": 3, "a": 4}}),
        ),
        ("test.sleep", json!(["0"]), json!({}), json!(true)),
        ("grains.get", json!(["os"]), json!({}), json!("Debian")),
        ("grains.get", json!(["ip_interfaces:lo:1"]), json!({}), json!("::1")),
        ("grains.get", json!(["ip_interfaces/lo/0"]), json!({"delimiter": "/"}), json!("127.0.0.1")),
        ("grains.get", json!(["roles:web"]), json!({}), json!(1)),
        ("grains.get", json!(["nothing"]), json!({}), json!("")),
        ("grains.get", json!(["nothing", {"a": 1}]), json!({}), json!({"a": 1})),
        ("grains.item", json!(["roles:web", "nothing"]), json!({}), json!({"roles:web": 1, "nothing": ""})),
        ("grains.ls", json!([]), json!({}), json!(["cwd", "ip_interfaces", "os", "pid", "roles"])),
        ("saltutil.find_job", json!([jid(2).to_string()]), json!({}), json!({})),
        (
            "sys.list_functions",
            json!(["cmd", "sys.doc"]),
            json!({}),
            json!(["cmd.run", "cmd.run_all", "sys.doc"]),
        ),
        ("sys.doc", json!(["no.such"]), json!({}), json!({})),
    ] {
        assert_eq!(value(function, args.clone(), kwargs).await, returned, "{function} {args}");
    }
}

#[tokio::test]
async fn named_arguments_keep_their_order() {
    let answer = answer("test.arg", json!([]), json!({"z": 1, "a": 2})).await;
    assert_eq!(answer.body, r#"{"args":[],"kwargs":{"z":1,"a":2}}"#);
}

#[tokio::test]
async fn running_jobs_are_shown_without_the_one_that_asks() {
    let (jid, since) = (jid(1).to_string(), jid(1).to_string());
    let other = json!({"jid": jid, "fun": "test.sleep", "arg": [600], "pid": 71, "started": since});
    assert_eq!(value("saltutil.running", json!([]), json!({})).await, json!([other]));
    assert_eq!(value("saltutil.find_job", json!([jid]), json!({})).await, other);
}

#[tokio::test]
async fn grains_items_are_the_grains_and_the_process() {
    let items = value("grains.items", json!([]), json!({})).await;
    assert_eq!((&items["os"], &items["pid"]), (&json!("Debian"), &json!(std::process::id())));
}

#[tokio::test]
async fn doc_and_list_tell_of_every_function() {
    let doc = value("sys.doc", json!([]), json!({})).await;
    let names = value("sys.list_functions", json!([]), json!({})).await;
    assert_eq!(names.as_array().unwrap().len(), list().len());
    for f in list() {
        assert!(doc[f.name].as_str().unwrap().starts_with(f.usage));
    }
}

#[tokio::test]
async fn what_is_wrong_is_failed_with_the_usage() {
    for (function, args, kwargs, says) in [
        ("test.pong", json!([]), json!({}), "'test.pong' is not available"),
        ("", json!([]), json!({}), "'' is not available"),
        (
            "test.ping",
            json!([1]),
            json!({}),
            "takes at most 0 positional arguments, 1 were given\nUsage: test.ping",
        ),
        ("test.ping", json!([]), json!({"x": 1}), "it has no argument 'x'\nUsage: test.ping"),
        ("test.sleep", json!([]), json!({}), "argument 'length' is missing\nUsage: test.sleep LENGTH"),
        ("test.sleep", json!(["long"]), json!({}), "must be a number of seconds"),
        ("grains.item", json!([]), json!({}), "argument 'key' is missing\nUsage: grains.item"),
        ("cmd.run", json!([]), json!({}), "argument 'cmd' is missing\nUsage: cmd.run CMD"),
        ("cmd.run", json!([" "]), json!({}), "'cmd' must be a command"),
        ("cmd.run", json!([[]]), json!({}), "'cmd' must be a command"),
        ("cmd.run", json!(["ls", "-l"]), json!({}), "'cwd' must be an absolute path"),
        ("cmd.run", json!(["ls 'x"]), json!({"python_shell": false}), "a quote that is not closed"),
        ("cmd.run", json!(["l\u{0}s"]), json!({}), "NUL"),
        ("cmd.run", json!(["ls"]), json!({"stdin": "x"}), "it has no argument 'stdin'"),
        ("cmd.run_all", json!(["ls"]), json!({"timeout": "soon"}), "'timeout' must be a number"),
        ("saltutil.find_job", json!(["../../etc"]), json!({}), "is not a jid"),
        ("saltutil.find_job", json!(["1"]), json!({}), "\nUsage: saltutil.find_job JID"),
        ("test.exception", json!([]), json!({}), "The minion function caused an exception: Test Exception"),
        ("test.exception", json!(["Oh noes!"]), json!({}), "Oh noes!"),
    ] {
        let answer = answer(function, args, kwargs).await;
        let text: String = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.outcome, answer.retcode), (Outcome::Failed, 1), "{function}: {text}");
        assert!(text.contains(says), "{text:?} does not say {says:?}");
    }
}

#[tokio::test]
async fn a_name_of_a_megabyte_is_not_sent_back() {
    let answer = answer(&"x".repeat(1 << 20), json!([]), json!({})).await;
    assert!(answer.body.len() < 1000);
}

#[tokio::test]
async fn a_return_value_has_its_limit() {
    let answer = answer("test.echo", json!(["x".repeat(MAX_BODY_BYTES)]), json!({})).await;
    assert_eq!((answer.outcome, answer.body.len()), (Outcome::Ok, MAX_BODY_BYTES));
    assert!(answer.truncated.is_some());
}

#[tokio::test]
async fn the_run_limit_holds_inside_the_minion() {
    let call = Call { run_limit: Duration::ZERO, ..call("test.sleep", json!([600]), json!({})) };
    let Ok(Prepared::Builtin(future)) = prepare(call, &context()) else { panic!("it is a builtin") };
    assert_eq!(future.await.outcome, Outcome::TimedOut);
}

#[test]
fn commands_are_described_and_not_started() {
    let spec = |args: Value, kwargs: Value| match prepare(call("cmd.run", args, kwargs), &context()) {
        Ok(Prepared::Command(spec)) => spec,
        Ok(Prepared::Builtin(_)) => panic!("cmd.run is a command"),
        Err(refused) => panic!("{}", String::from_utf8_lossy(&refused.body)),
    };
    let by_shell = spec(json!(["ls -l | head", "/tmp"]), json!({"timeout": 0, "runas": "nobody"}));
    assert_eq!(by_shell.argv, ["/bin/sh", "-c", "ls -l | head"]);
    assert_eq!((by_shell.cwd, by_shell.timeout), (Some("/tmp".into()), None));
    assert_eq!((by_shell.runas, by_shell.run_limit, by_shell.jid), (Some("nobody".into()), LIMIT, jid(0)));
    for (args, kwargs, argv) in [
        (json!(["ls -l 'a b'"]), json!({"python_shell": "False"}), &["ls", "-l", "a b"][..]),
        (json!([["ls", "a b", 1]]), json!({}), &["ls", "a b", "1"]),
        (json!(["x"]), json!({"shell": "/bin/bash"}), &["/bin/bash", "-c", "x"]),
        (json!([true]), json!({"env": {"A": 1}, "clean_env": true}), &["/bin/sh", "-c", "true"]),
    ] {
        assert_eq!(spec(args, kwargs).argv, argv);
    }
    let with_env = spec(json!(["x"]), json!({"env": {"A": 1}, "clean_env": true, "timeout": "1.5"}));
    assert_eq!((with_env.env, with_env.clean_env), ([("A".into(), "1".into())].into(), true));
    assert_eq!(with_env.timeout, Some(Duration::from_millis(1500)));
}
