//! What functions return when they go well.

use minion::functions::list;
use serde_json::json;

use crate::{answer, jid, value};

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
            json!(["state", "sys.doc", "cmd.run*"]),
            json!({}),
            json!([
                "cmd.run",
                "cmd.run_all",
                "cmd.run_stderr",
                "cmd.run_stdout",
                "state.apply",
                "state.highstate",
                "state.single",
                "state.sls",
                "sys.doc"
            ]),
        ),
        (
            "sys.list_modules",
            json!([]),
            json!({}),
            json!(["cmd", "grains", "saltutil", "state", "sys", "test"]),
        ),
        ("sys.list_modules", json!(["s*", "cm?"]), json!({}), json!(["cmd", "saltutil", "state", "sys"])),
        ("sys.reload_modules", json!([]), json!({}), json!(true)),
        (
            "sys.argspec",
            json!(["test.arg"]),
            json!({}),
            json!({"test.arg": {"args": [], "defaults": null, "varargs": true, "kwargs": true}}),
        ),
        (
            "sys.argspec",
            json!(["grains.setval"]),
            json!({}),
            json!({"grains.setval":
                {"args": ["key", "val", "destructive"], "defaults": [null], "varargs": null, "kwargs": null}}),
        ),
        ("test.true", json!([]), json!({}), json!(true)),
        ("test.true_", json!([]), json!({}), json!(true)),
        ("test.false", json!([]), json!({}), json!(false)),
        ("test.outputter", json!([{"a": 1}]), json!({}), json!({"a": 1})),
        ("test.kwarg", json!([]), json!({"b": 1, "a": "x"}), json!({"b": 1, "a": "x"})),
        (
            "test.arg_repr",
            json!([1, "two", true]),
            json!({"three": 3.5, "four": null}),
            json!({"args": "(1, 'two', True)", "kwargs": "{'three': 3.5, 'four': None}"}),
        ),
        (
            "test.arg_type",
            json!([1, "two"]),
            json!({"three": 3.5}),
            json!({"args": ["<class 'int'>", "<class 'str'>"], "kwargs": {"three": "<class 'float'>"}}),
        ),
        ("test.rand_sleep", json!([0]), json!({}), json!(true)),
        ("test.retcode", json!([0]), json!({}), json!(true)),
        ("test.version", json!([]), json!({}), json!(env!("CARGO_PKG_VERSION"))),
        ("test.provider", json!(["cmd"]), json!({}), json!("cmd")),
        ("test.provider", json!(["pkg"]), json!({}), json!("")),
        ("test.not_loaded", json!([]), json!({}), json!([])),
        ("test.assertion", json!([[1]]), json!({}), json!(null)),
        ("grains.has_value", json!(["ip_interfaces:lo"]), json!({}), json!(true)),
        ("grains.has_value", json!(["ip_interfaces:eth0"]), json!({}), json!(false)),
        ("grains.equals", json!(["roles:web", "1"]), json!({}), json!(true)),
        ("saltutil.is_running", json!(["cmd.*"]), json!({}), json!([])),
        ("saltutil.signal_job", json!([jid(2).to_string(), 9]), json!({}), json!("")),
        (
            "saltutil.signal_job",
            json!([jid(1).to_string(), "SIGINT"]),
            json!({}),
            json!(format!("Signal 2 sent to job {} at pid 71", jid(1))),
        ),
        (
            "saltutil.term_job",
            json!([jid(1).to_string()]),
            json!({}),
            json!(format!("Signal 15 sent to job {} at pid 71", jid(1))),
        ),
        (
            "saltutil.kill_job",
            json!([jid(1).to_string()]),
            json!({}),
            json!(format!("Signal 9 sent to job {} at pid 71", jid(1))),
        ),
        (
            "saltutil.kill_all_jobs",
            json!([]),
            json!({}),
            json!([format!("Signal 9 sent to job {} at pid 71", jid(1))]),
        ),
        (
            "saltutil.term_all_jobs",
            json!([]),
            json!({}),
            json!([format!("Signal 15 sent to job {} at pid 71", jid(1))]),
        ),
        ("saltutil.refresh_grains", json!([]), json!({}), json!(true)),
        ("saltutil.sync_grains", json!([]), json!({}), json!([])),
        ("saltutil.refresh_modules", json!([]), json!({"async": true}), json!(true)),
        ("saltutil.refresh_pillar", json!([]), json!({}), json!(true)),
        ("saltutil.sync_modules", json!([]), json!({"saltenv": "base"}), json!([])),
        ("saltutil.sync_states", json!([]), json!({}), json!([])),
        ("saltutil.clear_cache", json!([]), json!({}), json!(true)),
        ("sys.doc", json!(["no.such"]), json!({}), json!({})),
    ] {
        assert_eq!(value(function, args.clone(), kwargs).await, returned, "{function} {args}");
    }
}

#[tokio::test]
async fn running_jobs_are_shown_without_the_one_that_asks() {
    let (jid, since) = (jid(1).to_string(), jid(1).to_string());
    let other = json!({"jid": jid, "fun": "test.sleep", "arg": [600], "pid": 71, "started": since});
    assert_eq!(value("saltutil.running", json!([]), json!({})).await, json!([other]));
    assert_eq!(value("saltutil.is_running", json!(["test.*"]), json!({})).await, json!([other]));
    assert_eq!(value("saltutil.find_job", json!([jid]), json!({})).await, other);
}

#[tokio::test]
async fn numbers_are_right_and_timed() {
    assert_eq!(value("test.fib", json!([93]), json!({})).await[0], json!(12_200_160_415_121_876_738u64));
    assert_eq!(value("test.fib", json!(["7"]), json!({})).await[0], json!(13));
    let collatz = value("test.collatz", json!([3]), json!({})).await;
    assert_eq!(collatz[0], json!([3, 10, 5, 16, 8, 4, 2]));
    assert!(collatz[1].is_f64());
    let hash = value("test.random_hash", json!([]), json!({"hash_type": "sha512"})).await;
    assert_eq!(hash.as_str().unwrap().len(), 128);
}

#[tokio::test]
async fn versions_are_a_map_and_a_text() {
    let map = value("test.versions_information", json!([]), json!({})).await;
    assert_eq!(map["Relay Version"]["Relay"], env!("CARGO_PKG_VERSION"));
    assert!(map["System Versions"]["dist"].as_str().unwrap().starts_with("Debian"));
    let text = value("test.versions", json!([]), json!({})).await;
    assert!(text.as_str().unwrap().starts_with("Relay Version:\n"));
    assert!(text.as_str().unwrap().contains("\nSystem Versions:\n"));
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
async fn named_arguments_keep_their_order() {
    let answer = answer("test.arg", json!([]), json!({"z": 1, "a": 2})).await;
    assert_eq!(answer.body, r#"{"args":[],"kwargs":{"z":1,"a":2}}"#);
}
