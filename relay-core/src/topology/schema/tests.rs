//! The description of the keys against the reader of them, key by key.

use proptest::prelude::*;
use regex::Regex;

use super::{keys::*, *};
use crate::topology::{Topology, render::node};

/// A file with every key.
fn full() -> Value {
    json!({
        "version": 1,
        "fabric": "acme.example",
        "top_masters": [{"id": "top-1", "address": "top1:4510", "region": "east", "location": "cellar"}],
        "regions": [{
            "name": "east", "provider": "aws", "cloud_region": "us-east-1", "platforms": ["linux"],
            "network": {"notes": "peering", "allowed_cidrs": ["10.0.0.0/8"]},
            "syndics": [{
                "id": "e1", "address": "e1:4510", "parents": ["top-1"], "capacity": 500, "weight": 50, "standby": false,
            }],
            "minions": {
                "count": 400, "patterns": ["east-*"], "ranges": ["web[001-120,200]"], "ids": ["odd"],
                "grains": {"dc": ["a", "b"]},
            },
            "batch": {"batch": 10, "max_failures": "5%", "cap": 50, "auto": {"min": 2, "max": 40}},
        }],
        "unbatched_limit": "50%",
        "node_groups": {"web": "web-*"},
        "labels": {"owner": "ops"},
    })
}

/// Every map with described keys, as a JSON pointer into [`full`].
fn maps() -> Vec<(String, &'static Keys)> {
    let mut found = vec![(String::new(), &TOPOLOGY)];
    let mut next = 0;
    while let Some((path, keys)) = found.get(next).cloned() {
        for key in keys.keys {
            let at = format!("{path}/{}", key.name);
            match key.kind {
                Kind::Map(inner) => found.push((at, inner)),
                Kind::Filled(&Kind::Map(inner)) => found.push((format!("{at}/0"), inner)),
                _ => {}
            }
        }
        next += 1;
    }
    found
}

/// Every key with its path.
fn each() -> Vec<(String, &'static Key)> {
    let keys = maps()
        .into_iter()
        .flat_map(|(path, keys)| keys.keys.iter().map(move |key| (format!("{path}/{}", key.name), key)));
    keys.collect()
}

/// What the reader says of [`full`] with one value replaced (or taken out).
fn read(path: &str, value: Option<Value>) -> Vec<String> {
    let problems = Topology::check(&node(&changed(path, value))).err().unwrap_or_default();
    problems.into_iter().map(|p| format!("{}; {}", p.what, p.hint)).collect()
}

fn changed(path: &str, value: Option<Value>) -> Value {
    let mut root = full();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let map = root.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    match value {
        Some(value) => map.insert(key.into(), value),
        None => map.shift_remove(key),
    };
    root
}

#[test]
fn the_full_file_has_every_key_and_is_good() {
    assert_eq!(Topology::check(&node(&full())).map(|t| t.warnings), Ok(Vec::new()));
    for (path, _) in each() {
        assert!(full().pointer(&path).is_some(), "{path} is missing in the test's file");
    }
}

/// Nothing that a file can say is lost in the fixed form.
#[test]
fn the_fixed_form_of_the_full_file_is_the_full_file() {
    let topology = Topology::check(&node(&full())).unwrap();
    assert_eq!(topology.document(), full());
    assert_eq!(Topology::check(&node(&topology.document())), Ok(topology));
}

/// The reader lists what it asked for when it meets a key that it does not know.
#[test]
fn the_reader_asks_for_these_keys_and_no_others() {
    for (path, keys) in maps() {
        let said = read(&format!("{path}/zzzzzzzz"), Some(json!(1))).join("\n");
        let list =
            said.split_once(" has: ").map(|(_, list)| list).unwrap_or_else(|| panic!("{path}: {said}"));
        let mut asked: Vec<&str> = list.split(", ").collect();
        let mut described: Vec<&str> = keys.keys.iter().map(|key| key.name).collect();
        asked.sort_unstable();
        described.sort_unstable();
        assert_eq!(asked, described, "{path:?}");
    }
}

#[test]
fn what_has_to_be_there_has_to() {
    for (path, key) in each() {
        let said = read(&path, None).join("\n");
        assert_eq!(said.contains(&format!(" has no {:?}", key.name)), key.required, "{path}: {said}");
        assert_eq!(said.is_empty(), !key.required, "{path}: {said}");
    }
}

