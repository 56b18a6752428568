/** Workers of several makes that empty one queue side by side. */
import type { Running } from "../cli/run-cli.ts";
import type { TestBroker } from "../support/broker.ts";
import { openWork } from "../support/raw-work.ts";
import { until } from "../support/until.ts";

export interface Drainer {
  /** Ids of the jobs that it worked on; one that came twice stands there twice. */
  done(): string[];
  /** Resolves when it has gone. */
  stop(): Promise<void>;
}

/** Waits until so many workers have a Work stream. */
export async function connected(broker: TestBroker, count: number): Promise<void> {
  const all = async () => {
    const { workers } = await broker.admin.listWorkers({});
    return workers.filter(({ streams }) => streams.length > 0).length === count;
  };
  await until(`${count} workers are connected`, all, 30_000);
}

/** Dispatches so many jobs and answers their ids. */
export async function dispatchMany(broker: TestBroker, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => `job-${index}`);
  for (let from = 0; from < count; from += 1_000) {
    const jobs = ids
      .slice(from, from + 1_000)
      .map((id) => ({ id, type: "ocr", payloadJson: '{"image_path": "1.png"}' }));
    await broker.jobs.dispatch({ jobs });
  }
  return ids;
}

/** Waits until so many jobs were handed out, then lets the workers finish and go. */
export async function emptied(drainers: Drainer[], count: number): Promise<void> {
  const done = () => drainers.reduce((sum, drainer) => sum + drainer.done().length, 0);
  await until(`${count} jobs have been handed out`, () => done() >= count, 120_000);
  await Promise.all(drainers.map((drainer) => drainer.stop()));
}

/** A raw stream by @grpc/grpc-js that reports each job at once. */
export async function rawDrainer(broker: TestBroker, types: string[], maxInFlight: number): Promise<Drainer> {
  const work = await openWork(broker.url);
  await work.hello({ workerId: "raw-grpc-js", types, maxInFlight });
  const done: string[] = [];
  const drain = (async () => {
    for (;;) {
      const { jobs } = await work.next("jobs", 600_000);
      done.push(...jobs.map(({ job }) => job?.id ?? ""));
      await work.report(jobs);
    }
  })();
  // It ends by the stream's end.
  const gone = drain.catch(() => undefined);
  return {
    done: () => done,
    async stop() {
      work.send({ drain: {} });
      await work.ended;
      await gone;
      await work[Symbol.asyncDispose]();
    },
  };
}

/** A worker process that prints "<job id>: attempt <n>" when it begins with a job. */
export function processDrainer(running: Running): Drainer {
  return {
    done: () => [...running.stdout().matchAll(/^(\S+): attempt \d+$/gm)].map(([, id]) => id ?? ""),
    async stop() {
      running.child.kill("SIGTERM");
      const { code, stderr } = await running.done;
      if (code !== 0 || stderr !== "") throw new Error(`a worker ended with ${code}: ${stderr}`);
    },
  };
}
