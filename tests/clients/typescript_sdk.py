"""Drives ccproxy with the official TypeScript SDK: the checks are in typescript_sdk.mjs.

Node prints one JSON object for each check: `name`, `ok` and `detail`.
"""

import json
import os
import subprocess
from pathlib import Path

import harness

# Seconds; the SDK's own limits for one request are smaller.
LIMIT = 300


def typescript(suite):
    node = subprocess.Popen(
        ["node", Path(__file__).with_suffix(".mjs")],
        env={
            "PATH": os.environ["PATH"],
            "CLIENTS_DIR": str(harness.CLIENTS),
            "PROXY_URL": suite.proxy.url,
            "UPSTREAM_URL": suite.upstream.url,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        output, _ = node.communicate(timeout=LIMIT)
    finally:
        node.kill()
    for line in output.splitlines():
        found = json.loads(line)
        suite.check(found["name"], found["ok"], found["detail"])
    suite.equal("node came to the end", node.returncode, 0)


if __name__ == "__main__":
    harness.main("typescript sdk", [typescript])
