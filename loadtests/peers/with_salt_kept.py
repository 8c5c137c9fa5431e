"""A process that keeps a LocalClient: for each line it pings everybody, and says how many answered.

It runs in Salt's own environment; `with_salt.py` starts it and measures.
"""

import os
import sys

import salt.client


def main():
    # Salt prints to standard output what it thinks of a target: to the log with that.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    client = salt.client.LocalClient(c_path=sys.argv[1])
    for _ in sys.stdin:
        answers = client.cmd("*", "test.ping")
        print(sum(1 for answer in answers.values() if answer is True), file=told, flush=True)


main()
