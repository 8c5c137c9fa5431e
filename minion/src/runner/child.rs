//! Starting the command: as whom, where, in which environment, and tied to the runner's life.

use std::{
    ffi::CString,
    fs::File,
    io::{self, PipeReader, PipeWriter, Seek, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    sys::{
        memfd::{MFdFlags, memfd_create},
        prctl::set_pdeathsig,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        stat::{Mode, umask},
    },
    unistd::{Gid, Pid, Uid, User, getgrouplist, getpid, getppid, setgid, setgroups, setuid},
};

use super::{
    spec::{CommandSpec, RunToken, Shape},
    survey::MARKER,
};

/// Where programs are looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that runs: the leader of its own process group.
pub(super) struct Child {
    pub pid: Pid,
    /// stdout with stderr in it, or stdout and stderr.
    pub outputs: Vec<PipeReader>,
}

/// Starts the command.
///
/// # Errors
/// What to tell the operator: it could not be started.
pub(super) fn spawn(token: RunToken, spec: &CommandSpec) -> Result<Child, String> {
    let user = user(spec)?;
    let cwd = cwd(spec, user.as_ref())?;
    let mut command = command(spec)?;
    set_environment(&mut command, token, spec, user.as_ref());
    let failed = |e: io::Error| failure(spec, &cwd, &e);
    command.current_dir(&cwd).process_group(0).stdin(stdin(spec).map_err(failed)?);
    let umask = spec.umask.map(Mode::from_bits_truncate);
    tie(&mut command, user.as_ref().map(Credentials::of).transpose()?, umask);
    let outputs = connect(&mut command, spec.shape).map_err(failed)?;
    let child = command.spawn().map_err(failed)?;
    Ok(Child { pid: Pid::from_raw(child.id() as i32), outputs })
}

/// Longest command that is repeated in a message about it, in characters.
const MAX_SHOWN: usize = 200;

/// Why it did not start, in Salt's words, with what to do where the kernel's own words do not tell.
fn failure(spec: &CommandSpec, cwd: &Path, e: &io::Error) -> String {
    let program = spec.argv.first().map_or("", String::as_str);
    let by_shell = matches!(&spec.argv[..], [_, flag, line] if flag == "-c" && *line == spec.shown);
    if by_shell && matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) {
        return format!("The shell {program} is not available on this machine: {e}");
    }
    let hint = match e.raw_os_error() == Some(Errno::E2BIG as i32) {
        true => {
            "; a command line has room for 128 KiB per argument and some 2 MiB with the environment: give long data by stdin=..., or put it in a file"
        }
        false => "",
    };
    let shown: String = spec.shown.chars().take(MAX_SHOWN).collect();
    let cut = if shown.len() < spec.shown.len() { "..." } else { "" };
    format!("Unable to run command '{shown}{cut}' in '{}', reason: {e}{hint}", cwd.display())
}

/// What the command reads: nothing, or a file in memory, which needs no writer that could block.
fn stdin(spec: &CommandSpec) -> io::Result<Stdio> {
    let Some(text) = &spec.stdin else { return Ok(Stdio::null()) };
    let mut file = File::from(memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

fn command(spec: &CommandSpec) -> Result<Command, String> {
    let (program, args) = spec.argv.split_first().ok_or("the command is empty")?;
    let mut command = Command::new(program);
    command.args(args);
    Ok(command)
}

/// The user to become; none if it is the one that the minion runs as already.
fn user(spec: &CommandSpec) -> Result<Option<User>, String> {
    let Some(name) = &spec.runas else { return Ok(None) };
    let user =
        User::from_name(name).map_err(|e| format!("runas: user '{name}' could not be looked up: {e}"))?;
    let user = user.ok_or_else(|| format!("runas: user '{name}' is not available on this machine"))?;
    let own = Uid::effective();
    match own.is_root() || own == user.uid {
        true => Ok(Some(user).filter(|u| u.uid != own)),
        false => {
            Err(format!("runas: only a minion that runs as root can become '{name}', this one has uid {own}"))
        }
    }
}

fn cwd(spec: &CommandSpec, user: Option<&User>) -> Result<PathBuf, String> {
    match &spec.cwd {
        Some(dir) if dir.is_absolute() && dir.is_dir() => Ok(dir.clone()),
        Some(dir) => Err(format!("Specified cwd '{}' either not absolute or does not exist", dir.display())),
        None => {
            let home = user.map(|u| u.dir.clone()).or_else(std::env::home_dir);
            Ok(home.filter(|dir| dir.is_absolute() && dir.is_dir()).unwrap_or_else(|| Path::new("/").into()))
        }
    }
}

fn set_environment(command: &mut Command, token: RunToken, spec: &CommandSpec, user: Option<&User>) {
    if spec.clean_env {
        command.env_clear();
    }
    if spec.clean_env || std::env::var_os("PATH").is_none() {
        command.env("PATH", DEFAULT_PATH);
    }
    if let Some(user) = user {
        command
            .env("USER", &user.name)
            .env("LOGNAME", &user.name)
            .env("HOME", &user.dir)
            .env("SHELL", &user.shell);
    }
    // As Salt: outputs do not depend on a machine's language, so that equal answers fold.
    command.env("LC_ALL", "C").envs(&spec.env);
    command.env("RELAY_JID", spec.jid.to_string()).env(MARKER, token.to_string());
}

fn connect(command: &mut Command, shape: Shape) -> io::Result<Vec<PipeReader>> {
    let (out, out_end): (PipeReader, PipeWriter) = io::pipe()?;
    match shape {
        Shape::Text | Shape::Retcode => {
            command.stderr(out_end.try_clone()?).stdout(out_end);
            Ok(vec![out])
        }
        Shape::Map | Shape::Stdout | Shape::Stderr => {
            let (err, err_end) = io::pipe()?;
            command.stdout(out_end).stderr(err_end);
            Ok(vec![out, err])
        }
    }
}

/// Who the command runs as, looked up before the fork.
struct Credentials {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Credentials {
    fn of(user: &User) -> Result<Credentials, String> {
        let name = CString::new(user.name.as_str()).map_err(|e| format!("runas: {e}"))?;
        let groups =
            getgrouplist(&name, user.gid).map_err(|e| format!("runas: groups of '{}': {e}", user.name))?;
        Ok(Credentials { uid: user.uid, gid: user.gid, groups })
    }

    fn assume(&self) -> io::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.gid)?;
        Ok(setuid(self.uid)?)
    }
}

/// Ties the command to this process: it is killed when the runner dies, however that happens.
fn tie(command: &mut Command, credentials: Option<Credentials>, mask: Option<Mode>) {
    let runner = getpid();
    let before_exec = move || {
        if let Some(credentials) = &credentials {
            credentials.assume()?;
        }
        if let Some(mask) = mask {
            umask(mask);
        }
        // After the change of user, which clears it.
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != runner {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH)); // the runner died before the tie was made
        }
        // The runner reads its signals from a descriptor, with them blocked; a mask survives exec.
        Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
    };
    // SAFETY: between fork and exec only async-signal-safe functions may run, since another thread may have held any
    // lock when the fork happened. The closure makes system calls only (setgroups, setgid, setuid, umask, prctl,
    // getppid, sigprocmask), on values that were looked up before; it neither allocates nor frees nor takes a lock, and its
    // errors are bare error numbers. glibc's set*id reach other threads by signals, and a forked child has none.
    unsafe { command.pre_exec(before_exec) };
}
