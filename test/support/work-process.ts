/**
 * One running copy of a worker, as a plain program without the SDK would be: it acks, starts a handler for each job,
 * reports until it is answered, and comes back with what it holds when its stream ends.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ClaimedJob } from "../../src/gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { doneItem, type Kind, type RawWork, type Received, type Sent } from "./raw-work.ts";
import { idsOf, leaseOf, openWorker, outcomes, type Streaming } from "./work-words.ts";

export interface WorkProcessOptions {
  capacity: number;
  types?: string[];
  /** Where to connect next, after so many streams; undefined: nowhere yet. */
  pick: (streams: number) => { url: string } | undefined;
  /** How long a handler takes. */
  handlerMs: () => number;
  /** On the broker's Drain: connects elsewhere at once with what it holds, or ends its work on the old stream first. */
  onDrain?: "moves" | "stays";
}

export class WorkProcess {
  readonly instanceId: string = randomUUID();
  /** The ids of jobs, each time that a handler began. */
  readonly started: string[] = [];
  /** By lease token: all that it has and was not answered for. */
  readonly held = new Map<string, ClaimedJob>();
  /** The most that it ever had at a time. */
  mostHeld = 0;
  /** Told LOST, by a Welcome or a Cancel. */
  readonly lost: string[] = [];
  /** The answers to its reports, by job. */
  readonly answers: { jobId: string; status: ReportStatus }[] = [];
  /** How each of its streams ended. */
  readonly ends: (string | undefined)[] = [];
  /** Jobs that came after a Drain on the same stream. */
  readonly afterDrain: string[] = [];
  streams = 0;
  readonly #options: WorkProcessOptions;
  readonly #finished = new Set<string>();
  /** Reported and then told LOST, most likely since the report was stored: they take no seat, and are asked for again. */
  readonly #doubtful = new Set<string>();
  /** The lease that each report was about. */
  readonly #asked = new Map<bigint, string>();
  readonly #old: Streaming[] = [];
  #work: Streaming | undefined;
  #leave: (() => void) | undefined;
  #reports = 0n;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(options: WorkProcessOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Its stream ends in this way, or, silent, does not end on the broker's side; it opens another one. */
  cut(way: "cancel" | "destroy" | "end" | "silence"): void {
    const work = this.#work;
    // Nothing can be written to a stream whose end was.
    this.#work = undefined;
    work?.[way]();
    if (way === "silence") this.#leave?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.cut("cancel");
    await this.#running;
    for (const work of this.#old) await work[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const work = await this.#connect();
      // A short wait between tries, as any client has.
      if (work === undefined) await sleep(20);
      else await this.#serve(work);
    }
  }

  async #connect(): Promise<Streaming | undefined> {
    const broker = this.#options.pick(this.streams);
    if (broker === undefined) return undefined;
    const held = [...this.held.values()];
    const { capacity, types = [] } = this.#options;
    const hello = { instanceId: this.instanceId, types, maxInFlight: capacity, held: held.map(leaseOf) };
    const work = await openWorker(broker, hello, { acks: false }).catch(() => undefined);
    if (work === undefined) return undefined;
    this.streams++;
    work.welcome.held.forEach(({ verdict }, at) => {
      const job = held[at] as ClaimedJob;
      if (verdict !== LeaseVerdict.LOST || !this.held.has(job.leaseToken)) return;
      if (this.#finished.has(job.leaseToken)) this.#doubtful.add(job.leaseToken);
      else this.#drop(job);
    });
    return work;
  }

  /** Until the stream has ended, or the broker's Drain sends it away. */
  async #serve(work: Streaming): Promise<void> {
    this.#work = work;
    this.#old.push(work);
    const moved = Promise.withResolvers<void>();
    this.#leave = moved.resolve;
    let drained = false;
    each(work, "jobs", ({ jobs }) => {
      this.#send({});
      if (drained) this.afterDrain.push(...idsOf(jobs));
      for (const job of jobs) this.#start(job);
    });
    each(work, "reportAck", ({ id, results }) => {
      for (const { jobId, status } of results) this.#answered(id, jobId, status);
    });
    each(work, "cancel", ({ leaseToken }) => {
      const job = this.held.get(leaseToken);
      if (job !== undefined) this.#drop(job);
    });
    each(work, "drain", ({ reconnectAfter }) => {
      drained = true;
      if (this.#options.onDrain !== "moves") return;
      void sleep(reconnectAfter === undefined ? 0 : durationMs(reconnectAfter)).then(() => moved.resolve());
    });
    // What was not answered on the last stream is said again on this one.
    for (const token of this.#finished) this.#report(token);
    const ended = work.ended.then((end) => void this.ends.push(end.code === 0 ? "OK" : end.reason));
    await Promise.race([ended, moved.promise]);
  }

  #start(job: ClaimedJob): void {
    this.held.set(job.leaseToken, job);
    this.mostHeld = Math.max(this.mostHeld, this.held.size - this.#doubtful.size);
    this.started.push(...idsOf([job]));
    void sleep(this.#options.handlerMs()).then(() => {
      if (!this.held.has(job.leaseToken) || this.#stopped) return;
      this.#finished.add(job.leaseToken);
      this.#report(job.leaseToken);
    });
  }

  #report(token: string): void {
    const job = this.held.get(token);
    if (job === undefined) return void this.#finished.delete(token);
    const id = ++this.#reports;
    this.#asked.set(id, token);
    this.#send({ reports: { id, items: [doneItem(job)] } });
  }

  #send(frame: Sent): void {
    this.#work?.send({ ackSeq: this.#work.seq(), ...frame });
  }

  #answered(id: bigint, jobId: string, status: ReportStatus): void {
    this.answers.push({ jobId, status });
    // By the lease, not by the job: it may have come back to this worker since.
    const job = this.held.get(this.#asked.get(id) ?? "");
    if (job !== undefined) this.#forget(job);
  }

  #drop(job: ClaimedJob): void {
    this.lost.push(...idsOf([job]));
    this.#forget(job);
  }

  #forget({ leaseToken }: ClaimedJob): void {
    this.held.delete(leaseToken);
    this.#finished.delete(leaseToken);
    this.#doubtful.delete(leaseToken);
  }
}

/** Calls with each message of a kind until the stream has ended. */
function each<K extends Kind>(work: RawWork, kind: K, take: (message: Received<K>) => void): void {
  const loop = async () => {
    for (;;) take(await work.next(kind, 600_000));
  };
  // It ends with the stream.
  loop().catch(() => undefined);
}

/** How often handlers began for each job, where that is not once. */
export function startedOtherThanOnce(
  processes: readonly WorkProcess[],
  ids: readonly string[],
): Record<string, number> {
  const times = new Map(ids.map((id) => [id, 0]));
  for (const { started } of processes) for (const id of started) times.set(id, (times.get(id) ?? 0) + 1);
  return Object.fromEntries([...times].filter(([, count]) => count !== 1));
}

/** The answers to reports that are not ACCEPTED. */
export function otherAnswers(processes: readonly WorkProcess[]): string[] {
  return processes.flatMap(({ answers }) => outcomes(answers.filter(({ status }) => status !== ReportStatus.ACCEPTED)));
}
