//! Salt's own command names, for those who have them in their fingers and their scripts: `salt`, `salt-run`, `salt-key` and
//! `salt-call` are one program, and the name it is called by decides.
//!
//! A thin translation: command lines are read as Salt reads them ([`options`], [`flags`]) and become calls of the same
//! client that `relayctl` uses; what comes back is printed by `output::salt`, in Salt's shape. What differs from Salt is
//! told in docs/migrating-from-salt.md.
//!
//! In reading order: `options`, `flags`, `auth` (as whom); `printer` (where the text goes), `code` (exit codes); `order` and `target` (what
//! `salt` is asked for), `control` (orders that end other jobs), `ask` (asking for it),
//! `answer`, `teller` and `summary` (what is told of it); `run` (`salt-run`), `key` (`salt-key`), `call`
//! (`salt-call`), `links`.

mod answer;
mod ask;
mod auth;
mod call;
mod code;
mod control;
mod flags;
mod gone;
mod key;
mod links;
mod misread;
mod options;
mod order;
mod printer;
mod run;
mod summary;
mod target;
mod teller;
mod words;

use std::{ffi::OsString, path::Path};

use anyhow::Context as _;
use relay_proto as proto;

use crate::api::CallError;
use auth::fabric;
use code::Code;
use options::Parsed;
use printer::{Printer, complain};

/// The names that this program has.
pub const NAMES: [&str; 4] = ["salt", "salt-run", "salt-key", "salt-call"];

/// Runs one command line; its first word says which command. Returns the exit code of the process.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let name = called(&arguments.next().unwrap_or_default());
    let line: Vec<OsString> = arguments.collect();
    match command(name, line) {
        Ok(code) => code.0,
        Err(error) => {
            complain(&format!("{}{name}: error: {error:#}\n", salts_words(&error)));
            Code::NOT_ACCEPTED.0
        }
    }
}

/// What Salt says where somebody may not, for those who look for it; a line of its own before ours.
fn salts_words(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<CallError>().and_then(CallError::code) {
        Some(proto::Code::Denied | proto::Code::NeedsApproval) => "Authorization error occurred.\n",
        Some(proto::Code::Unauthenticated) => "Authentication error occurred.\n",
        _ => "",
    }
}

/// Which of the names it was called by; `salt` for any other.
fn called(first: &std::ffi::OsStr) -> &'static str {
    let file = Path::new(first).file_name().unwrap_or_default();
    NAMES.into_iter().find(|name| file == *name).unwrap_or(NAMES[0])
}

fn command(name: &'static str, line: Vec<OsString>) -> anyhow::Result<Code> {
    let text = |word: OsString| word.into_string().map_err(|w| anyhow::anyhow!("{w:?} is not UTF-8"));
    let line: Vec<String> = line.into_iter().map(text).collect::<Result<_, _>>()?;
    if let [option, dir] = line.as_slice()
        && option == links::OPTION
    {
        return links::install(Path::new(dir));
    }
    let (table, usage) = match name {
        "salt-run" => (flags::salt_run(), run::USAGE),
        "salt-key" => (flags::salt_key(), key::USAGE),
        "salt-call" => (flags::salt_call(), call::USAGE),
        _ => (flags::salt(), order::USAGE),
    };
    let read = Parsed::read(&line, &table)?;
    if read.has("help") {
        let (options, codes) = (options::help(&table), code::HELP);
        Printer::stdout().print(&format!("Usage: {usage}\n\nOptions:\n{options}\nEXIT CODES:\n{codes}\n"))?;
        return Ok(Code::OK);
    }
    if read.has("version") || read.has("versions-report") {
        Printer::stdout().print(&format!("{name} {} (relay fabric)\n", env!("CARGO_PKG_VERSION")))?;
        return Ok(Code::OK);
    }
    if name == "salt-call" {
        return call::call(&read);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(async {
        match name {
            "salt-run" => run::run(&read).await,
            "salt-key" => key::key(&read).await,
            _ => ask::ask(&read, &line).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        for (first, name) in [
            ("salt", "salt"),
            ("/usr/bin/salt-run", "salt-run"),
            ("./salt-key", "salt-key"),
            ("salt-call", "salt-call"),
            ("anything", "salt"),
            ("", "salt"),
        ] {
            assert_eq!(called(first.as_ref()), name, "{first}");
        }
    }
}
