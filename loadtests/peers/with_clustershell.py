"""ClusterShell from the package index: `clush -b` on so many names, flat and through gateways, and `nodeset -f`.

There is no ssh: a shim takes its place that runs the command on this machine, so what is measured is ClusterShell itself
and one process for each name, not cryptography. Friendly names fold into one range; hostile ones have no common prefix.

Words, each also with `-hostile` behind it: `flat` is the wall time of `clush -b`, `tree` the same through gateways that
are processes here too, `fold` that of `nodeset -f` with the names on standard input.
"""

import argparse
import random
import re
import socket
import string
import sys
from functools import partial

import peer
from peer import Failed

# Letters and digits of a hostile name: no two of them have anything in common that folds.
HOSTILE_LETTERS = 8
# Seconds that one round may take.
ROUND_SECONDS = 300
SHIM = """#!/bin/sh
# Stands where ssh would: drops its options and the name, and runs the command here.
while [ $# -gt 0 ]; do
    case $1 in
        -[lopiF]) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
shift
exec sh -c "$*"
"""


def main(keepers):
    args = arguments()
    venv = peer.environment(args.home, f"ClusterShell=={args.version}")
    keeper = peer.Keeper("rp-")
    keepers.append(keeper)
    shell = ClusterShell(keeper, venv, args)
    words = {}
    for kind in ("friendly", "hostile"):
        end = "-hostile" if kind == "hostile" else ""
        words[f"flat{end}"] = partial(shell.clush, kind, False)
        words[f"tree{end}"] = partial(shell.clush, kind, True)
        words[f"fold{end}"] = partial(shell.fold, kind)
    peer.say("note", shell.told())
    peer.play(words, args.rounds)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="1.10.1", help="of ClusterShell")
    parser.add_argument("--names", type=int, default=200)
    parser.add_argument("--gateways", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7, help="of the hostile names")
    parser.add_argument("--home", required=True, help="where the environment is made, or is already")
    parser.add_argument("--rounds", type=int, help="do everything so often and end, instead of reading words")
    return parser.parse_args()


def names(kind, count, seed):
    if kind == "friendly":
        return [f"host{n:05}" for n in range(1, count + 1)]
    drawn, found = random.Random(seed), set()
    while len(found) < count:
        # A letter first and last, and no digits: digits are what folds.
        found.add("".join(drawn.choices(string.ascii_lowercase, k=HOSTILE_LETTERS)))
    return sorted(found)


class ClusterShell:
    """Its programs, with files for both kinds of names."""

    def __init__(self, keeper, venv, args):
        self.keeper, self.venv, self.args = keeper, venv, args
        self.names = {kind: names(kind, args.names, args.seed) for kind in ("friendly", "hostile")}
        self.shim = keeper.dir / "ssh"
        self.shim.write_text(SHIM)
        self.shim.chmod(0o755)
        root = socket.gethostname().split(".")[0]
        gateways = f"gateway[1-{args.gateways}]"
        for kind, all_names in self.names.items():
            self.file(kind, "names").write_text("\n".join(all_names) + "\n")
            routes = f"[routes]\n{root}: {gateways}\n{gateways}: {','.join(all_names)}\n"
            self.file(kind, "topology").write_text(routes)

    def told(self):
        return (
            f"ClusterShell {self.args.version}, {self.args.names} names, its default fan-out (64), a local shim instead of ssh, "
            f"{self.args.gateways} gateways in the tree"
        )

    def file(self, kind, end):
        return self.keeper.dir / f"{kind}.{end}"

    def clush(self, kind, tree):
        argv = [self.venv / "bin" / "clush", "-b", "-O", f"ssh_path={self.shim}", "--hostfile", self.file(kind, "names")]
        # Without a name a topology of this machine's own would be read.
        argv += ["--topology", self.file(kind, "topology")] if tree else ["-R", "ssh", "-O", "auto_tree=no"]
        # What gateways are started with, and where they log.
        env = {"PATH": f"{self.venv / 'bin'}:/usr/local/bin:/usr/bin:/bin"}
        env["CLUSTERSHELL_GW_PYTHON_EXECUTABLE"] = str(self.venv / "bin" / "python")
        env["CLUSTERSHELL_GW_LOG_DIR"] = str(self.keeper.dir)
        command = [*argv, "echo", "True"]
        took, (code, out, err) = peer.millis(lambda: self.keeper.run(command, env, seconds=ROUND_SECONDS))
        # Of each folded block: the names, their number if there are several, and what they say.
        counts = re.findall(r"^-+\n(?:.* \((\d+)\)|[^\n]*)\n-+\nTrue$", out, re.MULTILINE)
        if code != 0 or not counts:
            raise Failed(f"clush ended with {code}: {(err or out).strip()[-300:]}")
        return took, sum(int(count or 1) for count in counts)

    def fold(self, kind):
        text = self.file(kind, "names").read_text()
        argv = [self.venv / "bin" / "nodeset", "-f"]
        took, (code, out, err) = peer.millis(lambda: self.keeper.run(argv, stdin=text, seconds=ROUND_SECONDS))
        if code != 0 or not out:
            raise Failed(f"nodeset ended with {code}: {err.strip()[-300:]}")
        return took, self.args.names


peer.main(main)
