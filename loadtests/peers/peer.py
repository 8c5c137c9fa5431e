"""What every peer's script stands on: an environment of its own, processes that end with it, and the lines it speaks.

A script is started by `loadtests peers`, or by a person with `--rounds`. It says one line for each thing that it has to
say, on standard output:

    absent REASON     it cannot be here; nothing was measured, and nothing is a zero
    note TEXT         what one has to know to read the figures
    ready             everything stands and has answered once; now it reads one word a line and carries it out
    took MS COUNT     the word is done: so many milliseconds, and so many answers
    failed REASON     it is not; the script has ended

What it starts is in one process group, and a keeper (a fork of this process in that group) ends the group and removes the
directory as soon as this process is gone, in whatever way.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Building a wheel or two on a busy machine of two cores took 70 s.
INSTALL_SECONDS = 900
# Of a log, so many lines are shown.
SHOWN_LINES = 15


class Absent(Exception):
    """The peer cannot be here, and why."""


class Failed(Exception):
    """The peer is here and did not do what it was asked."""


def say(word, *rest):
    print(word, *[str(part).replace("\n", " | ") for part in rest], flush=True)


def environment(home, requirement):
    """A venv with one package of the package index, below `home`. One that is there already is taken as it is."""
    name = requirement.lower().replace("==", "-")
    place = Path(home) / name
    done = place / "installed"
    place.mkdir(parents=True, exist_ok=True)
    with open(Path(home) / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once build it once
        if not done.exists():
            shutil.rmtree(place)
            _install(place, requirement)
            done.write_text(requirement)
    return place


def _install(place, requirement):
    python = place / "bin" / "python"
    steps = [
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
    ]
    for step in steps:
        try:
            ran = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise Absent(f"installing {requirement} took more than {INSTALL_SECONDS} s")
        if ran.returncode != 0:
            last = "\n".join((ran.stderr or ran.stdout).strip().splitlines()[-3:])
            raise Absent(f"{requirement} cannot be installed for Python {sys.version.split()[0]}: {last}")


def last_lines(log):
    try:
        return "\n".join(Path(log).read_text(errors="replace").splitlines()[-SHOWN_LINES:])
    except OSError:
        return ""


class Keeper:
    """A temporary directory and a process group that do not outlive this process."""

    def __init__(self, prefix):
        self.dir = Path(tempfile.mkdtemp(prefix=prefix))
        self._children = []
        read, self._write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._write)
            _keep(read, self.dir)
        os.close(read)
        self._join(self._pid)

    def _join(self, pid=0):
        try:
            os.setpgid(pid, self._pid)
        except PermissionError:
            pass  # it did so itself, or has gone on already

    def start(self, name, argv, env=None, **pipes):
        """Starts a process of the group, its output in a log unless `pipes` takes it."""
        log = open(self.dir / f"{name}.log", "ab")
        # Child processes that a daemon forks stay in the group.
        child = subprocess.Popen(
            [str(part) for part in argv],
            stdin=pipes.get("stdin", subprocess.DEVNULL),
            stdout=pipes.get("stdout", log),
            stderr=log,
            env={**os.environ, **(env or {})},
            text=True,
            preexec_fn=self._join,
        )
        log.close()
        self._children.append((name, child))
        return child

    def check(self):
        """Fails if a process has ended."""
        for name, child in self._children:
            if child.poll() is not None:
                raise Failed(f"{name} ended with {child.returncode}: {last_lines(self.dir / (name + '.log'))}")

    def run(self, argv, env=None, seconds=300, stdin=None):
        """Runs a command of the group to its end."""
        child = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            text=True,
            preexec_fn=self._join,
        )
        try:
            out, err = child.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise Failed(f"{argv[0]}: not done within {seconds} s")
        return child.returncode, out, err

    def members(self):
        """The process ids of the group, the keeper's left out."""
        return group(self._pid)

    def end(self):
        """Ends the group, removes the directory, and comes back when both are done."""
        os.close(self._write)
        for _, child in self._children:
            child.wait()
        os.waitpid(self._pid, 0)


def _keep(pipe, directory):
    os.setpgid(0, 0)
    for quiet in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(quiet, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.read(pipe, 1)  # its end: nobody holds the other side
    own = os.getpid()
    left = group(own)
    while left:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
        left = group(own)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


def group(leader):
    """The living processes of a group, its leader left out."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != leader:
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            state, _, pgrp = stat[stat.rindex(")") + 2 :].split()[:3]
            if int(pgrp) == leader and state != "Z":
                found.append(int(entry))
    return found


def memory_kib(pid):
    """Resident memory of a process, what it shares divided among those who share it; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def millis(call):
    """How long a call takes, and what it gives."""
    begun = time.monotonic()
    given = call()
    return (time.monotonic() - begun) * 1000.0, given


def play(words, rounds):
    """Carries out words from standard input until it ends; or each word so many times, for a person."""
    say("ready")
    lines = (line.strip() for line in sys.stdin) if rounds is None else [w for _ in range(rounds) for w in words]
    for word in lines:
        took, count = words[word]()
        say("took", f"{took:.3f}", count, *([word] if rounds is not None else []))


def main(run):
    """Runs a peer: says why it is absent or has failed, and leaves nothing behind. `run` is given a list for keepers."""
    keepers = []

    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    code = 0
    try:
        run(keepers)
    except Absent as why:
        say("absent", why)
    except Failed as why:
        say("failed", why)
        code = 1
    except (KeyboardInterrupt, BrokenPipeError):
        code = 1
    finally:
        for keeper in keepers:
            keeper.end()
    sys.exit(code)
