//! `salt-call`: a function on this machine, without any master.
//!
//! The `minion` program runs it (`minion call`), from beside this one or from the path; this translates the command line
//! and the answer.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, anyhow, bail};
use relay_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::marked,
    code::Code,
    flags,
    options::Parsed,
    order,
    printer::{Form, Printer, complain},
};
use crate::output::salt::Kind;

/// How it is written.
pub const USAGE: &str = "salt-call [options] <function> [arguments]";

/// Where a minion's configuration lies on a machine that has one (deploy/).
const MINION_CONFIG: &str = "/etc/relay/minion.yaml";

/// The key of the answer, as in Salt.
const KEY: &str = "local";

/// What `minion call` prints.
#[derive(Debug, Deserialize)]
struct Answer {
    outcome: String,
    #[serde(default)]
    retcode: i32,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    r#return: Value,
}

/// What is called.
#[derive(Debug, PartialEq)]
struct Call {
    function: String,
    args: String,
    config: Option<String>,
    id: Option<String>,
}

impl Call {
    fn read(read: &Parsed) -> anyhow::Result<Call> {
        // What prints all of an answer is `metadata` here, and there is nothing to return it to anyway.
        if let Some(why) = flags::refused(read, &["metadata"]) {
            bail!(why);
        }
        let mut words = read.words.clone();
        if read.has("doc") {
            words.insert(0, "sys.doc".into());
        } else if read.has("grains") && words.is_empty() {
            words.push("grains.items".into());
        }
        let Some((function, rest)) = words.split_first() else { bail!("a function is needed: {USAGE}") };
        let args = String::from_utf8(order::arguments(rest, read.value("no-parse")).to_json())?;
        Ok(Call {
            function: function.clone(),
            args,
            config: config(read),
            id: read.value("id").map(str::to_owned),
        })
    }

    fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["call".into()];
        if let Some(config) = &self.config {
            words.extend(["--config".into(), config.into()]);
        }
        if let Some(id) = &self.id {
            words.extend(["--id".into(), id.into()]);
        }
        words.extend(["--json-args".into(), self.args.clone().into(), self.function.clone().into()]);
        words
    }
}

/// The configuration that gives id and grains: the one that is named, or this machine's own, if it may be read.
fn config(read: &Parsed) -> Option<String> {
    let own = || std::fs::File::open(MINION_CONFIG).is_ok().then(|| MINION_CONFIG.to_owned());
    read.value("minion-config").map(str::to_owned).or_else(own)
}

/// Runs it.
pub fn call(read: &Parsed) -> anyhow::Result<Code> {
    let call = Call::read(read)?;
    let form = Form::of(read, Kind::Nested)?;
    let answer = run(&call)?;
    if !read.has("local") {
        complain(
            "salt-call: ran on this machine alone; nothing was sent to a top master (--local: do not say so)\n",
        );
    }
    if answer.truncated {
        complain("WARNING: what the function returned is cut off: it is too long\n");
    }
    let (text, code) = told(&call, &answer, read, &form)?;
    Printer::of(read)?.print(&text)?;
    Ok(code)
}

fn run(call: &Call) -> anyhow::Result<Answer> {
    let program = minion();
    let ran =
        Command::new(&program).args(call.words()).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output();
    let place = || {
        format!(
            "cannot run {}; the minion's program is needed beside this one or on the path",
            program.display()
        )
    };
    let output = ran.with_context(place)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let line =
        last.ok_or_else(|| anyhow!("{} call gave no answer ({})", program.display(), output.status))?;
    serde_json::from_str(line)
        .with_context(|| format!("{} call answered what is not understood: {line}", program.display()))
}

/// The program beside this one, or else the one on the path.
fn minion() -> PathBuf {
    let own = std::env::current_exe().and_then(|file| file.canonicalize()).ok();
    let beside = own.and_then(|file| Some(file.parent()?.join("minion"))).filter(|file| file.is_file());
    beside.unwrap_or_else(|| "minion".into())
}

