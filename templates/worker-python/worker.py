"""A worker for ocr jobs: here is what it does, in work_stream.py how it talks to the broker.

Run: python3 worker.py    Ends on SIGTERM or Ctrl-C, when its jobs are done.
"""
from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from work_stream import Fatal, Lease, Progress, Worker


class Payload(TypedDict, total=False):
    """What a producer sends. No broker fills in what it leaves out."""

    image_path: str
    seconds: float  # How long the work takes: to try a cancel, a Ctrl-C or a restart of the broker in the middle.


class Result(TypedDict):
    """What a producer gets."""

    text: str


def work(payload: Payload, lease: Lease) -> Result:
    """What it returns is the result; what it raises is a failed attempt, after which the job is tried again.

    What holds the GIL for minutes belongs into a process of its own, or no heartbeat gets out.
    """
    if payload.get("image_path") == "":
        raise Fatal("image_path is empty")  # Another attempt would not help, so the job is FAILED at once.
    lease.progress = Progress(percent=50, note="reading")
    # It is set when nobody wants the result any more: cancelled, lost, or the worker ends.
    if lease.stopped.wait(payload.get("seconds") or 0):
        raise Fatal("stopped")
    return {"text": f"what stands on {payload.get('image_path', 'nothing')}"}


def find_broker(env: Mapping[str, str]) -> tuple[list[str], str]:
    """BROKER_URL (several brokers of one database with commas) and INTERNAL_WORKER_TOKEN.

    Where they are unset, what `ai-job-broker dev` left in DATA_DIR.
    """
    dev = read_dev_file(Path(env.get("DATA_DIR") or ".ai-job-broker"))
    url = env.get("BROKER_URL") or dev.get("url") or "http://127.0.0.1:50051"
    # The token of `dev` is for that broker only.
    token = env.get("INTERNAL_WORKER_TOKEN") or (dev.get("workerToken") if url == dev.get("url") else None)
    if token is None:
        sys.exit(f"no token for {url}: set INTERNAL_WORKER_TOKEN, or set DATA_DIR to where `ai-job-broker dev` has its data")
    return url.split(","), token


def read_dev_file(folder: Path) -> dict[str, str]:
    try:
        return json.loads((folder / "dev-tokens.json").read_text())
    except (OSError, ValueError):
        return {}


def main() -> None:
    urls, token = find_broker(os.environ)
    worker = Worker(urls=urls, token=token, types=["ocr"], concurrency=4, work=work)
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: a signal's handler runs in the midst of whatever the main thread does, locks included.
        signal.signal(number, lambda *_: threading.Thread(target=worker.drain, daemon=True).start())
    print(f"waiting for ocr jobs of {', '.join(urls)}", flush=True)
    worker.run()


if __name__ == "__main__":
    main()
