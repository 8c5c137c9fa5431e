//! Topology files: read with all their problems, told to people and to programs.

use std::{
    fs::File,
    io::{IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use relay_core::{
    document::{Problem, Severity},
    topology::Topology,
};
use relay_runtime::config::{ConfigErrors, MAX_CONFIG_BYTES, load_topology, parse_topology};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    output::{Output, Paint, clean},
};

/// A good topology file, with its text.
#[derive(Debug)]
pub struct TopologyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// What that means.
    pub topology: Topology,
}

/// A file with its text: what is applied is what was checked. Of a bad one, every problem is told and the exit code comes
/// back.
pub fn read(path: &Path, out: &Output) -> anyhow::Result<Result<TopologyFile, Exit>> {
    match whole(path) {
        Ok(file) => Ok(Ok(file)),
        Err(bad) => told(&[bad], out).map(|()| Err(Exit::NotAccepted)),
    }
}

fn whole(path: &Path) -> Result<TopologyFile, ConfigErrors> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_CONFIG_BYTES).read_to_string(&mut text));
    let (Ok(_), Ok(topology)) = (read, parse_topology(&text)) else {
        // Read again by whoever tells problems best; that it is good by now is for the next try.
        let changed = || Problem::anywhere("was changed while it was read", "try again");
        return Err(load_topology(path).err().unwrap_or_else(|| ConfigErrors::new(path, vec![changed()])));
    };
    Ok(TopologyFile { path: path.to_owned(), text, topology })
}

/// A topology from a file; of a bad one, every problem is told and the exit code comes back.
pub fn load(file: &Path, out: &Output) -> anyhow::Result<Result<Topology, Exit>> {
    Ok(read(file, out)?.map(|file| file.topology))
}

/// Several at once: the problems of all are told together.
pub fn all_of<const N: usize>(
    files: [&Path; N],
    out: &Output,
) -> anyhow::Result<Result<[Topology; N], Exit>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        match load_topology(file) {
            Ok(topology) => good.push(topology),
            Err(errors) => bad.push(errors),
        }
    }
    match <[Topology; N]>::try_from(good) {
        Ok(all) => Ok(Ok(all)),
        Err(_) => told(&bad, out).map(|()| Err(Exit::NotAccepted)),
    }
}

/// People read problems on standard error, a line each; programs get them where they would get the answer.
pub fn told(bad: &[ConfigErrors], out: &Output) -> anyhow::Result<()> {
    if !out.is_text() {
        let all: Vec<Value> = bad.iter().flat_map(|bad| problems(&bad.file, &bad.problems)).collect();
        return out.show(&json!({ "good": false, "problems": all }), |_| String::new());
    }
    bad.iter().for_each(|bad| eprintln!("{}", clean(&bad.to_string())));
    let count = match bad.iter().map(ConfigErrors::errors).sum() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    let paint = Paint::for_stream(std::io::stderr().is_terminal());
    eprintln!("{}", paint.red(format!("{count}; nothing was done")));
    Ok(())
}

/// Problems as data.
pub fn problems(file: &Path, problems: &[Problem]) -> Vec<Value> {
    let one = |problem: &Problem| {
        json!({
            "file": file.display().to_string(),
            "line": problem.at.map(|at| at.line),
            "column": problem.at.map(|at| at.column),
            "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "what": problem.what,
            "hint": problem.hint,
        })
    };
    problems.iter().map(one).collect()
}

/// Warnings for people, a line each.
pub fn warnings(file: &Path, topology: &Topology) -> String {
    let file = file.display().to_string();
    topology.warnings.iter().map(|warning| clean(&format!("{}\n", warning.in_file(&file)))).collect()
}
