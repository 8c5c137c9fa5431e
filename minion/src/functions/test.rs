//! `test.*`: functions that show what reaches a minion, and how failures look.

use relay_core::outcome::Answer;
use serde_json::{Value, json};

use super::{
    BuiltinFuture, Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, may, must},
    body,
};

pub(super) const PING: Function = Function {
    name: "test.ping",
    usage: "test.ping",
    doc: "Return true: the minion is there and answers. Sends no ICMP.\n\nrelayctl run '*' test.ping",
    parameters: NOTHING,
    start: Start::Value(ping),
};

pub(super) const ECHO: Function = Function {
    name: "test.echo",
    usage: "test.echo TEXT",
    doc: "Return the argument.\n\nrelayctl run '*' test.echo 'hello'",
    parameters: Parameters { placed: &[must("text", Kind::Any)], ..NOTHING },
    start: Start::Value(echo),
};

pub(super) const ARG: Function = Function {
    name: "test.arg",
    usage: "test.arg [ARG...] [NAME=VALUE...]",
    doc: "Return all arguments as they arrived: {\"args\": [...], \"kwargs\": {...}}.\n\n\
          relayctl run '*' test.arg 1 two three=3",
    parameters: Parameters { rest: Some(Kind::Any), any_name: true, ..NOTHING },
    start: Start::Value(arg),
};

pub(super) const SLEEP: Function = Function {
    name: "test.sleep",
    usage: "test.sleep LENGTH",
    doc: "Wait for LENGTH seconds, then return true.\n\nrelayctl run '*' test.sleep 20",
    parameters: Parameters { placed: &[must("length", Kind::Seconds)], ..NOTHING },
    start: Start::Future(sleep),
};

pub(super) const EXCEPTION: Function = Function {
    name: "test.exception",
    usage: "test.exception [MESSAGE]",
    doc: "Fail with a message, as a function that breaks would.\n\nrelayctl run '*' test.exception 'Oh noes!'",
    parameters: Parameters { placed: &[may("message", Kind::Text)], ..NOTHING },
    start: Start::Value(exception),
};

fn ping(_: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(Value::Bool(true))
}

fn echo(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(bound.value("text").cloned().unwrap_or_default())
}

fn arg(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(json!({"args": bound.rest, "kwargs": bound.more}))
}

fn sleep(bound: &Bound) -> Result<BuiltinFuture, String> {
    let length = bound.seconds("length").unwrap_or_default();
    Ok(Box::pin(async move {
        tokio::time::sleep(length).await;
        slept()
    }))
}

fn slept() -> Answer {
    body::ok(&Value::Bool(true))
}

fn exception(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let message = bound.text("message").unwrap_or_else(|| "Test Exception".into());
    Err(format!("The minion function caused an exception: {message}"))
}
