#!/usr/bin/env python3
"""Measures ccproxy beside nginx, which passes everything on, and beside the provider alone, in turns of the
same run. scripts/bench builds what this needs, and runs it.

The provider stamps each piece of a stream with the time at which it writes it, so the clients see what each
was under way. One core for all: the plain sum of their work. Split: the proxy has a core to itself.
"""

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processes
import report
from processes import CORES, Failed, Process

# Above this share of a core, used by others, a run is repeated; so often at most.
DISTURBED = 0.2
TRIES = 3
# How long a quiet moment is waited for before a run.
QUIET_PATIENCE = 5
# After this a run is given up; what can take long inside it has a smaller limit of its own.
PATIENCE = 90

# Whether all share a core, or the proxy has one to itself.
ONE, SPLIT = "one", "split"


class Messages:
    """Messages for as long as it is said."""

    def __init__(self, cores, **settings):
        self.cores, self.settings = cores, settings

    def run(self, bench, target):
        seconds = 0.3 if bench.is_quick else 1
        with bench.counted(target, self.cores) as counted:
            said = bench.traffic("messages", target.address, seconds=seconds, **self.settings)
        return said, counted


class SlowStreams:
    """So many streams at once at the pace of a model, and a prober meanwhile."""

    def __init__(self, streams):
        self.streams = streams

    def run(self, bench, target):
        streams, pieces, every = (self.streams // 16, 20, 25) if bench.is_quick else (self.streams, 60, 50)
        lasts = pieces * every / 1000 + 1
        before = target.process.resident() if target.process else 0
        peak, threads = before, 0
        with bench.counted(target, SPLIT) as counted:
            clients = bench.start_traffic("messages", target.address, connections=streams, count=streams,
                                          stream="on", pieces=pieces, bytes=60, every=every)
            prober = target.path and bench.start_traffic("probe", target.address, target.path, lasts)
            while clients.poll() is None:
                if target.process:
                    peak = max(peak, target.process.resident())
                    threads = max(threads, target.process.threads())
                time.sleep(0.2)
            said = finished(clients)
            health = finished(prober) if prober else None
        said["memory_per_stream"] = (peak - before) / streams
        said["threads"] = threads
        said["health"] = health
        return said, counted


class Start:
    """From exec to the first 200, and what it uses when nobody has asked for anything else."""

    def run(self, bench, target):
        if not target.proxy:
            return None
        address = processes.free_address()
        with tempfile.TemporaryDirectory(prefix="ccproxy-bench-") as folder:
            command, environment = target.proxy.filled(folder, address, bench.provider)
            took = [bench.traffic("start", address, target.path, *command, cwd=folder, environment=environment)
                    for _ in range(1 if bench.is_quick else 5)]
        with target.proxy.running(bench.provider) as (_, process):
            # Whatever it does at the start is done by then.
            time.sleep(0.3 if bench.is_quick else 1)
            said = {"idle_memory": process.own_memory(), "threads": process.threads()}
        said["start_us"] = statistics.median(one["start_us"] for one in took)
        return said, {}


SCENARIOS = {
    "small": Messages(ONE, body="small"),
    "agent": Messages(ONE, body="agent"),
    "tools": Messages(ONE, body="tools"),
    "at_16": Messages(SPLIT, body="small", connections=16),
    "at_64": Messages(SPLIT, body="small", connections=64),
    "flat_out": Messages(SPLIT, body="small", connections=16, stream="on", pieces=200, bytes=60),
    "slow_256": SlowStreams(256),
    "slow_1000": SlowStreams(1000),
    "start": Start(),
}


class Target:
    """What is measured: a proxy that runs, or the provider itself."""

    def __init__(self, name, address, process=None, proxy=None):
        self.name, self.address, self.process, self.proxy = name, address, process, proxy
        self.path = "/health" if proxy else None


class Bench:
    def __init__(self, traffic_program, is_quick):
        self.traffic_program, self.is_quick = traffic_program, is_quick
        self.repetitions = 1 if is_quick else 3

    @contextlib.contextmanager
    def running(self, proxies):
        """Everything started, and warm."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ccproxy-bench-"))
            pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.stub = Process([self.traffic_program, "provider"], folder, **pipe)
            stack.callback(self.stub.stop)
            self.provider = self.stub.process.stdout.readline().strip()
            if not self.provider:
                raise Failed(f"the provider does not start: {self.stub.log.read_text()}")
            self.targets = [Target("direct", self.provider)]
            for proxy in proxies:
                address, process = stack.enter_context(proxy.running(self.provider))
                self.targets.append(Target(proxy.name, address, process, proxy))
            for target in self.targets:
                seconds = 0.1 if self.is_quick else 0.5
                for stream in ("off", "on"):
                    checked("warm", target.name, self.traffic(
                        "messages", target.address, seconds=seconds, connections=16, stream=stream, pieces=10))
            yield self

    def start_traffic(self, *words, cwd=None, environment=None, **settings):
        words = [*map(str, words), *(f"{name}={value}" for name, value in settings.items())]
        return subprocess.Popen([self.traffic_program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=cwd, env={"PATH": os.environ["PATH"], **(environment or {})})

    def traffic(self, *words, **settings):
        return finished(self.start_traffic(*words, **settings))

    @contextlib.contextmanager
    def counted(self, target, how):
        """Puts all on their cores, and counts what is used meanwhile."""
        near, far = ({CORES[-1]}, {CORES[-1]}) if how == ONE else ({CORES[0]}, {CORES[-1]})
        self.stub.pin(near)
        # The traffic inherits it.
        os.sched_setaffinity(0, near)
        if target.process:
            target.process.pin(far)
        mine = [self.stub, *([target.process] if target.process else [])]
        counted = {}
        began = (time.monotonic(), busy_of(mine), target.process.cpu() if target.process else 0)
        try:
            yield counted
        finally:
            os.sched_setaffinity(0, CORES)
        seconds = time.monotonic() - began[0]
        all_others = busy_of(mine) - began[1]
        counted["cpu_s"] = target.process.cpu() - began[2] if target.process else 0
        counted["others"] = max(0.0, round(all_others / seconds, 3))

    def measure(self, name):
        """Runs a scenario, with all targets in turn, as often as is said."""
        runs = {}
        for _ in range(self.repetitions):
            for target in self.targets:
                said = self.measure_once(name, target)
                if said:
                    runs.setdefault(target.name, []).append(said)
        return runs

    def measure_once(self, name, target):
        best = None
        for attempt in reversed(range(1 if self.is_quick else TRIES)):
            if not self.is_quick:
                wait_for_quiet()
            result = SCENARIOS[name].run(self, target)
            if result is None:
                return None
            said, counted = result
            said.update(counted)
            is_disturbed = said.get("others", 0) > DISTURBED
            try:
                checked(name, target.name, said)
            except Failed:
                # Others may have left it no time at all.
                if is_disturbed and attempt:
                    continue
                raise
            if target.process and said.get("answered"):
                said["cpu_us_per_message"] = said["cpu_s"] / said["answered"] * 1e6
                said["cpu_us_per_piece"] = said["cpu_s"] / said["pieces"] * 1e6 if said["pieces"] else None
            if best is None or said.get("others", 0) < best.get("others", 0):
                best = said
            if not is_disturbed:
                break
        return best


def finished(process):
    try:
        out, problem = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Failed(f"{process.args} does not come to an end") from None
    if process.returncode:
        raise Failed(problem.strip() or f"{process.args} ended with {process.returncode}")
    return json.loads(out)


def busy_of(mine):
    """Seconds of CPU that others have used."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() + children.ru_utime + children.ru_stime
    return processes.busy() - own - sum(process.cpu() for process in mine)


def wait_for_quiet():
    until = time.monotonic() + QUIET_PATIENCE
    while time.monotonic() < until:
        before, began = busy_of([]), time.monotonic()
        time.sleep(0.25)
        if (busy_of([]) - before) / (time.monotonic() - began) <= DISTURBED:
            return


def checked(scenario, target, said):
    """Every message was answered, and every answer was what the provider had said."""
    for what, counts in (("message", said), ("health check", said.get("health"))):
        if counts and "answered" in counts and (counts["faulty"] or not counts["answered"]):
            raise Failed(f"{scenario}, {target}: {counts['faulty']} of a {what} failed, {counts['answered']} were "
                         f"answered: {counts.get('faults')}")


def machine():
    names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * processes.PAGE / 2**30
    return {"processor": names[0] if names else platform.machine(), "cores": len(CORES),
            "memory_gib": round(memory), "kernel": platform.release()}


def version(command):
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return (said.stdout + said.stderr).strip().split("\n")[0]


def measured_before(results, file):
    """The scenarios in `file`, if they are of the same program on the same machine."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    if all(kept.get(part) == results[part] for part in ("machine", "program")):
        return kept["scenarios"]
    if kept:
        print("what was measured before is of another program or machine, and is left out")
    return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traffic", required=True, help="the program that is provider and clients")
    parser.add_argument("--binary", required=True, help="the ccproxy that is measured")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--results", required=True, type=Path)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    for name in names:
        if name not in SCENARIOS:
            raise Failed(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}")
    binary = Path(arguments.binary).resolve()
    if not binary.is_file():
        raise Failed(f"{binary} is not there")

    processes.raise_limits()
    bench = Bench(str(Path(arguments.traffic).resolve()), arguments.quick)
    nginx = processes.nginx()
    contents = binary.read_bytes()
    results = {
        "date": datetime.date.today().isoformat(), "machine": machine(),
        "program": {"version": version([binary, "--version"]), "bytes": len(contents),
                    "sha256": hashlib.sha256(contents).hexdigest()},
        "nginx": version([nginx.command[0], "-v"]),
        "scenarios": {},
    }
    if names != list(SCENARIOS):
        results["scenarios"] = measured_before(results, arguments.results)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    with bench.running([nginx, processes.ccproxy(binary)]):
        for name in names:
            began = time.monotonic()
            runs = results["scenarios"][name] = bench.measure(name)
            # What there is stays, whatever becomes of the next one.
            arguments.results.write_text(json.dumps(results, indent=1) + "\n")
            print(f"{name}: {time.monotonic() - began:.0f} s; {report.line(runs)}", flush=True)
    if arguments.quick and report.stale():
        raise Failed(f"{', '.join(report.stale())} show something else than benches/{report.DATA}; "
                     "scripts/bench --publish writes them")
    if len(results["scenarios"]) == len(SCENARIOS):
        report.write(results, arguments.results.parent)
        if arguments.quick:
            print("everything was answered, and every answer was what the provider had said; these are no measurements")
        else:
            print(f"\n{report.table(results)}\n\n{arguments.results.parent}: table, picture and data")


if __name__ == "__main__":
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except (Failed, OSError) as failed:
        sys.exit(f"scripts/bench: {failed}")
    except KeyboardInterrupt:
        sys.exit(130)
