//! Finding again what somebody else started in a dead process's place: a person, or a test, that ran `syndic serve
//! --config DIR/…` after killing the first one. It counts as the fabric's, so that it is shown and stopped.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    process::ProcessId,
    record::{Process, Record},
};

/// Replaces dead processes of a record by living ones that serve the same configuration.
pub fn adopt(record: &mut Record) {
    let dead = |p: &&mut Process| !p.id.lives();
    let mut missing: Vec<&mut Process> = record.processes.iter_mut().filter(dead).collect();
    if missing.is_empty() {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for pid in entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()) {
        let Some((program, config)) = serving(pid) else { continue };
        let same = |p: &&mut &mut Process| p.role == program && p.config == config;
        if let (Some(process), Ok(id)) = (missing.iter_mut().find(same), ProcessId::of(pid)) {
            process.id = id;
        }
    }
}

/// The name of a process's program and the configuration it serves, if it is a daemon.
fn serving(pid: u32) -> Option<(String, PathBuf)> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let text = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    let program = text(words.first()?).file_name()?.to_str()?.to_owned();
    let at = words.iter().position(|word| *word == b"--config")?;
    (words.get(1) == Some(&b"serve".as_slice())).then_some(())?;
    let config = text(words.get(at + 1)?);
    let base = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    Some((program, plain(&base.join(config))))
}

/// A path without `.` parts, as [`std::path::absolute`] makes it of the paths in the record.
fn plain(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::contexts::Context;

    #[test]
    fn a_successor_is_found_by_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        // A stand-in for the daemon: a shell that is called as it is, and waits for the end of its input.
        let script = dir.path().join("serve");
        fs::write(&script, "read x").unwrap();
        let start = |config: &str| {
            use std::os::unix::process::CommandExt;
            let mut command = Command::new("/bin/sh");
            command.arg0("syndic").arg("serve").arg("--config").arg(config).current_dir(dir.path());
            command.stdin(Stdio::piped()).spawn().unwrap()
        };
        let (mut own, mut other) = (start("./one.yaml"), start("two.yaml"));
        let mut gone = Command::new("sleep").arg("600").spawn().unwrap();
        let dead = ProcessId::of(gone.id()).unwrap();
        gone.kill().unwrap();
        gone.wait().unwrap();
        let process = |role: &str, config: &str| Process {
            name: config.into(),
            role: role.into(),
            count: None,
            id: dead.clone(),
            admin: String::new(),
            config: dir.path().join(config),
            log: PathBuf::new(),
        };
        let context = Context::of_nobody();
        let mut record = Record::new(context, None, crate::dev::ready::Attached::default());
        record.processes = vec![
            process("syndic", "one.yaml"),
            process("minion", "two.yaml"),
            process("syndic", "three.yaml"),
        ];
        adopt(&mut record);
        let found: Vec<u32> = record.living().map(|p| p.id.pid).collect();
        assert_eq!(found, [own.id()]);
        for child in [&mut own, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
