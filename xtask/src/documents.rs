//! The documents: links lead somewhere, files that are named exist, alerts ask for metrics that exist, and no file
//! carries a licence header.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{tally::Tally, tree};

/// The list of metric names, and who uses them.
const METRICS: &str = "relay-runtime/src/telemetry/names.rs";
const ALERTS: &str = "deploy/monitoring/alerts.yaml";
/// Words of licence headers, in two pieces so that this file does not contain them.
const HEADERS: [[&str; 2]; 3] = [["SPDX-", "License"], ["Copy", "right ("], ["Licensed", " under"]];
/// A header stands in the first lines.
const HEADER_LINES: usize = 12;

/// Checks them all; every problem is told.
///
/// # Errors
/// How many problems there were.
pub fn check() -> anyhow::Result<Tally> {
    let root = tree::root();
    let mut problems = Vec::new();
    for file in tree::files(root, &[".md"])? {
        problems.extend(document(root, &file)?);
    }
    problems.extend(metrics(&read(root, METRICS)?, &read(root, ALERTS)?));
    for file in tree::files(root, &[".rs", ".proto", ".sql", ".toml", ".yaml", ".service"])? {
        problems.extend(header(&file, &read(root, &file)?));
    }
    told(&problems)
}

/// Prints problems, and makes them an error.
pub fn told(problems: &[String]) -> anyhow::Result<Tally> {
    for problem in problems {
        println!("{problem}");
    }
    if problems.is_empty() { Ok(Tally::PASSED) } else { bail!("{} problems, see above", problems.len()) }
}

fn read(root: &Path, file: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = root.join(file);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// One document's broken links and names of files that are not there.
fn document(root: &Path, file: &Path) -> anyhow::Result<Vec<String>> {
    let text = read(root, file)?;
    let dir = file.parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let mut problem = |what: String| problems.push(format!("{}:{}: {what}", file.display(), number + 1));
        for link in links(line).filter(|link| !is_there(root, &normal(&dir.join(link)))) {
            problem(format!("the link to {link} leads nowhere"));
        }
        for name in code(line).filter(|name| is_path(root, name) && !is_there(root, Path::new(name))) {
            problem(format!("there is no {name}"));
        }
    }
    Ok(problems)
}

/// The targets of a line's links that are files.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let files = targets.filter(|to| !to.contains("://") && !to.starts_with("mailto:"));
    files.filter_map(|to| to.split('#').next()).filter(|path| !path.is_empty())
}

/// What stands between backticks.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Looks like a file of this repository: below one of its directories, and with an ending.
fn is_path(root: &Path, word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    // A path from the root is of the operator's machine.
    let ours = |first: &str| !["", "target"].contains(&first) && root.join(first).is_dir();
    let inside = word.split_once('/').is_some_and(|(first, _)| ours(first));
    plain && inside && !first_is_dot(word) && Path::new(word).extension().is_some()
}

fn first_is_dot(word: &str) -> bool {
    word.starts_with("./") || word.starts_with("../")
}

fn is_there(root: &Path, path: &Path) -> bool {
    root.join(path).exists()
}

/// Resolves `..` by words: the path need not exist.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut out, part| {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
        out
    })
}

/// Metrics that alerts ask for and no process has.
fn metrics(names: &str, alerts: &str) -> Vec<String> {
    let known: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    let mut problems = Vec::new();
    for (number, line) in alerts.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("relay_")) {
            // What Prometheus makes of one histogram.
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            if !known.contains(&word) && !known.contains(&base) {
                problems.push(format!("{ALERTS}:{}: there is no metric {word}, see {METRICS}", number + 1));
            }
        }
    }
    problems
}

fn header(file: &Path, text: &str) -> Option<String> {
    let mut first = text.lines().take(HEADER_LINES);
    let found = first.any(|line| HEADERS.iter().any(|words| line.contains(&words.concat())));
    found.then(|| format!("{}: has a licence header; the licence stands in Cargo.toml", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_links_and_missing_files_are_told_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("docs/adr")).unwrap();
        fs::create_dir_all(dir.path().join("core")).unwrap();
        fs::write(dir.path().join("core/there.rs"), "").unwrap();
        let text = "[ok](../core/there.rs#L1) [web](https://example.org/x.md) [here](#a)\n\
                    `core/there.rs`, `core/gone.rs`, `other/x.rs`, `/core/x.rs`, `core::there`\n\
                    ```\n[not read](gone.md)\n```\n\
                    [bad](gone.md) [worse](../../docs/none.md)\n";
        fs::write(dir.path().join("docs/a.md"), text).unwrap();
        let problems = document(dir.path(), Path::new("docs/a.md")).unwrap();
        let expected = [
            "docs/a.md:2: there is no core/gone.rs",
            "docs/a.md:6: the link to gone.md leads nowhere",
            "docs/a.md:6: the link to ../../docs/none.md leads nowhere",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn alerts_may_ask_for_known_metrics_only() {
        let names = r#"pub const A: &str = "relay_a"; pub const B: &str = "relay_b_seconds";"#;
        let alerts = "expr: rate(relay_b_seconds_bucket[5m]) > relay_a\n# relay_old\nexpr: relay_c > 0";
        let problems = metrics(names, alerts);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("deploy/monitoring/alerts.yaml:3: there is no metric relay_c"));
    }

    #[test]
    fn a_licence_header_is_found_where_headers_stand() {
        let text = format!("// {}-Identifier: MIT\n", HEADERS[0].concat());
        assert!(header(Path::new("a.rs"), &text).is_some());
        assert!(header(Path::new("a.rs"), "//! Copies a file.\n").is_none());
    }
}
