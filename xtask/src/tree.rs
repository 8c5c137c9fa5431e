//! The repository's own files, and where cargo puts what it builds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Deepest directory looked into: a loop of symbolic links ends there.
const MAX_DEPTH: usize = 16;

/// The repository's root.
pub fn root() -> &'static Path {
    // The manifest of this crate is one below it.
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Every file of the repository whose name has one of these ends, sorted, relative to `root`.
pub fn files(root: &Path, ends: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(root, MAX_DEPTH, &mut |path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ends.iter().any(|end| name.ends_with(end)) {
            found.push(path.strip_prefix(root).unwrap_or(path).to_owned());
        }
    })?;
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, depth: usize, found: &mut dyn FnMut(&Path)) -> anyhow::Result<()> {
    if depth == 0 {
        bail!("{}: nested too deeply", dir.display());
    }
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            // What cargo and git keep, and what editors keep, is not ours.
            let hidden = name.to_string_lossy().starts_with('.');
            if name != "target" && !hidden {
                walk(&path, depth - 1, found)?;
            }
        } else {
            found(&path);
        }
    }
    Ok(())
}

/// Cargo, the one that started this program.
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root());
    cargo
}

/// Where cargo builds.
///
/// # Errors
/// Cargo does not say.
pub fn target_dir() -> anyhow::Result<PathBuf> {
    let told = metadata()?;
    told["target_directory"].as_str().map(PathBuf::from).context("cargo metadata names no target directory")
}

/// The names of the test programs (files in `tests/`) of the packages that `wanted` takes, in order.
///
/// # Errors
/// Cargo does not say.
pub fn test_programs(wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
    let told = metadata()?;
    let packages = told["packages"].as_array().into_iter().flatten();
    let packages = packages.filter(|package| package["name"].as_str().is_some_and(&wanted));
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests =
        targets.filter(|target| target["kind"].as_array().is_some_and(|k| k.iter().any(|k| k == "test")));
    let mut names: Vec<String> = tests.filter_map(|test| Some(test["name"].as_str()?.to_owned())).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn metadata() -> anyhow::Result<Value> {
    let told = cargo().args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).output()?;
    serde_json::from_slice(&told.stdout)
        .with_context(|| format!("cargo metadata: {}", String::from_utf8_lossy(&told.stderr)))
}

/// The command that builds everything for tests. One set of packages in all such builds: with another, cargo unifies
/// features anew, and compiles dependencies and all that needs them again.
pub const BUILD: [&str; 3] = ["build", "--workspace", "--bins"];

/// Builds these programs for release, or everything for tests, and says where the programs are.
///
/// # Errors
/// They do not compile.
pub fn build(packages: &[&str], release: bool) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo();
    if release {
        cargo.args(["build", "--release", "--bins"]);
        cargo.args(packages.iter().flat_map(|name| ["--package", name]));
    } else {
        cargo.args(BUILD);
    }
    // Not on standard output: that is for what the built program prints.
    eprintln!("$ {}", crate::process::typed(&cargo));
    crate::process::run(&mut cargo, crate::process::Group::Own, BUILD_TIME, |line| eprintln!("{line}"))?
        .ok()?;
    Ok(target_dir()?.join(if release { "release" } else { "debug" }))
}

/// A cold release build takes four minutes on two cores; this is for slower machines.
const BUILD_TIME: std::time::Duration = std::time::Duration::from_secs(45 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.md", "docs/b.md", "docs/c.txt", "target/d.md", ".git/e.md"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = files(dir.path(), &[".md"]).unwrap();
        assert_eq!(found, [Path::new("a.md"), Path::new("docs/b.md")]);
    }
}
