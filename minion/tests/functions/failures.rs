//! What functions refuse, and how failures look.

use std::time::Duration;

use minion::functions::{Call, Prepared, prepare};
use relay_core::outcome::{MAX_BODY_BYTES, Outcome};
use serde_json::{Value, json};

use crate::{answer, call, context, jid};

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
        (
            "test.sleep",
            json!([]),
            json!({}),
            "Passed invalid arguments to test.sleep: argument 'length' is missing\nUsage: test.sleep LENGTH",
        ),
        ("test.sleep", json!(["long"]), json!({}), "must be a number of seconds"),
        ("grains.item", json!([]), json!({}), "argument 'key' is missing\nUsage: grains.item"),
        ("cmd.run", json!([]), json!({}), "argument 'cmd' is missing\nUsage: cmd.run CMD"),
        ("cmd.run", json!([" "]), json!({}), "'cmd' must be a command"),
        ("cmd.run", json!([[]]), json!({}), "'cmd' must be a command"),
        ("cmd.run", json!(["ls", "-l"]), json!({}), "'cwd' must be an absolute path"),
        ("cmd.run", json!(["ls 'x"]), json!({"python_shell": false}), "a quote that is not closed"),
        ("cmd.run", json!(["l\u{0}s"]), json!({}), "NUL"),
        ("cmd.run", json!(["ls"]), json!({"bg": true}), "it has no argument 'bg'"),
        ("cmd.run", json!([true]), json!({}), "quote it twice"),
        ("cmd.run", json!(["ls"]), json!({"umask": "9"}), "'umask' must be a mask of octal digits"),
        ("cmd.shell", json!([["ls"]]), json!({}), "cmd.run takes lists"),
        (
            "cmd.script",
            json!(["salt://x.sh"]),
            json!({}),
            "'cmd.script' is not available.\nIt needs a file server",
        ),
        ("pkg.install", json!(["vim"]), json!({}), "'pkg.install' is not available."),
        ("test.fib", json!([94]), json!({}), "must be 0 to 93"),
        ("test.collatz", json!([0]), json!({}), "no steps"),
        ("test.assertion", json!([false]), json!({}), "AssertionError"),
        ("test.raise_exception", json!(["TypeError", "no"]), json!({}), "exception: TypeError: no"),
        ("test.random_hash", json!([]), json!({"hash_type": "md5"}), "hash type must be"),
        ("saltutil.signal_job", json!([jid(1).to_string(), "x"]), json!({}), "'sig' must be a signal"),
        ("saltutil.kill_job", json!(["7"]), json!({}), "\nUsage: saltutil.kill_job JID"),
        ("saltutil.kill_job", json!([jid(0).to_string()]), json!({}), "this call itself"),
        ("grains.setval", json!(["a", 1]), json!({}), "no file for its grains"),
        ("grains.setvals", json!(["a"]), json!({}), "must be a map"),
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
async fn what_has_a_retcode_of_its_own_keeps_its_value() {
    let top = json!({"no_|-states_|-states_|-None": {
        "result": false,
        "comment": "No Top file or master_tops data matches found. Please see master log for details.",
        "name": "No States",
        "changes": {},
        "__run_num__": 0,
    }});
    for (function, args, kwargs, retcode, returned) in [
        ("test.retcode", json!([]), json!({}), 42, json!(true)),
        ("test.retcode", json!([-3]), json!({}), -3, json!(true)),
        (
            "state.apply",
            json!(["nginx"]),
            json!({"test": true}),
            1,
            json!(["No matching sls found for 'nginx' in env 'base'"]),
        ),
        (
            "state.sls",
            json!(["a, b"]),
            json!({"saltenv": "dev"}),
            1,
            json!([
                "No matching sls found for 'a' in env 'dev'",
                "No matching sls found for 'b' in env 'dev'"
            ]),
        ),
        ("state.apply", json!([]), json!({}), 2, top.clone()),
        ("state.highstate", json!([]), json!({"test": true}), 2, top),
        (
            "state.single",
            json!(["pkg.installed"]),
            json!({"name": "vim"}),
            1,
            json!(["Specified state 'pkg.installed' was not found"]),
        ),
        ("state.single", json!(["pkg"]), json!({}), 1, json!("Invalid function passed")),
    ] {
        let answer = answer(function, args, kwargs).await;
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.outcome, answer.retcode, value),
            (Outcome::Failed, retcode, returned),
            "{function}"
        );
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
