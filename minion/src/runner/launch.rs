//! The minion's side of a run: start it, wait for it, kill it, forget it.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{errno::Errno, fcntl::OFlag, sys::stat::Mode, unistd::mkfifo};
use relay_core::outcome::{Answer, Outcome};
use tokio::{io::AsyncReadExt, net::unix::pipe, process, task::spawn_blocking, time::sleep};

use super::{
    CommandSpec, Probe, Request, RunHandle, RunToken,
    spec::{CONTROL, Claim, LIFE, SpecFile},
    survey::{self, MARKER},
    verdict::{self, boot_id, lives, open_life},
};

/// Between two looks at a run whose runner is dead while something of it cannot be killed, or whose directory cannot
/// be written. Both end by themselves or by people, and neither tells.
const BETWEEN_PROBES: Duration = Duration::from_secs(1);

/// Starts runners and finds them again. Cheap to clone; one per minion, each with a directory of its own.
#[derive(Debug, Clone)]
pub struct Runner {
    work_dir: PathBuf,
    /// The command line of a runner, up to its directory.
    program: Vec<OsString>,
}

impl Runner {
    /// Runs below `work_dir`, which is made (0700) if it is not there. Runners are this process's own binary:
    /// `minion runner --dir DIR`, which has to call [`super::runner_main`].
    ///
    /// # Errors
    /// The directory cannot be made or found.
    pub fn new(work_dir: &Path) -> io::Result<Runner> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(work_dir)
            .map_err(|e| at(work_dir, "make", e))?;
        let work_dir = work_dir.canonicalize().map_err(|e| at(work_dir, "find", e))?;
        Ok(Runner { work_dir, program: ["/proc/self/exe", "runner", "--dir"].map(OsString::from).into() })
    }

    /// With another command line to start a runner, to which its directory is appended. For tests.
    pub fn with_program(self, program: Vec<OsString>) -> Runner {
        Runner { program, ..self }
    }

    fn dir(&self, token: RunToken) -> PathBuf {
        self.work_dir.join(token.to_string())
    }

    /// Starts a run under a token that the caller has journaled with its intent ([`RunToken::random`]), so that it is
    /// found again whatever happens from here on. Returns when the runner has taken the run over.
    ///
    /// # Errors
    /// It could not be started, and never will be; nothing is left of it. Out of space: `ErrorKind::StorageFull`.
    pub async fn launch(&self, token: RunToken, spec: &CommandSpec) -> io::Result<RunHandle> {
        let dir = self.dir(token);
        match self.try_launch(token, &dir, spec).await {
            Ok(pid) => Ok(RunHandle { token, pid }),
            Err(e) => match spawn_blocking(move || call_off(&dir, token)).await.map_err(io::Error::other)? {
                Some(pid) => Ok(RunHandle { token, pid }),
                None => Err(e),
            },
        }
    }

    async fn try_launch(&self, token: RunToken, dir: &Path, spec: &CommandSpec) -> io::Result<u32> {
        let (path, spec) = (dir.to_path_buf(), SpecFile::new(token, boot_id(), spec.clone()));
        spawn_blocking(move || prepare(&path, &spec)).await.map_err(io::Error::other)??;
        // Held for both directions, so that it is no end of file before the runner has come.
        let mut life = pipe::OpenOptions::new().read_write(true).open_receiver(dir.join(LIFE))?;
        let mut runner = self.command(token, dir).spawn().map_err(|e| at(dir, "start a runner for", e))?;
        let pid = runner.id().unwrap_or(0);
        tokio::select! {
            biased;
            taken = life.read_u8() => drop(taken?),
            ended = runner.wait() => {
                let ended = ended?;
                return Err(io::Error::other(format!("{}: the runner gave up before the start: {ended}", dir.display())));
            }
        }
        // Collected when it ends; by nobody, and harmlessly, if this process ends first.
        tokio::spawn(async move { runner.wait().await.map(drop) });
        Ok(pid)
    }

    fn command(&self, token: RunToken, dir: &Path) -> process::Command {
        let mut command =
            process::Command::new(self.program.first().map_or("/proc/self/exe".as_ref(), |p| p.as_os_str()));
        command.arg0("minion").args(self.program.iter().skip(1)).arg(dir);
        command.env(MARKER, token.to_string()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What a run was told to do, as its directory remembers it.
    ///
    /// # Errors
    /// There is no such run, or its spec cannot be read.
    pub fn spec(&self, token: RunToken) -> io::Result<CommandSpec> {
        SpecFile::read(&self.dir(token)).map(|spec| spec.command)
    }

    /// Waits for the end of a run, and says how it ended: `interrupted` if it left no end and nothing of it lives.
    /// Works for runs that another process started. Dropping the future stops the waiting, not the run.
    pub async fn wait(&self, handle: &RunHandle) -> Answer {
        loop {
            let was_alive = self.until_death(handle.token).await;
            match self.probe(handle.token).await {
                Probe::Ended(answer) => return answer,
                Probe::Gone(reason) => return Answer::bare(Outcome::Interrupted, reason),
                Probe::Running(_) if was_alive => {}
                Probe::Running(_) => sleep(BETWEEN_PROBES).await,
            }
        }
    }

    /// Returns when no runner holds the FIFO; says whether one did. What a living runner writes there is dropped.
    async fn until_death(&self, token: RunToken) -> bool {
        // Not opened by tokio: a FIFO that was opened after its last writer had gone reads as ended, but is never
        // reported as readable, so the first look must be a read.
        let Some(fifo) = open_life(&self.dir(token)) else { return false };
        let Ok(mut life) = pipe::Receiver::from_file(fifo) else { return false };
        let mut bytes = [0; 16];
        while let Ok(1..) = life.read(&mut bytes).await {}
        true
    }

    /// Finds out what became of a run. May take seconds: it kills what a dead runner left behind, and waits for its
    /// death, before it says `Gone`. Not to be asked while [`Runner::launch`] of the same token is under way.
    pub async fn probe(&self, token: RunToken) -> Probe {
        let dir = self.dir(token);
        match spawn_blocking(move || verdict::probe(&dir, token)).await {
            Ok(probe) => probe,
            Err(e) => {
                tracing::error!(run = %token, error = %e, "the look at a run broke; it counts as running");
                Probe::Running(RunHandle { token, pid: 0 })
            }
        }
    }

    /// Asks the runner to kill the command: its answer becomes `cancelled` (`while_running`), unless it ended before.
    /// Says whether a runner was there to be asked; [`Runner::wait`] tells the rest.
    ///
    /// # Errors
    /// The runner could not be asked.
    pub fn kill(&self, handle: &RunHandle) -> io::Result<bool> {
        self.ask(handle.token, Request::Cancel)
    }

    /// Asks a run's living runner for something. Says whether a runner was there to be asked; one that ends in this
    /// moment is not.
    ///
    /// # Errors
    /// The runner could not be asked.
    pub fn ask(&self, token: RunToken, request: Request) -> io::Result<bool> {
        let fifo = self.dir(token).join(CONTROL);
        let nonblocking = OFlag::O_NONBLOCK.bits();
        let opened = OpenOptions::new().write(true).custom_flags(nonblocking).open(&fifo);
        match opened.and_then(|mut control| control.write_all(&[request.byte()])) {
            Ok(()) => Ok(true),
            Err(e) if nobody_reads(&e) => Ok(false),
            Err(e) => Err(at(&fifo, "ask the runner through", e)),
        }
    }

    /// Forgets a run: its return is acknowledged. No error if it is gone already.
    ///
    /// # Errors
    /// Its runner still lives, or the directory cannot be removed.
    pub async fn remove(&self, token: RunToken) -> io::Result<()> {
        let dir = self.dir(token);
        spawn_blocking(move || remove(&dir)).await.map_err(io::Error::other)?
    }

    /// The tokens of all runs that have a directory: to find those that no journal knows.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn tokens(&self) -> io::Result<Vec<RunToken>> {
        let names = fs::read_dir(&self.work_dir).map_err(|e| at(&self.work_dir, "read", e))?;
        Ok(names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }
}

fn prepare(dir: &Path, spec: &SpecFile) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir).map_err(|e| at(dir, "make", e))?;
    spec.write(dir).map_err(|e| at(dir, "write the spec in", e))?;
    for fifo in [LIFE, CONTROL] {
        mkfifo(&dir.join(fifo), Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|e| at(dir, "make a FIFO in", e.into()))?;
    }
    Ok(())
}

