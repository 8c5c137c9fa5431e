//! `relayctl` as an operator runs it, with a context of its own.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use fabric_tests::{
    Fabric, TOP,
    pki::{FABRIC, who},
    process::{MARK, binary},
};
use relay_core::identity::Role;
use relay_runtime::config::TlsConfig;

/// Somebody with a context.
pub struct Console {
    dir: PathBuf,
    mark: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it said, to standard output and then to standard error.
    pub said: String,
}

impl Console {
    /// An operator of a fabric.
    ///
    /// # Panics
    /// Its files cannot be written.
    pub fn of(fabric: &Fabric, name: &str) -> Console {
        Console::with(fabric, name, &fabric.pki().issue("tester", Role::Operator, "core"))
    }

    /// Somebody with these files.
    ///
    /// # Panics
    /// As [`Console::of`].
    pub fn with(fabric: &Fabric, name: &str, tls: &TlsConfig) -> Console {
        Console::showing(fabric, name, &format!("  cert: {:?}\n  key: {:?}\n", tls.cert, tls.key))
    }

    /// Somebody who has no certificate, and has to log in.
    ///
    /// # Panics
    /// As [`Console::of`].
    pub fn without_certificate(fabric: &Fabric, name: &str) -> Console {
        Console::showing(fabric, name, "")
    }

    fn showing(fabric: &Fabric, name: &str, own: &str) -> Console {
        let dir = fabric.dir().join(name);
        fs::create_dir(&dir).expect("a directory of its own");
        let context = format!(
            "version: 1\ncurrent: test\ncontexts:\n- name: test\n  fabric: {FABRIC}\n  addresses:\n  - address: {:?}\n    \
             server_name: {:?}\n  ca: {:?}\n{own}",
            fabric.operator().address(),
            who(TOP, Role::TopMaster, "core").to_dns(),
            fabric.pki().root(),
        );
        fs::write(dir.join("contexts.yaml"), context).expect("a context");
        Console { dir, mark: fabric.dir().to_owned() }
    }

    /// A command that is not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("relayctl"));
        command.args(arguments).env("HOME", &self.dir).env("RELAY_CONFIG", self.dir.join("contexts.yaml"));
        command.env(MARK, &self.mark).env_remove("RELAY_CONTEXT").env_remove("RELAY_LOG");
        for variable in ["XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("relayctl");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), said }
    }

    /// Runs a command to its end that is told a text on its standard input; `looked` is done before it is told.
    ///
    /// # Panics
    /// It cannot be started, or does not read.
    pub fn run_told(&self, arguments: &[&str], text: &str, looked: impl FnOnce()) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("relayctl");
        looked();
        let mut stdin = child.stdin.take().expect("its standard input");
        stdin.write_all(format!("{text}\n").as_bytes()).expect("somebody who reads");
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), said }
    }

    /// Its home directory.
    pub fn home(&self) -> &Path {
        &self.dir
    }
}
