"""Salt from the package index: `test.ping` to real salt-minions, flat or below syndics.

One salt-master with its minions, or a top master with syndics (each a salt-master and a salt-syndic) and the minions
below them; everything with Salt's defaults, on loopback addresses and ports of its own, as the user who runs it.

Words: `cli` is the wall time of `salt '*' test.ping`, from exec to exit; `kept` is `LocalClient.cmd` of a process that
keeps its client; `memory` is the memory of one minion with its children, in MiB, shared pages counted once.
"""

import argparse
import getpass
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import peer
from peer import Absent, Failed

# A minion takes about 3 s of a core until it listens, and a core has others to do.
START_SECONDS = 120
START_SECONDS_EACH = 12
# Minions that start at once: more only wait for each other, and for the master's workers.
STARTING = 4
# Longest path of a socket, less the longest name that Salt gives one.
LONGEST_DIR = 107 - 60
# A syndic's tree takes 21 s for each ping; nothing here takes longer than a minute when it works.
PING_SECONDS = 180
# Resident memory of one minion, rounded up.
MINION_MIB = 85


def main(keepers):
    args = arguments()
    if args.minions * MINION_MIB > available_mib():
        fits = available_mib() // MINION_MIB
        raise Absent(f"{args.minions} salt-minions of {MINION_MIB} MiB need more memory than is free; {fits} would fit")
    venv = peer.environment(args.home, f"salt=={args.version}")
    keeper = peer.Keeper("rp-")
    keepers.append(keeper)
    if len(str(keeper.dir)) > LONGEST_DIR:
        raise Absent(f"{keeper.dir} is too long a path for Salt's sockets; set TMPDIR to a shorter one")
    fabric = Salt(keeper, venv, args)
    fabric.start()
    words = {"cli": fabric.cli, "kept": fabric.kept, "memory": fabric.memory}
    peer.play(words, args.rounds)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", required=True, help="of Salt, as 3008.3")
    parser.add_argument("--syndics", type=int, default=0, help="0: flat, one salt-master")
    parser.add_argument("--minions", type=int, default=20)
    parser.add_argument("--home", required=True, help="where the environment is made, or is already")
    parser.add_argument("--rounds", type=int, help="do everything so often and end, instead of reading words")
    return parser.parse_args()


def available_mib():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


class Master:
    """A salt-master's place: its own address, its own directory."""

    def __init__(self, name, address, ports, dir):
        self.name, self.address = name, address
        self.publish, self.ret = ports
        self.conf = dir / name / "etc"


def address(number):
    """The loopback address of the master with a number; 0 is the top's."""
    return f"127.0.{20 + number}.1"


def free_ports(addresses):
    """Two ports that are free on all addresses: a syndic expects above it the publish port that its own master has."""
    found = []
    while len(found) < 2:
        with socket.socket() as first:
            first.bind((addresses[0], 0))
            port = first.getsockname()[1]
            if port not in found and all(is_free(address, port) for address in addresses[1:]):
                found.append(port)
    return found


def is_free(address, port):
    with socket.socket() as tried:
        try:
            tried.bind((address, port))
        except OSError:
            return False
    return True