/// Rules out the start of a run that could not be launched. If a runner was quicker, its start stands: its id.
fn call_off(dir: &Path, token: RunToken) -> Option<u32> {
    if let Ok(false) = Claim::new(None, 0).make(dir) {
        return Some(Claim::read(dir).ok().and_then(|c| c.runner).unwrap_or(0));
    }
    let _ = fs::remove_dir_all(dir);
    // Where not even the claim could be made (a full disk), a runner that was about to make it is killed.
    survey::sweep(token, None);
    None
}

fn remove(dir: &Path) -> io::Result<()> {
    if lives(dir) {
        return Err(at(dir, "remove", io::Error::from(io::ErrorKind::ResourceBusy)));
    }
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(dir, "remove", e)),
        _ => Ok(()),
    }
}

/// Whether a FIFO has no reader: it was never there or is gone, or it closed its end between the opening and the writing.
fn nobody_reads(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::ENXIO | Errno::EPIPE | Errno::ENOENT))
}

fn at(path: &Path, what: &str, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot {what} {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_that_ends_while_it_is_asked_was_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join(CONTROL);
        let open = || OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&fifo);
        let asked = |control: io::Result<fs::File>| control.and_then(|mut control| control.write_all(b"x"));
        assert!(nobody_reads(&asked(open()).unwrap_err()), "no directory");
        mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        assert!(nobody_reads(&asked(open()).unwrap_err()), "no reader");
        let reader = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let control = open();
        drop(reader);
        assert!(nobody_reads(&asked(control).unwrap_err()), "the reader went between open and write");
        let wrong = OpenOptions::new().write(true).open(dir.path());
        assert!(!nobody_reads(&asked(wrong).unwrap_err()), "another error stays one");
    }
}
