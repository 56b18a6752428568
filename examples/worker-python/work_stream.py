"""The Work stream for grpcio: Worker is what outlives a stream, Stream is one of them from Hello to its end."""
from __future__ import annotations

import itertools
import json
import os
import queue
import random
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

sys.path.append(str(Path(__file__).parent / "gen"))
from aibroker.v1.job_pb2 import AI_RESULT_STATUS_DONE, AI_RESULT_STATUS_FAILED, AIResult, ClaimedJob, LeaseRef, Progress
from aibroker.v1.worker_service_pb2 import (
    CANCEL_REASON_LOST, LEASE_VERDICT_CANCEL, LEASE_VERDICT_LOST, Drain, Heartbeat, Hello, Ping, Pong, Release,
    ReportItem, Reports, WorkRequest)
from aibroker.v1.worker_service_pb2_grpc import WorkerServiceStub

GRACE_S = 30
# Trying again cannot help: the fault is the worker's own.
HOPELESS = ("UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "UNIMPLEMENTED")


class Fatal(Exception):
    """Raised by a handler: another attempt would not help."""


@dataclass
class Lease:
    claimed: ClaimedJob
    stopped: threading.Event = field(default_factory=threading.Event)  # Set: nobody wants the result any more.
    progress: Progress | None = None
    # The lease counts as held until the broker has answered its report; else a lost answer would run the job again.
    report: ReportItem | None = None

    def ref(self) -> LeaseRef:
        return LeaseRef(job_id=self.claimed.job.id, lease_token=self.claimed.lease_token, progress=self.progress)


class Worker:
    def __init__(self, urls: list[str], token: str, types: list[str], concurrency: int,
                 work: Callable[[dict, Lease], dict]):
        self.urls, self.token, self.types, self.concurrency, self.work = urls, token, types, concurrency, work
        self.worker_id, self.instance_id = f"python-{os.getpid()}", str(uuid.uuid4())
        self.held: dict[str, Lease] = {}
        self.lock = threading.Lock()
        self.max_result_bytes, self.max_bytes = 2**23, 2**24  # Until Welcome says.
        self.draining = threading.Event()
        self.stream = Stream(self)

    def run(self) -> None:
        failures = 0
        for url in itertools.cycle(self.urls):
            began = time.monotonic()
            self.stream = Stream(self)
            pause = self.stream.serve(url)
            failures = 0 if time.monotonic() - began > 10 else failures + 1
            if pause is None:  # Full jitter, so that a thousand workers do not come back together.
                pause = random.uniform(0, min(30, 0.25 * 2**failures))
            if self.draining.is_set() and self.held:
                time.sleep(pause)
            elif self.draining.wait(pause):
                return

    def handle(self, lease: Lease) -> None:
        job, result = lease.claimed.job, AIResult(job_id=lease.claimed.job.id)
        print(f"{job.id}: attempt {lease.claimed.attempt}", flush=True)
        report = ReportItem(lease_token=lease.claimed.lease_token)
        try:
            result.result_json = self.storable(self.work(json.loads(job.payload_json), lease))
            result.status = AI_RESULT_STATUS_DONE
        except Exception as error:
            result.status, result.error = AI_RESULT_STATUS_FAILED, repr(error)
            report.retryable = not isinstance(error, Fatal)
        report.result.CopyFrom(result)
        lease.report = report
        if report.lease_token in self.held:
            self.stream.report([lease])

    def storable(self, done: dict) -> str:
        """A text that the broker refuses would end the stream, and each one after it."""
        text = json.dumps(done, ensure_ascii=False, allow_nan=False)
        if len(text.encode()) > self.max_result_bytes or "\\u0000" in text:
            raise Fatal(f"the result has a NUL character, or more than {self.max_result_bytes} bytes")
        return text

    def leases(self) -> list[Lease]:
        with self.lock:
            return list(self.held.values())

    def keep(self, lease: Lease) -> None:
        with self.lock:
            self.held[lease.claimed.lease_token] = lease

    def drop(self, lease: Lease) -> None:
        with self.lock:
            self.held.pop(lease.claimed.lease_token, None)
        self.stream.end_if_done()

    def stop(self, lease: Lease, lost: bool) -> None:
        """A cancelled job is stopped and reported, with any outcome; a lost one is no longer ours to report."""
        if lease.claimed.lease_token not in self.held:
            return  # Its report was answered meanwhile.
        print(f"{lease.claimed.job.id}: {'lost' if lost else 'cancelled'}", flush=True)
        lease.stopped.set()
        if lost:
            self.drop(lease)

    def drain(self) -> None:
        """Takes no more jobs. What is not done when the grace is over goes back, its attempt unspent."""
        self.draining.set()
        self.stream.send(drain=Drain(reason="SIGTERM"))
        self.stream.end_if_done()
        time.sleep(GRACE_S)
        self.stream.release([lease for lease in self.leases() if lease.report is None])
        time.sleep(5)
        os._exit(1)  # No broker to give them to: they run out.


class Stream:
    """One stream to one broker, from Hello to its end."""

    def __init__(self, worker: Worker):
        self.worker, self.held = worker, worker.leases()
        self.outbox: queue.SimpleQueue[WorkRequest | None] = queue.SimpleQueue()
        self.seq = 0
        self.finished: deque[Lease] = deque()  # To be reported.
        self.ids, self.asked = itertools.count(1), {}  # What a numbered frame was about: answers keep its order.
        self.reconnect_at: float | None = None
        self.beat_s, self.ping_s, self.silence_s = 40.0, 20.0, 60.0  # Until Welcome says.
        self.heard_at = time.monotonic()
        self.welcomed, self.ended = threading.Event(), threading.Event()
        self.send(hello=Hello(
            worker_id=worker.worker_id, instance_id=worker.instance_id, types=worker.types, client="example-python",
            max_in_flight=0 if worker.draining.is_set() else worker.concurrency,
            held=[lease.ref() for lease in self.held]))

    def send(self, **frame) -> None:
        self.outbox.put(WorkRequest(**frame))

    def end(self) -> None:
        self.outbox.put(None)

    def end_if_done(self) -> None:
        if self.worker.draining.is_set() and not self.worker.held:
            self.end()

    def number(self, leases: list[Lease]) -> int:
        number = next(self.ids)
        self.asked[number] = leases
        return number

    def report(self, leases: list[Lease]) -> None:
        self.finished.extend(leases)
        self.send()

    def release(self, leases: list[Lease]) -> None:
        if refs := [lease.ref() for lease in leases]:
            self.send(release=Release(id=self.number(leases), leases=refs, reason="SIGTERM"))

    def outgoing(self):
        """Each message acks what came in before. One without a frame takes along the reports that have gathered."""
        acked = 0
        while (request := self.outbox.get()) is not None:
            if request.WhichOneof("frame") is None:
                if leases := self.gather():
                    items = [lease.report for lease in leases]
                    request.reports.CopyFrom(Reports(id=self.number(leases), items=items))
                elif acked == self.seq:
                    continue
            request.ack_seq = acked = self.seq
            yield request

    def gather(self) -> list[Lease]:
        leases, size = [], 0
        while self.finished and (not leases or size + self.finished[0].report.ByteSize() < self.worker.max_bytes):
            leases.append(self.finished.popleft())
            size += leases[-1].report.ByteSize()
        if self.finished:
            self.send()
        return leases

    def serve(self, url: str) -> float | None:
        """Until the stream ends. Answers how long to wait before the next one, if the broker said so."""
        with open_channel(url) as channel:
            call = WorkerServiceStub(channel).Work(self.outgoing(), metadata=[("x-worker-token", self.worker.token)])
            threading.Thread(target=self.keep_alive, args=(call,), daemon=True).start()
            try:
                for message in call:
                    self.heard_at = time.monotonic()
                    kind = message.WhichOneof("frame")
                    # A frame of a newer broker is passed over.
                    getattr(self, f"on_{kind}", lambda *_: None)(getattr(message, kind or "seq"), message.seq)
            except grpc.RpcError as error:
                print(f"{url}: {error.code().name}: {error.details()}", file=sys.stderr, flush=True)
                if error.code().name in HOPELESS:
                    sys.exit(1)
                return retry_delay(error)
            finally:
                self.ended.set()
                self.welcomed.set()
                self.end()
        return None if self.reconnect_at is None else max(0.0, self.reconnect_at - time.monotonic())

    def keep_alive(self, call) -> None:
        """Heartbeats keep the leases; pings keep proxies awake and tell when the broker is gone without a word."""
        if not self.welcomed.wait(self.silence_s):
            call.cancel()
        beat_at = ping_at = time.monotonic()
        while not self.ended.wait(min(1.0, self.beat_s / 4)):
            now = time.monotonic()
            if now - self.heard_at >= self.silence_s:
                call.cancel()
            if self.reconnect_at is not None and now >= self.reconnect_at:
                self.end()
            if now - beat_at >= self.beat_s and (leases := self.worker.leases()):
                beat_at = now
                self.send(heartbeat=Heartbeat(id=self.number(leases), leases=[lease.ref() for lease in leases]))
            if now - ping_at >= self.ping_s:
                ping_at = now
                self.send(ping=Ping())

    def on_welcome(self, welcome, _seq) -> None:
        self.beat_s, self.ping_s, self.silence_s = (span.ToTimedelta().total_seconds() for span in (
            welcome.heartbeat_interval, welcome.ping_interval, welcome.silence_timeout))
        self.worker.max_result_bytes, self.worker.max_bytes = welcome.max_result_bytes, welcome.max_request_bytes
        self.welcomed.set()
        self.judge(self.held, welcome.held)
        # Those whose answer went down with an older stream, too: what is stored by then is answered DUPLICATE.
        if finished := [lease for lease in self.worker.leases() if lease.report is not None]:
            self.report(finished)
        if self.worker.draining.is_set():
            self.send(drain=Drain())
            self.end_if_done()

    def on_jobs(self, jobs, seq) -> None:
        leases = [Lease(claimed) for claimed in jobs.jobs]
        for lease in leases:
            self.worker.keep(lease)
        self.seq = seq
        self.send()
        for lease in leases:  # No more than max_in_flight: the broker counts.
            threading.Thread(target=self.worker.handle, args=(lease,), daemon=True).start()

    def on_heartbeat_ack(self, ack, _seq) -> None:
        self.judge(self.asked.pop(ack.id), ack.leases)

    def judge(self, leases, renewals) -> None:
        for lease, renewal in zip(leases, renewals):
            if renewal.verdict in (LEASE_VERDICT_CANCEL, LEASE_VERDICT_LOST):
                self.worker.stop(lease, lost=renewal.verdict == LEASE_VERDICT_LOST)

    def on_cancel(self, cancel, _seq) -> None:
        if lease := self.worker.held.get(cancel.lease_token):
            self.worker.stop(lease, lost=cancel.reason == CANCEL_REASON_LOST)

    def on_report_ack(self, ack, _seq) -> None:
        leases = self.asked.pop(ack.id)
        if ack.HasField("retry_after"):
            threading.Timer(ack.retry_after.ToTimedelta().total_seconds(), self.report, [leases]).start()
        for lease, result in zip(leases, ack.results):
            print(f"{result.job_id}: {result.message}", flush=True)
            self.worker.drop(lease)

    def on_release_ack(self, ack, _seq) -> None:
        for lease in self.asked.pop(ack.id):
            lease.stopped.set()
            self.worker.drop(lease)

    def on_ping(self, ping, _seq) -> None:
        self.send(pong=Pong(id=ping.id))

    def on_drain(self, drain, _seq) -> None:
        """The broker leaves. The leases go along to the next one, which may be the same after its restart."""
        self.reconnect_at = time.monotonic() + drain.reconnect_after.ToTimedelta().total_seconds()


def open_channel(url: str) -> grpc.Channel:
    scheme, _, address = url.rpartition("://")
    if scheme == "https":
        return grpc.secure_channel(address, grpc.ssl_channel_credentials())
    return grpc.insecure_channel(address)


def retry_delay(error: grpc.RpcError) -> float | None:
    status, info = rpc_status.from_call(error), RetryInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds() * random.uniform(1, 1.5)
    return None
