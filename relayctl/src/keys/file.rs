//! A file of ids with their fingerprints, as "relayctl keys finger" prints it: one of each on a line, `#` begins a comment.

use std::path::Path;

use anyhow::{Context as _, bail};
use relay_core::enrol::Fingerprint;

/// Most lines: as many newcomers as may wait.
const MAX_LINES: usize = 10_000;

/// Reads one. Every line that is wrong is told.
///
/// # Errors
/// It can't be read, or a line of it is wrong.
pub fn read(path: &Path) -> anyhow::Result<Vec<(String, Fingerprint)>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    parse(&text, &path.display().to_string())
}

pub fn parse(text: &str, name: &str) -> anyhow::Result<Vec<(String, Fingerprint)>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (no, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [id, print] => match print.parse() {
                Ok(print) if !found.iter().any(|(known, _)| known == id) => {
                    found.push((id.to_owned(), print))
                }
                Ok(_) => wrong.push(format!("{name}:{}: {id} stands here a second time", no + 1)),
                Err(error) => wrong.push(format!("{name}:{}: {error}", no + 1)),
            },
            _ => wrong.push(format!("{name}:{}: write an id and its fingerprint, nothing else", no + 1)),
        }
        if found.len() > MAX_LINES {
            bail!("{name}: has more than {MAX_LINES} lines: split it");
        }
    }
    if !wrong.is_empty() {
        bail!(wrong.join("\n"));
    }
    if found.is_empty() {
        bail!("{name}: there is nobody in it");
    }
    Ok(found)
}
