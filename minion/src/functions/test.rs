//! `test.*`: functions that show what reaches a minion, and how failures look.

mod about;
mod numbers;

pub(super) use about::{
    NOT_LOADED, PROVIDER, PROVIDERS, VERSION, VERSIONS, VERSIONS_INFORMATION, VERSIONS_REPORT,
};
pub(super) use numbers::{COLLATZ, FIB, RAND_STR, RANDOM_HASH};

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    BuiltinFuture, Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, may, must},
    body, python,
};

pub(super) const PING: Function = Function {
    name: "test.ping",
    usage: "test.ping",
    doc: "Return true: the minion is there and answers. Sends no ICMP.\n\nrelayctl run '*' test.ping",
    parameters: NOTHING,
    start: Start::Value(yes),
};

pub(super) const TRUE: Function = Function {
    name: "test.true",
    usage: "test.true",
    doc: "Return true.\n\nrelayctl run '*' test.true",
    parameters: NOTHING,
    start: Start::Value(yes),
};

pub(super) const TRUE_: Function = Function { name: "test.true_", usage: "test.true_", ..TRUE };

pub(super) const FALSE: Function = Function {
    name: "test.false",
    usage: "test.false",
    doc: "Return false. The job itself is ok.\n\nrelayctl run '*' test.false",
    parameters: NOTHING,
    start: Start::Value(|_, _, _| Ok(Value::Bool(false))),
};

pub(super) const FALSE_: Function = Function { name: "test.false_", usage: "test.false_", ..FALSE };

pub(super) const ECHO: Function = Function {
    name: "test.echo",
    usage: "test.echo TEXT",
    doc: "Return the argument.\n\nrelayctl run '*' test.echo 'hello'",
    parameters: Parameters { placed: &[must("text", Kind::Any)], ..NOTHING },
    start: Start::Value(|bound, _, _| Ok(bound.value("text").cloned().unwrap_or_default())),
};

pub(super) const OUTPUTTER: Function = Function {
    name: "test.outputter",
    usage: "test.outputter DATA",
    doc: "Return the argument, to see how an output format shows it.\n\nrelayctl run '*' test.outputter '[1, {a: b}]'",
    parameters: Parameters { placed: &[must("data", Kind::Any)], ..NOTHING },
    start: Start::Value(|bound, _, _| Ok(bound.value("data").cloned().unwrap_or_default())),
};

/// Any arguments at all.
const ANYTHING: Parameters = Parameters { rest: Some(Kind::Any), any_name: true, ..NOTHING };

pub(super) const ARG: Function = Function {
    name: "test.arg",
    usage: "test.arg [ARG...] [NAME=VALUE...]",
    doc: "Return all arguments as they arrived: {\"args\": [...], \"kwargs\": {...}}.\n\n\
          relayctl run '*' test.arg 1 two three=3",
    parameters: ANYTHING,
    start: Start::Value(arg),
};

pub(super) const ARG_CLEAN: Function = Function {
    name: "test.arg_clean",
    usage: "test.arg_clean [ARG...] [NAME=VALUE...]",
    doc: "Return all arguments as they arrived, as test.arg: no internal names are ever among them.\n\n\
          relayctl run '*' test.arg_clean 1 two three=3",
    ..ARG
};

pub(super) const ARG_REPR: Function = Function {
    name: "test.arg_repr",
    usage: "test.arg_repr [ARG...] [NAME=VALUE...]",
    doc: "Return all arguments as Python would write them: two texts, args and kwargs.\n\n\
          relayctl run '*' test.arg_repr 1 two three=3",
    parameters: ANYTHING,
    start: Start::Value(arg_repr),
};

pub(super) const ARG_TYPE: Function = Function {
    name: "test.arg_type",
    usage: "test.arg_type [ARG...] [NAME=VALUE...]",
    doc: "Return the types of all arguments, under Python's names.\n\n\
          relayctl run '*' test.arg_type 1 two three=3",
    parameters: ANYTHING,
    start: Start::Value(arg_type),
};

pub(super) const KWARG: Function = Function {
    name: "test.kwarg",
    usage: "test.kwarg [NAME=VALUE...]",
    doc: "Return the named arguments as a map.\n\nrelayctl run '*' test.kwarg num=1 txt='two'",
    parameters: Parameters { any_name: true, ..NOTHING },
    start: Start::Value(|bound, _, _| Ok(bound.more.clone().into())),
};

pub(super) const SLEEP: Function = Function {
    name: "test.sleep",
    usage: "test.sleep LENGTH",
    doc: "Wait for LENGTH seconds, then return true.\n\nrelayctl run '*' test.sleep 20",
    parameters: Parameters { placed: &[must("length", Kind::Seconds)], ..NOTHING },
    start: Start::Future(|bound| Ok(sleep(bound.seconds("length").unwrap_or_default()))),
};

