"""A receiver of webhooks: verifies each event, applies a result once, then enqueues its grading.

Run: WEBHOOK_SECRET=whsec_… BROKER_TOKEN=<api token> python3 examples/receiver-python/receiver.py

The rules that any receiver follows are four: verify before reading; remember the event's id in the same transaction as
what it changes; do nothing anew for an id that is known; answer 2xx only when all is done, for any other answer has the
event come again.
"""
import json
import os
import sqlite3
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verify import VerificationError, verify

BROKER = os.environ.get("BROKER_URL", "http://127.0.0.1:50051")
TOKEN = os.environ.get("BROKER_TOKEN", "")
SECRET = os.environ["WEBHOOK_SECRET"]
DATABASE = os.environ.get("DATABASE", "receiver.sqlite3")
MAX_BODY = 1024 * 1024

SCHEMA = """
CREATE TABLE IF NOT EXISTS applied (event_id TEXT PRIMARY KEY, job_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sheet (job_id TEXT PRIMARY KEY, source_id TEXT, text TEXT NOT NULL, times INTEGER NOT NULL);
"""


def connect():
    return sqlite3.connect(DATABASE, timeout=10, isolation_level=None)


def call(method, message):
    """One call of the broker, as JSON over HTTP (the Connect protocol: any client can do it)."""
    headers = {"Content-Type": "application/json", "x-worker-token": TOKEN}
    body = json.dumps(message).encode()
    request = urllib.request.Request(f"{BROKER}/aibroker.v1.JobService/{method}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def result_of(data):
    """The result as the event carries it; one that is too large for an event is fetched from where it points."""
    if data.get("result_omitted") != "too_large":
        return data["result"] or {}
    job = call("GetJob", {"jobId": data["result_pointer"]["job_id"]})["job"]
    return json.loads(job["result"]["resultJson"])


def apply_once(event_id, data):
    """Writes the result and the event's id in one transaction; False: this event was applied before."""
    result = result_of(data)
    db = connect()
    try:
        db.execute("BEGIN IMMEDIATE")
        known = db.execute("INSERT OR IGNORE INTO applied VALUES (?, ?)", (event_id, data["job_id"])).rowcount == 0
        if not known:
            db.execute(
                "INSERT INTO sheet VALUES (?, ?, ?, 1) ON CONFLICT (job_id) DO UPDATE"
                " SET text = excluded.text, times = times + 1",
                (data["job_id"], data["source_id"], result.get("text", "")),
            )
        db.execute("COMMIT")
        return not known
    finally:
        db.close()


def enqueue_grading(event_id, data):
    """With the event's id as the key the broker stores one job, however often this is said: also after a crash between
    the apply and here, when the event comes again."""
    job = {
        "type": "grading",
        "payloadJson": json.dumps({"sheet_job_id": data["job_id"]}, sort_keys=True),
        "idempotencyKey": event_id,
    }
    for ours, theirs in (("tenantId", "tenant_id"), ("sourceDomain", "source_domain"), ("sourceId", "source_id")):
        if data[theirs] is not None:
            job[ours] = data[theirs]
    return call("Dispatch", {"jobs": [job]})["results"][0]["jobId"]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= MAX_BODY:
            return self.answer(413)
        body = self.rfile.read(length).decode()
        try:
            verify(SECRET, body, self.headers)
        except VerificationError as error:
            print(f"refused: {error}", flush=True)
            return self.answer(401)
        event = json.loads(body)
        data = event["data"]
        # Whoever is told of more than it knows says yes to it, or it would come for days.
        if event["type"] != "job.done" or data["job_type"] != "ocr":
            return self.answer(204)
        event_id = data["event_id"]
        try:
            is_new = apply_once(event_id, data)
            grading = enqueue_grading(event_id, data)
        except (OSError, sqlite3.Error) as error:
            print(f"{data['job_id']}: {error}; the event will come again", flush=True)
            return self.answer(503)
        print(f"{data['job_id']} {'applied' if is_new else 'known'}, grading is {grading}", flush=True)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with connect() as database:
        database.executescript(SCHEMA)
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080"))
    server = ThreadingHTTPServer((host, port), Receiver)
    print(f"listening on http://{host}:{server.server_address[1]}/hooks/jobs", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
