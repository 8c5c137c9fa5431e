//! What the machine must have, and installing what it has not.

use std::{process::Command, time::Duration};

use anyhow::{bail, ensure};

use crate::process::{self, Group, is_there, typed};

/// How long the system's package client may take.
const INSTALL_TIME: Duration = Duration::from_secs(10 * 60);

/// A program that is used and that cargo does not build.
struct Need {
    program: &'static str,
    /// Debian's packages that hold it.
    packages: &'static [&'static str],
    why: &'static str,
}

/// All of them. SQLite and the TLS library are compiled from their crates; they need the C compiler and no more.
const NEEDS: &[Need] = &[
    Need { program: "cc", packages: &["gcc", "libc6-dev"], why: "the C of SQLite and aws-lc" },
    Need { program: "uptime", packages: &["procps"], why: "the demo's `cmd.run uptime`" },
];

/// Installs what is missing, or says what a person must install.
///
/// # Errors
/// Something is missing and cannot be installed from here.
pub fn prepare() -> anyhow::Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !is_there(need.program)).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    components()
}

fn install(missing: &[&Need]) -> anyhow::Result<()> {
    let list = |words: Vec<&str>| words.join(" ");
    let packages = list(missing.iter().flat_map(|need| need.packages.iter().copied()).collect());
    let told: String = missing
        .iter()
        .map(|need| format!("\n  {}: not there; needed for {}", need.program, need.why))
        .collect();
    let by_hand = format!("install them and try again (Debian, Ubuntu: apt-get install {packages})");
    if !is_there("apt-get") {
        bail!("programs are missing:{told}\nThis machine has no apt-get: {by_hand}");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("programs are missing:{told}\nOnly root can install packages: {by_hand}");
    }
    println!("missing:{told}");
    let packages: Vec<&str> = packages.split(' ').collect();
    if let Err(error) = apt_install(&packages) {
        bail!("programs are missing:{told}\n{error:#}\n{by_hand}");
    }
    Ok(())
}

/// Installs a package of the system that is good to have.
///
/// # Errors
/// It can't be had, or we may not.
pub fn install_package(package: &str) -> anyhow::Result<()> {
    ensure!(is_there("apt-get"), "{package} is not there, and this machine has no apt-get");
    ensure!(nix::unistd::geteuid().is_root(), "{package} is not there, and only root can install packages");
    apt_install(&[package])
}

fn apt_install(packages: &[&str]) -> anyhow::Result<()> {
    // An old list of packages names files that are gone; a list that cannot be had may still be good enough.
    if apt(&["update", "-q"]).is_err() {
        println!("apt-get update failed; trying with the list that is there");
    }
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], packages].concat())
}

fn apt(args: &[&str]) -> anyhow::Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    println!("$ {}", typed(&apt));
    process::run(&mut apt, Group::Own, INSTALL_TIME, |line| println!("{line}"))?.ok()
}

/// rustfmt and clippy come with the toolchain, or by `rustup`.
fn components() -> anyhow::Result<()> {
    let works = |name: &str| {
        let tried = crate::tree::cargo().args([name, "--version"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .iter()
        .filter(|(c, _)| !works(c))
        .map(|(_, name)| *name)
        .collect();
    if !missing.is_empty() {
        bail!("the toolchain lacks {0}: rustup component add {0}", missing.join(" "));
    }
    Ok(())
}
