/**
 * A worker without the SDK's machinery: it claims by long polls, sends heartbeats, reports until it is answered, all by
 * unary calls on two connections. `habit` says how it reports: once, again and again in any order, in batches that
 * name the same jobs in opposite orders at the same time, or mute: once, however late, and without a heartbeat before.
 */
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Caller } from "../../../src/client/caller.ts";
import type { ClaimedJob } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { WorkerService } from "../../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Dice } from "../dice.ts";
import { pass } from "../pace.ts";
import { HeldJobs, opposite, type Report, reportUntilAnswered, workOn } from "./held-jobs.ts";
import { answerParent, settingsOf, TYPE, type WorkerSettings } from "./settings.ts";

export type Habit = "once" | "repeats" | "crosses" | "mute";

export interface PlainSettings extends WorkerSettings {
  /** For reports and heartbeats; `urls` are for claims. */
  reportUrls: string[];
  habit: Habit;
  /** So many workers in this process, each with its own connections. */
  copies: number;
}

const { name, token, urls, reportUrls, seats, leaseMs, habit, copies, seed } = settingsOf<PlainSettings>();
const WAIT_MS = 1_000;
let ended = 0;

class PlainWorker {
  readonly #workerId: string;
  readonly #dice: Dice;
  readonly #claims = callerTo(urls);
  readonly #reports = callerTo(reportUrls);
  /** To single brokers, for what is to arrive on both. */
  readonly #each = reportUrls.map((url) => callerTo([url]));
  readonly #held: HeldJobs;

  constructor(workerId: string) {
    this.#workerId = workerId;
    this.#dice = new Dice(seed, workerId);
    const order = habit === "once" ? undefined : <T>(leases: T[]) => leases.toReversed();
    this.#held = new HeldJobs(this.#reports, workerId, habit === "mute" ? undefined : leaseMs, order);
  }

  async run(): Promise<never> {
    for (let number = 1; ; ) {
      const jobs = await this.#claim(`${this.#workerId}-${number}`);
      if (jobs === undefined) {
        // The same request again: an answer that was lost is given once more.
        await pass(this.#dice.between(20, 150));
        continue;
      }
      number += 1;
      this.#held.take(jobs);
      if (habit === "crosses") await this.#crossed(jobs);
      else await Promise.all(jobs.map((job) => this.#one(job)));
    }
  }

  async #claim(requestId: string): Promise<ClaimedJob[] | undefined> {
    const request = {
      workerId: this.#workerId,
      types: [TYPE],
      maxJobs: seats,
      wait: durationFromMs(WAIT_MS),
      requestId,
    };
    try {
      const { jobs } = await this.#claims.once(WorkerService.method.claim, request, { timeoutMs: 2 * WAIT_MS });
      return jobs;
    } catch {
      return undefined;
    }
  }

  async #one(job: ClaimedJob): Promise<void> {
    const report = await workOn(job, this.#workerId);
    if (habit === "repeats") return await this.#repeated(report);
    // What was lost meanwhile is reported all the same: the broker is to decide.
    await this.#told(report.leaseToken, reportUntilAnswered(this.#reports, this.#workerId, [report]));
  }

  /** Three times at once on any broker, then the opposite, and once more when another may have the job. */
  async #repeated(report: Report): Promise<void> {
    const again = () => reportUntilAnswered(this.#dice.pick(this.#each), this.#workerId, [report]);
    const late = async () => pass(this.#dice.between(0, 40)).then(again);
    await this.#told(report.leaseToken, Promise.all([again(), late(), late()]));
    void pass(this.#dice.between(10, this.#dice.chance(0.5) ? 300 : 3_000)).then(again);
    const contrary = this.#dice.chance(0.5) ? opposite(report) : report;
    void reportUntilAnswered(this.#dice.pick(this.#each), this.#workerId, [contrary]);
  }

  /** Reports, the same in the opposite order, and heartbeats, all at once on all brokers. */
  async #crossed(jobs: ClaimedJob[]): Promise<void> {
    const items = await Promise.all(jobs.map((job) => workOn(job, this.#workerId)));
    const orders = [items, items.toReversed(), this.#dice.shuffled(items)];
    const beats = this.#each.map((caller) => this.#held.beat(caller).catch(() => undefined));
    const sent = orders.map((order, at) => {
      const caller = this.#each[at % this.#each.length] ?? this.#reports;
      return reportUntilAnswered(caller, this.#workerId, order);
    });
    await Promise.all([...beats, ...sent]);
    for (const { leaseToken } of jobs) this.#held.drop(leaseToken);
    ended += jobs.length;
  }

  async #told(leaseToken: string | undefined, reporting: Promise<unknown>): Promise<void> {
    await reporting;
    this.#held.drop(leaseToken ?? "");
    ended += 1;
  }
}

function callerTo(url: string[]): Caller {
  return new Caller({ url, token, ca: undefined, cert: undefined, key: undefined, transport: "grpc-js" });
}

answerParent({ ended: () => ended });
const names = copies === 1 ? [name] : Array.from({ length: copies }, (_, at) => `${name}-${at + 1}`);
await Promise.all(names.map((one) => new PlainWorker(one).run()));