#[test]
fn numbers_words_and_shapes_have_the_same_bounds() {
    for (path, key) in each() {
        let refused = |value: Value| !read(&path, Some(value)).is_empty();
        let out_of_range = |n: u64| read(&path, Some(json!(n))).iter().any(|p| p.contains("is out of range"));
        match &key.kind {
            Kind::Number(low, high) => {
                assert!(!out_of_range(*low) && !out_of_range(*high) && out_of_range(high + 1), "{path}");
                assert!(*low == 0 || out_of_range(low - 1), "{path}");
                assert!(refused(json!("1")) && refused(json!(-1)), "{path}");
            }
            Kind::Words(words) => {
                words.iter().for_each(|word| assert!(!refused(json!(word)), "{path}: {word}"));
                let said = read(&path, Some(json!("qqqq"))).join("\n");
                assert!(said.ends_with(&format!("write one of: {}", words.join(", "))), "{path}: {said}");
            }
            Kind::Share => [json!(0), json!("0%"), json!("101%"), json!("x")]
                .into_iter()
                .for_each(|bad| assert!(refused(bad.clone()), "{path}: {bad}")),
            Kind::Flag => assert!(refused(json!("true")) && !refused(json!(false)), "{path}"),
            Kind::List(_) => assert!(refused(json!("x")) && !refused(json!([])), "{path}"),
            Kind::Filled(_) => assert!(refused(json!("x")) && refused(json!([])), "{path}"),
            Kind::Free(_) | Kind::Map(_) => assert!(refused(json!("x")) && refused(json!([])), "{path}"),
            Kind::Id | Kind::Region | Kind::Address => {
                assert!(refused(json!("a b")) && refused(json!([])) && refused(json!({})), "{path}")
            }
            Kind::Text | Kind::Network | Kind::OneOrMore => assert!(refused(json!({})), "{path}"),
        }
    }
}

#[test]
fn defaults_are_those_of_the_reader() {
    for (path, key) in each() {
        let Some(default) = key.default else { continue };
        let said = |value| Topology::check(&node(&changed(&path, value))).unwrap().document();
        assert_eq!(said(None), said(Some(default.json())), "{path}");
    }
}

#[test]
fn an_editor_is_told_the_shape() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let syndic = &schema["properties"]["regions"]["items"]["properties"]["syndics"]["items"];
    assert_eq!(syndic["required"], json!(["id", "address"]));
    assert_eq!(
        (&syndic["properties"]["capacity"]["default"], &syndic["additionalProperties"]),
        (&json!(1250), &json!(false))
    );
    assert!(accepts(&schema, &full()));
    assert!(!accepts(&schema, &changed("/regions/0/syndics/0/capasity", Some(json!(1)))));
    assert!(!accepts(&schema, &changed("/fabric", None)));
}

/// What the schema's words mean, as far as it uses them.
fn accepts(schema: &Value, value: &Value) -> bool {
    let Value::Object(schema) = schema else { panic!("{schema}") };
    schema.iter().all(|(word, rule)| match word.as_str() {
        "type" => match rule {
            Value::Array(types) => types.iter().any(|t| is(t, value)),
            one => is(one, value),
        },
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, inner)| rule.get(key).is_none_or(|rule| accepts(rule, inner)))
        }),
        "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known = |key: &String| schema.get("properties").is_some_and(|p| p.get(key).is_some());
            map.iter().filter(|(key, _)| !known(key)).all(|(_, inner)| match rule {
                Value::Bool(allowed) => *allowed,
                rule => accepts(rule, inner),
            })
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| accepts(rule, item))),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
        "anyOf" => rule.as_array().unwrap().iter().any(|rule| accepts(rule, value)),
        "enum" => rule.as_array().unwrap().contains(value),
        "minimum" => value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|n| n <= rule.as_i64().unwrap()),
        "pattern" => {
            value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
        }
        "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= rule.as_u64().unwrap()),
        "$schema" | "$id" | "title" | "description" | "default" => true,
        other => panic!("the test does not know {other:?}"),
    })
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

fn some_value() -> impl Strategy<Value = Value> {
    let words = [
        "a",
        "a.b",
        "7",
        "0%",
        "50%",
        "100%",
        "101%",
        "10.0.0.0/8",
        "fd00::/8",
        "h:1",
        "[::1]:80",
        "aws",
        "a b",
        "",
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-1i64..20_000_000).prop_map(Value::from),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec(("[a-c]", inner), 0..3).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// An editor never marks what the reader takes.
    #[test]
    fn what_the_reader_takes_the_schema_takes(key in proptest::sample::select(each()), value in some_value()) {
        let file = changed(&key.0, Some(value));
        if Topology::check(&node(&file)).is_ok() {
            prop_assert!(accepts(&schema(), &file), "{}", file);
        }
    }
}