class Salt:
    """A Salt fabric, standing or about to."""

    def __init__(self, keeper, venv, args):
        self.keeper, self.venv, self.args = keeper, venv, args
        addresses = [address(k) for k in range(args.syndics + 1)]
        ports = free_ports(addresses)
        self.top = Master("top", addresses[0], ports, keeper.dir)
        self.middles = [Master(f"r{k}", at, ports, keeper.dir) for k, at in enumerate(addresses) if k]
        self.minions = []
        self.client = None

    def start(self):
        self.write_master(self.top, {"order_masters": True} if self.middles else {})
        self.daemon("salt-master", self.top)
        for middle in self.middles:
            upward = {"syndic_master": self.top.address, "syndic_master_port": self.top.ret, "id": middle.name}
            self.write_master(middle, upward)
            self.daemon("salt-master", middle)
        for master in [self.top, *self.middles]:
            self.listening(master)
        for middle in self.middles:
            self.daemon("salt-syndic", middle)
        self.start_client()
        self.start_minions()
        peer.say("note", self.told())

    def program(self, name):
        return self.venv / "bin" / name

    def told(self):
        python = ".".join(str(n) for n in sys.version_info[:3])
        shape = f"{len(self.middles)} syndics" if self.middles else "flat"
        return f"Salt {self.args.version} on Python {python}, {shape}, {self.args.minions} salt-minion processes, Salt's defaults"

    def write(self, conf, name, text):
        """A configuration. JSON is YAML."""
        conf.mkdir(parents=True, exist_ok=True)
        base = {"user": getpass.getuser(), "root_dir": str(conf.parent), "sock_dir": str(conf.parent / "s")}
        (conf / name).write_text(json.dumps({**base, **text}))

    def write_master(self, master, more):
        ports = {"interface": master.address, "publish_port": master.publish, "ret_port": master.ret}
        self.write(master.conf, "master", {**ports, "auto_accept": True, **more})
        if more.get("syndic_master"):
            # A syndic reads a minion's file too, and finds its own master by it.
            self.write(master.conf, "minion", {**ports, "id": master.name})

    def daemon(self, program, place):
        argv = [self.program(program), "-c", place.conf, "-l", "warning"]
        return self.keeper.start(f"{program}-{place.name}", argv)

    def listening(self, master):
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((master.address, master.ret), 1).close()
                return
            except OSError:
                self.keeper.check()
                if time.monotonic() > until:
                    raise Failed(f"salt-master {master.name} did not listen within {START_SECONDS} s")
                time.sleep(0.1)

    def start_minions(self):
        parents = self.middles or [self.top]
        until = time.monotonic() + START_SECONDS + START_SECONDS_EACH * self.args.minions
        for n in range(self.args.minions):
            parent = parents[n % len(parents)]
            self.start_minion(f"{parent.name}-m{n:03}", parent)
            while n + 1 - self.accepted() >= STARTING:
                self.wait(until)
        while True:
            _, answers = self.kept(within=None)
            if answers == self.args.minions:
                return
            self.wait(until)

    def wait(self, until):
        self.keeper.check()
        if time.monotonic() > until:
            raise Failed(f"{self.accepted()} of {self.args.minions} salt-minions have joined, and not all answer in time")
        time.sleep(0.1)

    def accepted(self):
        """How many minions have their key accepted: their master has met them."""
        kinds = [m.conf.parent / "etc/salt/pki/master/minions" for m in (self.middles or [self.top])]
        return sum(sum(1 for _ in kind.iterdir()) for kind in kinds if kind.exists())

    def start_minion(self, name, parent):
        conf = self.keeper.dir / name / "etc"
        self.write(conf, "minion", {"id": name, "master": parent.address, "master_port": parent.ret})
        argv = [self.program("salt-minion"), "-c", conf, "-l", "warning"]
        self.minions.append(self.keeper.start(name, argv))

    def start_client(self):
        argv = [self.program("python"), Path(__file__).with_name("with_salt_kept.py"), self.top.conf / "master"]
        self.client = self.keeper.start("kept", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def kept(self, within=PING_SECONDS):
        """A ping by the process that keeps its LocalClient."""
        took, line = peer.millis(self.ask)
        if not line:
            raise Failed(f"the process with the LocalClient ended: {peer.last_lines(self.keeper.dir / 'kept.log')}")
        if within is not None and took > within * 1000:
            raise Failed(f"a ping took {took / 1000:.0f} s")
        return took, int(line)

    def ask(self):
        self.client.stdin.write("ping\n")
        self.client.stdin.flush()
        return self.client.stdout.readline()

    def cli(self):
        """A ping as a person types it."""
        argv = [self.program("salt"), "-c", self.top.conf, "--no-color", "*", "test.ping"]
        took, (_, out, _) = peer.millis(lambda: self.keeper.run(argv, seconds=PING_SECONDS))
        return took, sum(1 for line in out.splitlines() if line.strip() == "True")

    def memory(self):
        """Memory of all minions with their children, divided by their number."""
        roots = {minion.pid for minion in self.minions}
        family = set(roots)
        parent_of = {pid: parent(pid) for pid in self.keeper.members()}
        grown = True
        while grown:
            more = {pid for pid, above in parent_of.items() if above in family} - family
            family |= more
            grown = bool(more)
        return sum(map(peer.memory_kib, family)) / 1024 / len(roots), len(family)


def parent(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat[stat.rindex(")") + 2 :].split()[1])


peer.main(main)
