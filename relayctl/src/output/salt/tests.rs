//! What Salt 3008 printed, and the values that it printed.

use serde_json::json;

use super::*;

fn shown(kind: Kind, value: Value) -> String {
    render_value(kind, &value, &Look::default())
}

fn render(kind: Kind, returns: &[(String, Value)]) -> String {
    shown(kind, Value::Object(returns.iter().cloned().collect()))
}

const NO_ANSWER: &str =
    "Minion did not return. [No response]\nTo look it up:\n\nsalt-run jobs.lookup_jid 20261121033041715151";

#[test]
fn nested_pings_and_absentees() {
    let returns = [("m009".to_owned(), json!(NO_ANSWER)), ("m008".to_owned(), json!(true))];
    let expected = "m008:
    True
m009:
    Minion did not return. [No response]
    To look it up:
    
    salt-run jobs.lookup_jid 20261121033041715151
";
    assert_eq!(render(Kind::Nested, &returns), expected);
    assert_eq!(render(Kind::NoReturn, &returns[..1]), expected.split_once("True\n").unwrap().1);
}

#[test]
fn nested_run_all() {
    let value = json!({"m000": {"stdout": "out", "stderr": "err", "retcode": 3, "pid": 22661}});
    let expected = "m000:
    ----------
    pid:
        22661
    retcode:
        3
    stderr:
        err
    stdout:
        out
";
    assert_eq!(shown(Kind::Nested, value), expected);
}

#[test]
fn nested_print_job() {
    let value = json!({"20261121032817567579": {
        "Function": "cmd.run", "Arguments": ["echo hello; exit 3"], "Target": "m00[0-1]", "User": "root",
        "Minions": ["m000", "m001"], "Empty": [],
        "Result": {"m000": {"return": "hello", "retcode": 3, "success": false}}
    }});
    let expected = "20261121032817567579:
    ----------
    Arguments:
        - echo hello; exit 3
    Empty:
    Function:
        cmd.run
    Minions:
        - m000
        - m001
    Result:
        ----------
        m000:
            ----------
            retcode:
                3
            return:
                hello
            success:
                False
    Target:
        m00[0-1]
    User:
        root
";
    assert_eq!(shown(Kind::Nested, value), expected);
}

#[test]
fn nested_runners() {
    assert_eq!(shown(Kind::Nested, json!(["m009"])), "- m009\n");
    assert_eq!(shown(Kind::Nested, json!([])), "");
    assert_eq!(shown(Kind::Nested, json!({})), "");
    assert_eq!(shown(Kind::Nested, json!({"up": ["m000"], "down": []})), "down:\nup:\n    - m000\n");
    let lists = json!({"a": [["x", {"k": 1}], {"b": null}]});
    let expected = "a:
    |_
      - x
      |_
        ----------
        k:
            1
    |_
      ----------
      b:
          None
";
    assert_eq!(shown(Kind::Nested, lists), expected);
}

#[test]
fn json_of_returns() {
    let returns = [("m001".to_owned(), json!("")), ("m000".to_owned(), json!(true))];
    assert_eq!(render(Kind::Json, &returns), "{\n    \"m001\": \"\",\n    \"m000\": true\n}\n");
    let value = json!({"a": [], "b": {}, "c": [1, 2.0, "é\n"]});
    let expected = "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        2.0,\n        \"é\\n\"\n    ]\n}\n";
    assert_eq!(shown(Kind::Json, value.clone()), expected);
    let one_line = Look { indent: -1, ..Look::default() };
    assert_eq!(
        render_value(Kind::Json, &value, &one_line),
        "{\"a\": [], \"b\": {}, \"c\": [1, 2.0, \"é\\n\"]}\n"
    );
    let none = Look { indent: 0, ..Look::default() };
    assert_eq!(render_value(Kind::Json, &json!({"a": [1]}), &none), "{\n\"a\": [\n1\n]\n}\n");
}

#[test]
fn yaml_is_block_style_sorted_and_the_same_data() {
    let value = json!({"m001": ["a", {"k": 1}], "m000": {"z": "yes", "a": null, "text": "one\n  two\n"}});
    let text = shown(Kind::Yaml, value.clone());
    assert!(text.starts_with("m000:\n  a: null\n"), "{text}");
    assert!(text.contains("\nm001:\n- a\n- k: 1\n"), "{text}");
    assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value);
}

#[test]
fn txt_is_a_line_for_each_line() {
    let returns = [("m005".to_owned(), json!(true)), ("m009".to_owned(), json!(NO_ANSWER))];
    let expected = "m005: True
m009: Minion did not return. [No response]
m009: To look it up:
m009: 
m009: salt-run jobs.lookup_jid 20261121033041715151
";
    assert_eq!(render(Kind::Txt, &returns), expected);
    assert_eq!(shown(Kind::Txt, json!({"m": {"a": ["b"]}})), "m: {'a': ['b']}\n");
    assert_eq!(shown(Kind::Txt, json!({"m": ""})), "");
    assert_eq!(shown(Kind::Txt, json!(["x"])), "['x']\n");
}

#[test]
fn raw_and_values_only() {
    let value = json!({"m0": {"a": [true, null]}, "m1": "it's"});
    assert_eq!(shown(Kind::Raw, value), "{'m0': {'a': [True, None]}, 'm1': \"it's\"}\n");
    let value = json!({"a": ["127.0.0.1", "10.0.0.1"], "b": 8, "c": "x"});
    assert_eq!(shown(Kind::NewlineValuesOnly, value), "127.0.0.1\n10.0.0.1\n8\nx\n");
    assert_eq!(shown(Kind::Quiet, json!({"a": true})), "");
}

#[test]
fn keys_as_lists_and_as_fingerprints() {
    let value =
        json!({"minions_pre": [], "minions_rejected": [], "minions": ["m001", "m000"], "minions_denied": []});
    let expected = "Accepted Keys:\nm000\nm001\nDenied Keys:\nUnaccepted Keys:\nRejected Keys:\n";
    assert_eq!(shown(Kind::Key, value), expected);
    assert_eq!(
        shown(Kind::Key, json!({"minions": {"m000": "6b:bb:95"}})),
        "Accepted Keys:\nm000:  6b:bb:95\n"
    );
}

#[test]
fn no_form_lets_a_minion_move_the_cursor() {
    let evil = json!({"m\u{1b}[2J": ["\u{1b}[2J\u{9b}", {"\u{1b}": "\u{1b}"}], "n": "\u{1b}[2J"});
    let kinds = [
        Kind::Nested,
        Kind::Json,
        Kind::Yaml,
        Kind::Txt,
        Kind::Raw,
        Kind::NewlineValuesOnly,
        Kind::Key,
        Kind::NoReturn,
    ];
    for kind in kinds {
        let text = shown(kind, evil.clone());
        assert!(!text.contains('\u{1b}') && !text.is_empty(), "{kind:?}: {text:?}");
    }
}

#[test]
fn words() {
    assert_eq!(Kind::from_word("text"), Kind::from_word("txt"));
    assert_eq!(Kind::from_word("highstate"), None);
}

#[test]
fn failures_are_red_where_there_are_colours() {
    let look = Look { paint: Paint::ON, failed: true, ..Look::default() };
    assert_eq!(
        render_value(Kind::Nested, &json!({"m": true}), &look),
        "\x1b[31mm\x1b[0m:\n    \x1b[33mTrue\x1b[0m\n"
    );
}