pub(super) const RAND_SLEEP: Function = Function {
    name: "test.rand_sleep",
    usage: "test.rand_sleep [MAX]",
    doc: "Wait for a random time of at most MAX seconds (60), then return true.\n\nrelayctl run '*' test.rand_sleep 60",
    parameters: Parameters { placed: &[may("max", Kind::Seconds)], ..NOTHING },
    start: Start::Future(rand_sleep),
};

pub(super) const RETCODE: Function = Function {
    name: "test.retcode",
    usage: "test.retcode [CODE]",
    doc: "Return true with a retcode (42). One other than 0 is `failed`.\n\nrelayctl run '*' test.retcode 42",
    parameters: Parameters { placed: &[may("code", Kind::Integer)], ..NOTHING },
    start: Start::Coded(retcode),
};

pub(super) const EXCEPTION: Function = Function {
    name: "test.exception",
    usage: "test.exception [MESSAGE]",
    doc: "Fail with a message, as a function that breaks would.\n\nrelayctl run '*' test.exception 'Oh noes!'",
    parameters: Parameters { placed: &[may("message", Kind::Text)], ..NOTHING },
    start: Start::Value(exception),
};

pub(super) const RAISE_EXCEPTION: Function = Function {
    name: "test.raise_exception",
    usage: "test.raise_exception NAME [ARG...]",
    doc: "Fail as a function that raises a Python exception of this name would.\n\n\
          relayctl run '*' test.raise_exception TypeError 'An integer is required'",
    parameters: Parameters {
        placed: &[must("name", Kind::Text)],
        rest: Some(Kind::Any),
        any_name: true,
        ..NOTHING
    },
    start: Start::Value(raise_exception),
};

pub(super) const ASSERTION: Function = Function {
    name: "test.assertion",
    usage: "test.assertion VALUE",
    doc: "Return null if the value is true as Python sees it (not false, null, 0 or empty), and fail otherwise.\n\n\
          relayctl run '*' test.assertion False",
    parameters: Parameters { placed: &[must("assertion", Kind::Any)], ..NOTHING },
    start: Start::Value(assertion),
};

/// What `test.rand_sleep` waits for at most where nothing is asked for. Salt's.
const LONGEST_RAND_SLEEP: Duration = Duration::from_secs(60);
/// The retcode of `test.retcode` where none is asked for. Salt's.
const DEFAULT_RETCODE: i64 = 42;

fn yes(_: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(Value::Bool(true))
}

fn arg(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(json!({"args": bound.rest, "kwargs": bound.more}))
}

fn arg_repr(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let kwargs = python::repr(&Value::Object(bound.more.clone()));
    Ok(json!({"args": python::tuple(&bound.rest), "kwargs": kwargs}))
}

fn arg_type(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let args: Vec<&str> = bound.rest.iter().map(python::type_name).collect();
    let kwargs: Map<String, Value> =
        bound.more.iter().map(|(name, value)| (name.clone(), python::type_name(value).into())).collect();
    Ok(json!({"args": args, "kwargs": kwargs}))
}

fn sleep(length: Duration) -> BuiltinFuture {
    Box::pin(async move {
        tokio::time::sleep(length).await;
        body::ok(&Value::Bool(true))
    })
}

fn rand_sleep(bound: &Bound) -> Result<BuiltinFuture, String> {
    let longest = bound.seconds("max").unwrap_or(LONGEST_RAND_SLEEP);
    Ok(sleep(longest.mul_f64(rand::random::<f64>())))
}

fn retcode(bound: &Bound, _: &Call, _: &Context) -> Result<(Value, i32), String> {
    let code = bound.integer("code").unwrap_or(DEFAULT_RETCODE);
    let code = i32::try_from(code).map_err(|_| format!("test.retcode: {code} is no exit code"))?;
    Ok((Value::Bool(true), code))
}

/// The words before what a function that broke has to say. Salt's.
const BROKE: &str = "The minion function caused an exception: ";

fn exception(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let message = bound.text("message").unwrap_or_else(|| "Test Exception".into());
    Err(format!("{BROKE}{message}"))
}

fn raise_exception(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let name = bound.text("name").unwrap_or_default();
    match &bound.rest[..] {
        [] => Err(format!("{BROKE}{name}")),
        [Value::String(only)] => Err(format!("{BROKE}{name}: {only}")),
        many => Err(format!("{BROKE}{name}: {}", python::tuple(many))),
    }
}

fn assertion(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let holds = match bound.value("assertion") {
        Some(Value::Bool(b)) => *b,
        Some(Value::Number(n)) => n.as_f64() != Some(0.0),
        Some(Value::String(s)) => !s.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Null) | None => false,
    };
    if holds { Ok(Value::Null) } else { Err(format!("{BROKE}AssertionError")) }
}
