/** Many workers in one process: a stream and an instance each, on few connections, back after every end of a stream. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../../src/client/backoff.ts";
import { nowUs } from "../harness/clock.ts";
import { type BenchPayload, JOB_TYPE } from "./client.ts";
import { RawWorker, type StreamEnd } from "./raw-worker.ts";
import { SharedLine } from "./shared-line.ts";

export interface FleetOptions {
  url: string;
  token: string;
  workers: number;
  /** Workers that share a connection. */
  perConnection: number;
  maxInFlight: number;
  /** Jobs are kept until `reportAll`; otherwise each is reported done at once. */
  holds: boolean;
}

/** Since the last `mark`. */
export interface FleetState {
  /** Workers that got a Welcome. */
  welcomed: number;
  /** Workers that got a job. */
  served: number;
  /** How streams ended, by gRPC status and words. */
  ends: Record<string, number>;
}

/** Of each worker, the first since the last `mark`, by clock.ts. */
export interface FleetTimes {
  welcomedUs: number[];
  servedUs: number[];
}

interface Member {
  worker: RawWorker;
  line: SharedLine;
  welcomedUs: number | undefined;
  servedUs: number | undefined;
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #lines: SharedLine[];
  readonly #members: Member[];
  #latenciesUs: number[] = [];
  #ends = new Map<string, number>();
  #leaving = false;

  constructor(options: FleetOptions) {
    const { url, workers, perConnection } = options;
    this.#options = options;
    this.#lines = Array.from({ length: Math.ceil(workers / perConnection) }, () => new SharedLine(url));
    this.#members = Array.from({ length: workers }, (_, at) =>
      this.#member(this.#lines[Math.floor(at / perConnection)] as SharedLine),
    );
    for (const member of this.#members) void this.#run(member);
  }

  get state(): FleetState {
    const count = (key: "welcomedUs" | "servedUs") => this.#members.filter((one) => one[key] !== undefined).length;
    return { welcomed: count("welcomedUs"), served: count("servedUs"), ends: Object.fromEntries(this.#ends) };
  }

  get times(): FleetTimes {
    const list = (key: "welcomedUs" | "servedUs") => this.#members.flatMap((one) => one[key] ?? []);
    return { welcomedUs: list("welcomedUs"), servedUs: list("servedUs") };
  }

  /** How many jobs came since `takeLatencies`. */
  get jobs(): number {
    return this.#latenciesUs.length;
  }

  takeLatencies(): number[] {
    const taken = this.#latenciesUs;
    this.#latenciesUs = [];
    return taken;
  }

  /** From here on first Welcomes and first jobs are noted anew. */
  mark(): void {
    this.#ends.clear();
    for (const member of this.#members) {
      member.welcomedUs = undefined;
      member.servedUs = undefined;
    }
  }

  reportAll(): void {
    for (const { worker } of this.#members) worker.reportAll();
  }

  close(): void {
    this.#leaving = true;
    for (const line of this.#lines) line.close();
  }

  #member(line: SharedLine): Member {
    const { token, maxInFlight, holds } = this.#options;
    const instanceId = randomUUID();
    const member: Member = {
      line,
      welcomedUs: undefined,
      servedUs: undefined,
      worker: new RawWorker({
        token,
        workerId: `bench-${instanceId.slice(0, 8)}`,
        instanceId,
        types: [JOB_TYPE],
        maxInFlight,
        onWelcome: () => {
          member.welcomedUs ??= nowUs();
        },
        onJob: (job, worker) => {
          const startedUs = nowUs();
          const { sentUs } = JSON.parse(job.job?.payloadJson ?? "{}") as Partial<BenchPayload>;
          this.#latenciesUs.push(startedUs - (sentUs ?? Number.NaN));
          member.servedUs ??= startedUs;
          if (!holds) worker.report([job]);
        },
      }),
    };
    return member;
  }

  /** As the SDK comes back: after what the broker asked for, else with full jitter, longer with each failure. */
  async #run(member: Member): Promise<void> {
    let failures = 0;
    while (!this.#leaving) {
      const end = await this.#once(member);
      if (this.#leaving) return;
      const words = `${end.status} ${end.words}`;
      this.#ends.set(words, (this.#ends.get(words) ?? 0) + 1);
      failures = end.welcomed ? 1 : failures + 1;
      await sleep(end.reconnectAfterMs ?? backoffMs(failures, Math.random()));
    }
  }

  async #once({ line, worker }: Member): Promise<StreamEnd> {
    try {
      return await worker.work(await line.session());
    } catch (error) {
      return { status: -1, words: (error as Error).message, welcomed: false, reconnectAfterMs: undefined };
    }
  }
}