fn told(call: &Call, answer: &Answer, read: &Parsed, form: &Form) -> anyhow::Result<(String, Code)> {
    let outcome = Outcome::from_word(&answer.outcome)
        .ok_or_else(|| anyhow!("the minion says the outcome {:?}: it has another version", answer.outcome))?;
    let ok = outcome == Outcome::Ok;
    let retcode = if ok { 0 } else { answer.retcode.max(1) };
    let value = match (&answer.r#return, outcome) {
        (Value::Null, Outcome::Ok | Outcome::Failed) => Value::Null,
        (Value::Null, other) => format!("[{}]", other.word()).into(),
        (value, _) => value.clone(),
    };
    let value = if answer.truncated { marked(value, 0) } else { value };
    let shown = match read.has("metadata") {
        true => {
            json!({ "fun": call.function, "outcome": outcome.word(), "retcode": retcode, "return": value })
        }
        false => value,
    };
    let text = match (&shown, read.has("doc") && !read.has("out")) {
        (Value::Object(docs), true) => {
            docs.iter().map(|(f, doc)| format!("{f}:\n\n{}\n\n", plain(doc))).collect()
        }
        _ => form.text(&json!({ KEY: shown }), !ok),
    };
    let code = match (ok, read.has("retcode-passthrough")) {
        (true, _) => Code::OK,
        (false, true) => Code(u8::try_from(retcode).unwrap_or(u8::MAX)),
        (false, false) => Code::ERRORS,
    };
    Ok((text, code))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Parsed {
        Parsed::read(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), &flags::salt_call()).unwrap()
    }

    fn shown(words: &[&str], answer: Value) -> (String, u8) {
        let read = read(words);
        let call = Call::read(&read).unwrap();
        let form = Form::of(&read, Kind::Nested).unwrap();
        let (text, code) = told(&call, &serde_json::from_value(answer).unwrap(), &read, &form).unwrap();
        (text, code.0)
    }

    #[test]
    fn the_minions_command_line() {
        let call =
            Call::read(&read(&["--local", "-l", "debug", "test.arg", "1", "a=b", "--minion-config=m.yaml"]))
                .unwrap();
        let words: Vec<String> = call.words().into_iter().map(|w| w.into_string().unwrap()).collect();
        let expected =
            ["call", "--config", "m.yaml", "--json-args", r#"{"args":[1],"kwargs":{"a":"b"}}"#, "test.arg"];
        assert_eq!(words, expected);
        assert_eq!(Call::read(&read(&["-g"])).unwrap().function, "grains.items");
        assert_eq!(
            Call::read(&read(&["-d", "cmd.run"])).unwrap().args,
            r#"{"args":["cmd.run"],"kwargs":{}}"#
        );
        assert!(Call::read(&read(&["--local"])).is_err());
        assert!(Call::read(&read(&["--master", "x", "test.ping"])).is_err());
    }

    #[test]
    fn answers_are_below_local() {
        let ok = json!({"outcome": "ok", "retcode": 0, "return": true});
        assert_eq!(shown(&["--local", "test.ping"], ok.clone()), ("local:\n    True\n".into(), 0));
        assert_eq!(shown(&["test.ping", "--out=json", "--out-indent=-1"], ok).0, "{\"local\": true}\n");
        let failed = json!({"outcome": "failed", "retcode": 7, "return": "no"});
        assert_eq!(shown(&["cmd.run", "x"], failed.clone()), ("local:\n    no\n".into(), 1));
        assert_eq!(shown(&["--retcode-passthrough", "cmd.run", "x"], failed.clone()).1, 7);
        let all = shown(&["--metadata", "cmd.run", "x"], failed).0;
        assert!(all.contains("    outcome:\n        failed\n    retcode:\n        7\n"), "{all}");
        let cut = json!({"outcome": "ok", "truncated": true, "return": null});
        let mark = "local:\n    [cut off: the value is too long to be kept]\n";
        assert_eq!(shown(&["cmd.run", "x"], cut), (mark.into(), 0));
        assert_eq!(shown(&["f.g"], json!({"outcome": "timed_out"})), ("local:\n    [timed_out]\n".into(), 1));
    }
}
