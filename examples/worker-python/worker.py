"""A worker over the Work stream with grpcio: here is what it does, in work_stream.py how it talks.

Run: BROKER_TOKEN=<worker token> python3 worker.py    Ends on SIGTERM or Ctrl-C, when its jobs are done.
BROKER_URL may name several brokers of one database, with commas between them.
"""
import os
import signal
import threading

from work_stream import Fatal, Lease, Progress, Worker


def work(payload: dict, lease: Lease) -> dict:
    """A long one waits on lease.stopped, or looks at it now and then: set means that nobody wants the result any more.

    What holds the GIL for minutes belongs into a process of its own, or no heartbeat gets out.
    """
    lease.progress = Progress(note="reading")
    if lease.stopped.wait(payload.get("seconds", 0)):
        raise Fatal("stopped")
    return {"text": f"what stands on {payload.get('image_path', 'nothing')}"}


worker = Worker(
    urls=os.environ.get("BROKER_URL", "http://127.0.0.1:50051").split(","),
    token=os.environ.get("BROKER_TOKEN", ""),
    types=os.environ.get("TYPES", "ocr").split(","),
    concurrency=int(os.environ.get("CONCURRENCY", "4")),
    work=work)
for number in (signal.SIGTERM, signal.SIGINT):
    # In a thread: a signal's handler runs in the midst of whatever the main thread does, locks included.
    signal.signal(number, lambda *_: threading.Thread(target=worker.drain, daemon=True).start())
worker.run()
