//! Licences, bans and sources of every dependency, by cargo-deny; which is installed once, beside what cargo builds.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    process::{self, Group, typed},
    tally::Tally,
    tree,
};

/// The version whose deny.toml format ours is.
const VERSION: &str = "0.20.2";
/// Compiling it takes two minutes on two cores.
const INSTALL_TIME: Duration = Duration::from_secs(20 * 60);
/// The check itself takes seconds.
const CHECK_TIME: Duration = Duration::from_secs(5 * 60);

/// Checks. Advisories are left out: their database lies in a git repository, and tests ask package registries only.
///
/// # Errors
/// Something is not allowed, or cargo-deny cannot be had.
pub fn check() -> anyhow::Result<Tally> {
    let program = program()?;
    let mut deny = Command::new(program);
    deny.current_dir(tree::root()).args(["--all-features", "check", "licenses", "bans", "sources"]);
    println!("$ {}", typed(&deny));
    process::run(&mut deny, Group::Own, CHECK_TIME, |line| println!("{line}"))?.ok()?;
    println!(
        "NOT CHECKED: security advisories. Their database is no package and is not fetched here. Where the network \
         allows it: cargo deny check advisories"
    );
    let mut tally = Tally::PASSED;
    tally += Tally::SKIPPED;
    Ok(tally)
}

/// The one on the path if it is the right one, else our own, installed if need be.
fn program() -> anyhow::Result<PathBuf> {
    let tools = tree::target_dir()?.join("tools");
    let own = tools.join("bin/cargo-deny");
    if let Some(found) = [Path::new("cargo-deny"), &own].into_iter().find(|program| is_ours(program)) {
        return Ok(found.to_owned());
    }
    let mut cargo = tree::cargo();
    cargo.args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"]).arg(&tools);
    println!("$ {}    # once, two minutes", typed(&cargo));
    process::run(&mut cargo, Group::Own, INSTALL_TIME, |line| println!("{line}"))?.ok()?;
    Ok(own)
}

fn is_ours(program: &Path) -> bool {
    let told = Command::new(program).arg("--version").output();
    told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).trim() == format!("cargo-deny {VERSION}"))
}
