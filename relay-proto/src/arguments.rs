//! A job's arguments, taken apart in one place: the rules of a top master decide about just what a minion calls the function with.
//!
//! What functions do with them is the minion's, what rules say of them `relay_core::access`'.

use relay_core::access::Work;
use serde::Deserialize;
use serde_json::{Map, Value};
use tonic::Status;

use crate::error::Code;

/// A job's arguments: `{"args":[…],"kwargs":{…}}` as JSON, of which either may be absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// By position.
    pub args: Vec<Value>,
    /// By name. Where one is given twice, the last one counts.
    pub kwargs: Map<String, Value>,
}

/// These bytes are no arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("args: not JSON of the form {{\"args\":[…],\"kwargs\":{{…}}}}: {0}")]
pub struct ArgumentsError(String);

impl From<ArgumentsError> for Status {
    fn from(error: ArgumentsError) -> Status {
        Code::Invalid.status(error.to_string())
    }
}

/// What stands under another name would be ignored by whoever does not look for it; so nothing may.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    kwargs: Map<String, Value>,
}

impl Arguments {
    /// Reads them. No bytes at all are no arguments.
    ///
    /// # Errors
    /// It is another JSON, or none: nobody calls anything with it.
    pub fn read(json: &[u8]) -> Result<Arguments, ArgumentsError> {
        if json.is_empty() {
            return Ok(Arguments::default());
        }
        // A list of the two is taken for the form, too, by what reads it.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(ArgumentsError("it is no object".into()));
        }
        let form = serde_json::from_slice(json).map_err(|e| ArgumentsError(e.to_string()))?;
        let Form { args, kwargs } = form;
        Ok(Arguments { args, kwargs })
    }

    /// As rules see them, for this function.
    pub fn work<'a>(&'a self, function: &'a str) -> Work<'a> {
        Work { function, args: &self.args, kwargs: &self.kwargs }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Option<(Value, Value)> {
        let Arguments { args, kwargs } = Arguments::read(text.as_bytes()).ok()?;
        Some((args.into(), kwargs.into()))
    }

    #[test]
    fn there_is_one_way_to_read_each() {
        let none = Some((json!([]), json!({})));
        for (text, wanted) in [
            ("", none.clone()),
            ("{}", none.clone()),
            (" \n{\"kwargs\":{}} ", none),
            (r#"{"args":[1,null]}"#, Some((json!([1, null]), json!({})))),
            (r#"{"kwargs":{"a":"x","b":0,"a":"y"}}"#, Some((json!([]), json!({"a": "y", "b": 0})))),
            (r#"{"\u0061rgs":["x"]}"#, Some((json!(["x"]), json!({})))),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        for text in [
            " ",
            "null",
            "[]",
            "[[1],{}]",
            "x",
            "{}{}",
            r#"{"args":null}"#,
            r#"{"args":{}}"#,
            r#"{"args":"x"}"#,
            r#"{"kwargs":[]}"#,
            r#"{"kwargs":null}"#,
            r#"{"args":[],"args":["reboot"]}"#,
            r#"{"kwargs":{},"kwargs":{"cmd":"reboot"}}"#,
            r#"{"args":[],"arg":["reboot"]}"#,
            r#"{"Args":["reboot"]}"#,
            "{\"args\":[\"\u{0}\"]}",
        ] {
            assert!(Arguments::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Arguments::read(b"{\"args\":[\"\xff\"]}").is_err(), "no UTF-8");
        let deep = format!("{{\"args\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(Arguments::read(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_caller_is_told_what_is_wrong() {
        let status = Status::from(Arguments::read(br#"{"arg":[]}"#).unwrap_err());
        assert_eq!(Code::of(&status), Some(Code::Invalid));
        assert!(status.message().contains("arg"), "{}", status.message());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(
            args in prop::collection::vec(value(), 0..4),
            kwargs in prop::collection::btree_map("[a-z_]{1,6}", value(), 0..4),
        ) {
            let kwargs: Map<String, Value> = kwargs.into_iter().collect();
            let text = json!({"kwargs": kwargs, "args": args}).to_string();
            prop_assert_eq!(Arguments::read(text.as_bytes()), Ok(Arguments { args, kwargs }));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(read) = Arguments::read(&bytes) {
                let again = json!({"args": read.args, "kwargs": read.kwargs}).to_string();
                prop_assert_eq!(Arguments::read(again.as_bytes()), Ok(read));
            }
        }
    }
}
