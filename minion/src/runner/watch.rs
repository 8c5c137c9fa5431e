//! Watching a command: its output, its exit, its limits, and who asks for its end.

use std::{
    fs::File,
    io::{self, PipeReader, Read},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, killpg},
        signalfd::{SfdFlags, SignalFd},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use super::{capture::Capture, child::Child, spec::Request, survey};

/// From SIGTERM to SIGKILL: what a command has to put its things in order.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// After the command's exit: how long its output may be quiet while something in the background still holds it open.
const DRAIN_QUIET: Duration = Duration::from_millis(200);
/// After the command's exit: how long its background may go on writing into the answer.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at a process group that was killed: at first, and at most.
const DEATH_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Longest sleep in `poll`. Everything awaited has a descriptor; this bounds the harm of a lost wake-up.
const LONGEST_POLL: Duration = Duration::from_secs(60);
/// What is read at once, in bytes: a pipe holds as much.
const CHUNK: usize = 64 << 10;
/// Chunks taken from one stream before the others, the limits and the signals are looked at again.
const CHUNKS_PER_TURN: usize = 16;

/// Why the watch over a running command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It ended by itself.
    Exited,
    /// Its own `timeout` passed.
    Timeout,
    /// The job's run limit passed.
    RunLimit,
    /// The minion asked to kill it.
    Cancelled,
    /// Somebody else (a shutdown, mostly) ended the runner by SIGTERM.
    Terminated,
}

struct Stream {
    pipe: Option<PipeReader>,
    capture: Capture,
}

/// Everything that a runner looks at.
pub(super) struct Watch {
    signals: SignalFd,
    control: File,
    streams: Vec<Stream>,
    chunk: Vec<u8>,
    child: Option<Pid>,
    status: Option<i32>,
    cancelled: bool,
    terminated: bool,
    /// When output last came.
    heard: Instant,
}

impl Watch {
    /// Starts to listen: from here on SIGTERM does not kill this process, but is read.
    pub fn new(control: File) -> io::Result<Watch> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Watch {
            signals,
            control,
            streams: Vec::new(),
            chunk: vec![0; CHUNK],
            child: None,
            status: None,
            cancelled: false,
            terminated: false,
            heard: Instant::now(),
        })
    }

    /// Takes a command into view.
    pub fn attach(&mut self, child: Child) -> io::Result<()> {
        self.child = Some(child.pid);
        for pipe in child.outputs {
            fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            self.streams.push(Stream { pipe: Some(pipe), capture: Capture::default() });
        }
        Ok(())
    }

    /// The exit code; -N if signal N ended it.
    pub fn status(&self) -> Option<i32> {
        self.status
    }

    /// What was written, per stream.
    pub fn into_captures(self) -> Vec<Capture> {
        self.streams.into_iter().map(|s| s.capture).collect()
    }

    /// Watches until the command exits or must be stopped.
    pub fn until_ending(
        &mut self,
        began: Instant,
        timeout: Option<Duration>,
        limit: Duration,
    ) -> io::Result<Ending> {
        loop {
            let spent = began.elapsed();
            let left = timeout.unwrap_or(limit).min(limit).saturating_sub(spent);
            if self.status.is_some() {
                return Ok(Ending::Exited);
            } else if self.cancelled {
                return Ok(Ending::Cancelled);
            } else if self.terminated {
                return Ok(Ending::Terminated);
            } else if limit <= spent {
                return Ok(Ending::RunLimit);
            } else if left.is_zero() {
                return Ok(Ending::Timeout);
            }
            self.turn(left)?;
        }
    }

    /// Takes the rest of the output of a command that has exited. Its background is not waited for: as long as it
    /// writes, its output is taken for a while; when it is quiet, it is left alone.
    pub fn drain(&mut self) -> io::Result<()> {
        let began = Instant::now();
        self.heard = began;
        while self.streams.iter().any(|s| s.pipe.is_some()) {
            let quiet = DRAIN_QUIET.saturating_sub(self.heard.elapsed());
            let left = DRAIN_LIMIT.saturating_sub(began.elapsed()).min(quiet);
            if left.is_zero() {
                break;
            }
            self.turn(left)?;
        }
        Ok(())
    }

    /// Kills the whole process group, and returns only when all of it was seen dead. That has no limit: to say that
    /// something is over which is not would be worse than silence, which the owner of the job can tell.
    pub fn stop(&mut self) -> io::Result<()> {
        // Its leader is not collected before this process ends, so the group's number cannot be given away.
        let Some(group) = self.child else { return Ok(()) };
        let _ = killpg(group, Signal::SIGTERM);
        let began = Instant::now();
        let (mut pause, longest) = DEATH_PAUSES;
        while survey::group_lives(group) {
            if began.elapsed() >= TERM_GRACE {
                let _ = killpg(group, Signal::SIGKILL);
                pause = (pause * 2).min(longest);
            }
            self.turn(pause)?;
        }
        // What the dead have written is still in the pipes.
        self.turn(Duration::ZERO)
    }

    /// Waits for anything to happen, and takes it.
    fn turn(&mut self, at_most: Duration) -> io::Result<()> {
        self.wait(at_most)?;
        while let Some(signal) = self.signals.read_signal()? {
            self.terminated |= signal.ssi_signo == Signal::SIGTERM as u32;
        }
        self.take_requests();
        for i in 0..self.streams.len() {
            self.read(i);
        }
        self.look_for_exit()
    }

    /// Reads what the minion asked for. A signal goes to the whole process group, as the kill at a limit does; its
    /// number cannot be another group's, since the leader is not collected before this process ends.
    fn take_requests(&mut self) {
        let mut bytes = [0; 16];
        while let Ok(n @ 1..) = self.control.read(&mut bytes) {
            for byte in &bytes[..n] {
                match (Request::of(*byte), self.child) {
                    (Request::Cancel, _) => self.cancelled = true,
                    (Request::Signal(signal), Some(group)) => {
                        let _ = killpg(group, signal);
                    }
                    (Request::Signal(_), None) => {}
                }
            }
        }
    }

    fn wait(&self, at_most: Duration) -> io::Result<()> {
        let pipes = self.streams.iter().filter_map(|s| s.pipe.as_ref().map(AsFd::as_fd));
        let all = [self.signals.as_fd(), self.control.as_fd()].into_iter().chain(pipes);
        let mut fds: Vec<PollFd> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // One millisecond more: `poll` counts in whole ones, and waking early would spin.
        let millis = at_most.min(LONGEST_POLL).as_millis() as u16 + u16::from(!at_most.is_zero());
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn read(&mut self, i: usize) {
        let stream = &mut self.streams[i];
        for _ in 0..CHUNKS_PER_TURN {
            let Some(pipe) = &mut stream.pipe else { return };
            match pipe.read(&mut self.chunk) {
                Ok(0) => stream.pipe = None,
                Ok(n) => {
                    stream.capture.take(&self.chunk[..n]);
                    self.heard = Instant::now();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => stream.pipe = None,
            }
        }
    }

    /// Looks without collecting: the dead leader keeps the group's number taken until this process is gone.
    fn look_for_exit(&mut self) -> io::Result<()> {
        let (Some(child), None) = (self.child, self.status) else { return Ok(()) };
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.status = match waitid(Id::Pid(child), flags)? {
            WaitStatus::Exited(_, code) => Some(code),
            WaitStatus::Signaled(_, signal, _) => Some(-(signal as i32)),
            _ => None,
        };
        Ok(())
    }
}
