//! Command lines from operators' notebooks, and what they order.

use serde_json::json;

use super::*;

fn order(line: &[&str]) -> anyhow::Result<Order> {
    let line: Vec<String> = line.iter().map(|w| (*w).to_owned()).collect();
    Order::read(&Parsed::read(&line, &flags::salt())?, &line, 7)
}

fn args(order: &Order) -> Value {
    serde_json::from_slice(&order.request.args).unwrap()
}

fn window(order: &Order) -> Option<ShareKind> {
    match order.request.batch.as_ref()?.size.as_ref()? {
        Size::Window(share) => share.kind,
        _ => None,
    }
}

#[test]
fn the_plain_line() {
    let order = order(&["*", "test.ping"]).unwrap();
    let expected = SubmitRequest {
        request_id: 7_u128.to_be_bytes().to_vec(),
        target: "*".into(),
        function: "test.ping".into(),
        args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
        run_timeout_ms: 3_600_000,
        ..SubmitRequest::default()
    };
    assert_eq!(order.request, expected);
    assert!(order.detach.is_none() && !order.preview && !order.style.together);
}

#[test]
fn batches() {
    for (line, expected) in [
        (&["-b", "100", "*", "test.ping"][..], ShareKind::Count(100)),
        (&["-b50%", "*", "test.ping"], ShareKind::Percent(50)),
        (&["-C", "G@os_family:Debian and not web*", "-b", "50", "cmd.run", "uptime"], ShareKind::Count(50)),
        (&["*", "--batch-size=5", "test.ping"], ShareKind::Count(5)),
    ] {
        let order = order(line).unwrap();
        assert_eq!(window(&order), Some(expected), "{line:?}");
        assert!(order.style.batch && order.style.highest, "{line:?}");
    }
    let order =
        order(&["-b", "5", "--batch-wait", "1.5", "--failhard", "--static", "*", "test.ping"]).unwrap();
    let batch = order.request.batch.as_ref().unwrap();
    assert_eq!((batch.wait_ms, batch.max_failures), (1_500, Some(Share { kind: Some(ShareKind::Count(1)) })));
    assert!(!order.style.batch && order.style.together);
}

#[test]
fn a_batch_only_where_many_match() {
    assert_eq!(order(&["*", "f.g", "--batch-safe-limit", "100"]).unwrap().safe, Some((100, 8)));
    assert_eq!(
        order(&["*", "f.g", "--batch-safe-limit", "9", "--batch-safe-size=3"]).unwrap().safe,
        Some((9, 3))
    );
    assert_eq!(order(&["*", "f.g", "--batch-safe-limit", "9", "-b", "2"]).unwrap().safe, None);
}

#[test]
fn what_ends_jobs_does_not_wait_behind_a_batch() {
    for line in [
        &["*", "saltutil.kill_job", "20261121073656123456"][..],
        &["*", "saltutil.find_job", "20261121073656123456"],
        &["*", "saltutil.running"],
        &["*", "saltutil.kill_all_jobs", "--batch-safe-limit", "1"],
        &["*", "saltutil.term_all_jobs", "--failhard"],
    ] {
        let order = order(line).unwrap();
        let size = order.request.batch.as_ref().and_then(|batch| batch.size.clone());
        assert_eq!((size, order.at_once, order.safe), (Some(Size::All(true)), true, None), "{line:?}");
    }
    // It is still told as what it is: no batch.
    assert!(!order(&["*", "saltutil.running"]).unwrap().style.batch);
    // Whoever writes a batch has one.
    let asked = order(&["-b", "5", "*", "saltutil.running"]).unwrap();
    assert_eq!((window(&asked), asked.at_once), (Some(ShareKind::Count(5)), false));
    let other = order(&["*", "saltutil.refresh_grains"]).unwrap();
    assert_eq!((other.request.batch, other.at_once), (None, false));
}

#[test]
fn timeouts_and_subsets() {
    let order = order(&["-t", "2", "--run-timeout=90", "--subset", "3", "*", "test.sleep", "8"]).unwrap();
    assert_eq!((order.request.delivery_timeout_ms, order.request.run_timeout_ms), (2_000, 90_000));
    assert_eq!(order.request.subset, Some(Subset { count: 3, seed: 7 }));
}

#[test]
fn asynchronous_by_option_and_by_argument() {
    assert_eq!(order(&["--async", "*", "test.ping"]).unwrap().detach, Some(Detach::Option));
    let by_argument = order(&["*", "test.sleep", "5", "async=True"]).unwrap();
    assert_eq!(by_argument.detach, Some(Detach::Argument));
    assert_eq!(args(&by_argument), json!({"args": [5], "kwargs": {}}));
    let not = order(&["*", "test.sleep", "5", "async=False"]).unwrap();
    assert_eq!((not.detach, args(&not)), (None, json!({"args": [5], "kwargs": {}})));
    // A function's own text stays its own.
    let own = order(&["*", "test.kwarg", "async=later"]).unwrap();
    assert_eq!((own.detach, args(&own)["kwargs"].clone()), (None, json!({"async": "later"})));
}

#[test]
fn arguments_are_yaml_but_for_those_named() {
    let order = order(&["*", "test.arg", "0755", "a=1", "b=[1]", "--no-parse=b"]).unwrap();
    assert_eq!(args(&order), json!({"args": [755], "kwargs": {"a": 1, "b": "[1]"}}));
}

#[test]
fn documentation() {
    for (line, target, given) in [
        (&["-d"][..], "*", json!([])),
        (&["web01", "-d"], "web01", json!([])),
        (&["*", "-d", "cmd.run"], "*", json!(["cmd.run"])),
        (&["*", "sys.doc", "cmd"], "*", json!(["cmd"])),
    ] {
        let order = order(line).unwrap();
        assert_eq!((order.request.function.as_str(), order.request.target.as_str()), ("sys.doc", target));
        assert_eq!(args(&order)["args"], given, "{line:?}");
        assert!(order.style.docs, "{line:?}");
    }
}

#[test]
fn what_is_refused_says_why() {
    for (line, told) in [
        (&["*"][..], "target and function are needed"),
        (&["-b", "0", "*", "test.ping"], "at least 1"),
        (&["-b", "101%", "*", "test.ping"], "at most 100%"),
        (&["-b", "-5", "*", "test.ping"], "at least 1"),
        (&["-t", "0", "*", "test.ping"], "write a number of seconds"),
        (&["-t", "x", "*", "test.ping"], "write a number of seconds"),
        (&["--batch-wait", "5", "*", "test.ping"], "add -b N"),
        (&["-a", "pam", "--password", "x", "*", "test.ping"], "standard input"),
        (&["-R", "%x", "test.ping"], "range set"),
        (&["--return", "redis", "*", "test.ping"], "no returners"),
        (&["*", "test.ping,cmd.run", ",", "id"], "several functions"),
        (
            &["-C", "G@os_family:RedHat", "-b", "50", "*", "test.ping"],
            "probably meant: salt -C G@os_family:RedHat -b 50 test.ping",
        ),
        (&["-C", "a and", "test.ping"], "the target \"a and\""),
        (&["--subset", "0", "*", "test.ping"], "write how many minions"),
        (&["--out", "xml", "*", "test.ping"], "--out xml"),
        (&["--missing-exit", "256", "*", "test.ping"], "0 to 255"),
    ] {
        let error = order(line).err().unwrap_or_else(|| panic!("{line:?} was taken"));
        let text = format!("{error:#}");
        assert!(text.contains(told), "{line:?}: {text}");
    }
}
