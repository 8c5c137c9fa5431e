//! Names of crates and modules: a word that says nothing of what is inside is not one.

use std::path::{Component, Path, PathBuf};

use crate::{documents, tally::Tally, tree};

/// Not used as a part of a name (docs/glossary.md has the words that are).
const FORBIDDEN: [&str; 10] =
    ["agent", "node", "worker", "slave", "controller", "manager", "helper", "util", "common", "imp"];

/// Checks every source file's path.
///
/// # Errors
/// How many names there were.
pub fn check() -> anyhow::Result<Tally> {
    let files = tree::files(tree::root(), &[".rs", ".proto", "Cargo.toml"])?;
    documents::told(&problems(&files))
}

fn problems(files: &[PathBuf]) -> Vec<String> {
    let named = |file: &PathBuf| {
        let word = words(file).find_map(|word| FORBIDDEN.into_iter().find(|bad| is(&word, bad)))?;
        Some(format!(
            "{}: \"{word}\" says nothing of what is in it; docs/glossary.md has better words",
            file.display()
        ))
    };
    files.iter().filter_map(named).collect()
}

/// The words of a path: `relay-core/src/target/lexer.rs` is relay, core, src, target, lexer, rs.
fn words(path: &Path) -> impl Iterator<Item = String> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    parts.flat_map(|part| part.split(['-', '_', '.']).map(str::to_lowercase).collect::<Vec<_>>())
}

fn is(word: &str, bad: &str) -> bool {
    word.strip_prefix(bad).is_some_and(|rest| rest.is_empty() || rest == "s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_found_and_parts_of_words_are_not() {
        let files = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let good = files(&["minion/src/functions/saltutil.rs", "a/src/important.rs", "a/src/simple.rs"]);
        assert_eq!(problems(&good), Vec::<String>::new());
        let bad = files(&["a/src/test_utils.rs", "relay-common/Cargo.toml", "a/worker/mod.rs"]);
        assert_eq!(problems(&bad).len(), bad.len());
    }
}
