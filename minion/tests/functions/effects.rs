//! Functions that change something, commands, and which places calls may take.

use std::{sync::Arc, time::Duration};

use minion::{
    functions::{Context, Prepared, list, place_of, prepare},
    grains::GrainBook,
};
use relay_core::seat::Place;
use serde_json::{Value, json};

use crate::{LIMIT, answer_with, call, context, jid};

#[tokio::test]
async fn grains_are_changed_in_the_file_and_seen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("grains.yaml");
    let book = GrainBook::open("web01".parse().unwrap(), Default::default(), file.clone()).unwrap();
    let context = Context { grains: Arc::new(book), ..context() };
    for (function, args, kwargs, retcode, returned) in [
        ("grains.setval", json!(["role", "web"]), json!({}), 0, json!({"role": "web"})),
        ("grains.setval", json!(["a:b", 1]), json!({}), 0, json!({"a:b": 1})),
        ("grains.setvals", json!([{"x": 1, "y": [2]}]), json!({}), 0, json!({"x": 1, "y": [2]})),
        ("grains.append", json!(["roles", "web"]), json!({}), 0, json!({"roles": ["web"]})),
        (
            "grains.append",
            json!(["roles", "web"]),
            json!({}),
            0,
            json!("The val web was already in the list roles"),
        ),
        (
            "grains.append",
            json!(["roles", ["db", "dns"]]),
            json!({}),
            0,
            json!({"roles": ["web", "db", "dns"]}),
        ),
        ("grains.remove", json!(["roles", "db"]), json!({}), 0, json!({"roles": ["web", "dns"]})),
        (
            "grains.set",
            json!(["apps:nginx:port", 80]),
            json!({}),
            0,
            json!({"comment": "", "changes": {"apps": {"nginx": {"port": 80}}}, "result": true}),
        ),
        (
            "grains.set",
            json!(["apps", 80]),
            json!({}),
            1,
            json!({
                "comment": "The key 'apps' exists but is a dict or a list. Use 'force=True' to overwrite.",
                "changes": {},
                "result": false
            }),
        ),
        (
            "grains.delval",
            json!(["role"]),
            json!({}),
            0,
            json!({"comment": "", "changes": {"role": null}, "result": true}),
        ),
        ("grains.get", json!(["apps:nginx:port"]), json!({}), 0, json!(80)),
        (
            "grains.delkey",
            json!(["role"]),
            json!({}),
            0,
            json!({"comment": "", "changes": {"role": null}, "result": true}),
        ),
        (
            "grains.delkey",
            json!(["roles"]),
            json!({"force": true}),
            0,
            json!({"comment": "", "changes": {"roles": null}, "result": true}),
        ),
        ("grains.setval", json!(["x", null, true]), json!({}), 0, json!({"x": null})),
    ] {
        let answer = answer_with(&context, function, args.clone(), kwargs).await;
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.retcode, value), (retcode, returned), "{function} {args}");
    }
    assert!(context.grains.take_news());
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(kept, [r#""a:b": 1"#, "apps: {nginx: {port: 80}}", r#""y": [2]"#]);
    assert!(context.grains.value().get("role").is_none());
}

#[test]
fn commands_are_described_and_not_started() {
    let spec = |args: Value, kwargs: Value| match prepare(call("cmd.run", args, kwargs), &context()) {
        Ok(Prepared::Command(spec)) => *spec,
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
        (json!([7]), json!({"env": {"A": 1}, "clean_env": true}), &["/bin/sh", "-c", "7"]),
    ] {
        assert_eq!(spec(args, kwargs).argv, argv);
    }
    let with_env = spec(json!(["x"]), json!({"env": {"A": 1}, "clean_env": true, "timeout": "1.5"}));
    assert_eq!((with_env.env, with_env.clean_env), ([("A".into(), "1".into())].into(), true));
    assert_eq!(with_env.timeout, Some(Duration::from_millis(1500)));
}

#[test]
fn only_what_looks_after_other_jobs_has_places_of_its_own() {
    for f in list() {
        let control = f.name.starts_with("saltutil.") || f.name.starts_with("sys.");
        assert_eq!(place_of(f.name) == Place::Control, control, "{}", f.name);
    }
    assert_eq!(place_of("saltutil"), Place::Common);
}
