#!/usr/bin/env python3
"""Counts the instructions of some pieces of work under callgrind, and compares them with those that are kept in
instructions.json: a count does not depend on what else the machine does. scripts/bench --instructions builds what
this needs, and runs it.

The counts are those of one compiler, and of the static file. With others, each is compared by its ratio to a yardstick, which is
work of a dependency compiled in the same build, and with a wider margin.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

KEPT = Path(__file__).with_name("instructions.json")
CASES = {
    "request": "a request of 150 KiB, read, translated and written",
    "tools": "a request of 1 MiB with 200 tools, read, translated and written",
    "native": "the first, passed on to a Messages API",
    "stream": "a stream of 200 chunks, made events",
    "health": "a health answer of the door's core",
}
YARDSTICK = "yardstick"
MARGIN = 0.03
# A compiler may make one thing faster and another slower.
MARGIN_OF_OTHERS = 0.15

# What may be there very often in a request, and how often it is at first: twice as many may take twice as long, and a
# little more.
LINEAR = {
    "calls": 4000, "turns": 500, "messages": 350, "notes": 1000, "prompt": 8000, "all_of": 4000, "references": 1500,
    "any_of": 4000, "values": 8000, "deep": 40,
}
MOST_OF_TWICE = 2.3

# Few and many: their difference is without the start, and without what only the first needs.
FEW, MANY = 3, 8

def count(program, case):
    """The instructions of a case, once."""
    few, many = (total(program, case, times) for times in (FEW, MANY))
    return round((many - few) / (MANY - FEW))


def grow_as_they_should(program):
    """Prints how what the requests of linear.rs cost grows with them. Returns whether it does as it should."""
    is_well = True
    for name, times in LINEAR.items():
        once, twice = (total(program, name, n) for n in (times, 2 * times))
        is_linear = twice < MOST_OF_TWICE * once
        is_well = is_well and is_linear
        print(f"{name}: {once:,} instructions of {times}, {twice / once:.2f} times as many of twice that: "
              f"{'well' if is_linear else f'MORE than {MOST_OF_TWICE} times'}")
    return is_well


def total(program, case, times):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, case, str(times)]
    environment = {"PATH": os.environ["PATH"]}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or not found:
        sys.exit(f"scripts/bench: {case} could not be counted:\n{ran.stderr}")
    return int(found[1])


def built_by():
    """What the counts hold for."""
    said = subprocess.run(["rustc", "--version", "--verbose"], capture_output=True, text=True, check=True).stdout
    facts = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    return f"rustc {facts['release']} for {facts['host'].replace('-gnu', '-musl')}"


def compare(counts, kept, builder):
    """Prints each case beside what is kept. Returns whether all are within the margin."""
    if builder == kept["built_by"]:
        margin = MARGIN
        wanted = kept["counts"]
    else:
        # How much more this compiler makes of the same work.
        scale = counts[YARDSTICK] / kept["counts"][YARDSTICK]
        margin = MARGIN_OF_OTHERS
        wanted = {case: count * scale for case, count in kept["counts"].items()}
        print(f"The numbers that are kept hold for {kept['built_by']}, and this is {builder}: compared by the ratio "
              f"to the yardstick, which takes {scale:.3f} times as many instructions here, and with a margin of "
              f"{margin:.0%}.")
    is_well = True
    for case, what in CASES.items():
        if case not in wanted:
            print(f"{case}: {counts[case]:,} instructions ({what}): NOT kept yet")
            is_well = False
            continue
        off = counts[case] / wanted[case] - 1
        verdict = "well"
        if off > margin:
            verdict = f"SLOWER by more than {margin:.0%}"
        elif off < -margin:
            verdict = f"FASTER by more than {margin:.0%}, so the numbers that are kept would hide a later loss"
        is_well = is_well and verdict == "well"
        print(f"{case}: {counts[case]:,} instructions, {off:+.2%} to {wanted[case]:,.0f} ({what}): {verdict}")
    return is_well


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the program that does the work")
    parser.add_argument("--write", action="store_true", help="keep these counts from now on")
    arguments = parser.parse_args()
    counts = {case: count(arguments.program, case) for case in [*CASES, YARDSTICK]}
    builder = built_by()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else None
    is_well = compare(counts, kept, builder) if kept else arguments.write
    if counts["native"] > counts["request"]:
        sys.exit("scripts/bench: to pass a request on takes more than to translate it")
    if not grow_as_they_should(arguments.program):
        sys.exit("scripts/bench: what a request costs does not grow as it does")
    if arguments.write:
        KEPT.write_text(json.dumps({"built_by": builder, "counts": counts}, indent=1) + "\n")
        print(f"{KEPT.name} has these numbers from now on")
    elif kept is None:
        sys.exit(f"scripts/bench: {KEPT.name} is missing; scripts/bench --instructions --write makes it")
    elif not is_well:
        sys.exit("scripts/bench: the instructions are not those that are kept; if that is meant, "
                 "scripts/bench --instructions --write keeps these")


if __name__ == "__main__":
    main()
