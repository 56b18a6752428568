"""A legacy worker, standard library only: polls the two REST endpoints as the old Python workers do.

Run: INTERNAL_WORKER_TOKEN=<worker token> python3 examples/worker-legacy-python/worker.py
Ends when nothing is left to do with ONCE=1, else on Ctrl-C.
"""
import json
import os
import time
import urllib.error
import urllib.request

BASE = os.environ.get("BROKER_URL", "http://127.0.0.1:50051") + "/api/v1/internal/ai/job"
HEADERS = {
    "X-Worker-Token": os.environ.get("INTERNAL_WORKER_TOKEN", ""),
    "X-Worker-Id": f"python-{os.getpid()}",
    "Content-Type": "application/json",
}


def call(path, body=None):
    """Calls again while the broker is away or its database is; a report that comes twice does no harm."""
    data = None if body is None else json.dumps(body).encode()
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(BASE + path, data=data, headers=HEADERS)) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise SystemExit(f"{path}: {error.code} {error.read().decode()}")
            print(f"{path}: {error.code} {error.read().decode()}")
        except OSError as error:
            print(f"{path}: {error}")
        time.sleep(1)


while True:
    job = call("/next/")["job"]
    if job is None:
        if os.environ.get("ONCE"):
            break
        time.sleep(1)
        continue
    report = {"job_id": job["id"], "status": "DONE", "result": {"read": job["payload"].get("image_path")}}
    print(job["id"], call("/result/", report)["detail"])
