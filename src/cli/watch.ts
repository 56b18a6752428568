/** `watch`: jobs as they are, and what happens to them. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Command } from "commander";
import { BrokerError } from "../client/broker-error.ts";
import { SILENCE_MS, unlessSilent } from "../client/silence.ts";
import {
  type FrameOptions,
  type JobFilter,
  type OpenWatch,
  type WatchFrame,
  watchFrames,
} from "../client/watch-frames.ts";
import { JobStatus } from "../gen/aibroker/v1/job_pb.ts";
import { CliError } from "./cli-error.ts";
import { type Connection, withBroker } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { listOf, readIds } from "./options.ts";
import { print, say } from "./output.ts";
import { stopSignals } from "./signals.ts";
import { oneLine } from "./text.ts";
import { jsonOf, linesOf } from "./watch-lines.ts";

interface Options {
  id?: string[];
  type?: string[];
  tenant?: string;
  source?: string;
  cursor?: string;
  changesOnly?: boolean;
  untilEnded?: boolean;
  json?: boolean;
}

export function addWatch(program: Command, done: (code: number) => void): void {
  program
    .command("watch")
    .description("Show jobs as they are, then each change as it comes, until Ctrl-C; goes on where a broker went away.")
    .option("--id <ids...>", "job ids, which need not exist yet; - reads one per line from stdin")
    .option("-t, --type <types>", "job types; several with commas", listOf)
    .option("--tenant <id>", "jobs of one tenant")
    .option("--source <domain/id>", "jobs that one part of the producer's system asked for, or about one thing of it")
    .option("--changes-only", "leave out how things are now")
    .option("--cursor <cursor>", "go on behind the line of --json that had it, with the same filter")
    .option("--until-ended", "end when all jobs of --id have ended")
    .option("--json", "print a JSON object a line: {kind: state, changes or heartbeat, …, cursor}")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker watch --type ocr,embedding
  $ ai-job-broker watch --source exams/7 --changes-only
  $ ai-job-broker watch --id first-job second-job --until-ended && echo both are DONE
  $ ai-job-broker watch --type ocr --json | jq -c 'select(.kind == "changes").events[]'

Every part of the filter that is given must fit. A change is told when all transactions of the database that began before
it have ended, most often at once. Ctrl-C exits 0. With --until-ended it exits 0 when all jobs are DONE, 1 when one of
them FAILED or was CANCELLED, 130 on Ctrl-C.`,
    )
    .action(async (options: Options) => {
      done(await watch(await filterOf(options), options));
    });
}

async function filterOf({ id, type, tenant, source, untilEnded, cursor, changesOnly }: Options): Promise<JobFilter> {
  if (untilEnded && (id === undefined || cursor !== undefined || changesOnly)) {
    throw new CliError(EXIT.usage, "--until-ended needs --id, and goes with neither --cursor nor --changes-only");
  }
  if ([id, type, tenant, source].every((part) => part === undefined)) {
    throw new CliError(EXIT.usage, "say which jobs: give --id, --type, --tenant or --source");
  }
  const [sourceDomain = "", sourceId] =
    source === undefined ? [] : (/^([^/]*)(?:\/(.*))?$/s.exec(source)?.slice(1) ?? []);
  return {
    ...(id === undefined ? {} : { jobIds: await readIds(id) }),
    ...(type === undefined ? {} : { types: type }),
    ...(tenant === undefined ? {} : { tenantId: tenant }),
    ...(sourceDomain === "" ? {} : { sourceDomain }),
    ...(sourceId ? { sourceId } : {}),
  };
}

async function watch(filter: JobFilter, options: Options): Promise<number> {
  const signals = stopSignals();
  const over = new AbortController();
  const stop = () => over.abort();
  signals.signal.addEventListener("abort", stop, { once: true });
  // A reader that has had enough.
  process.stdout.once("error", stop);
  const ends = options.untilEnded ? new Ends(filter.jobIds ?? []) : undefined;
  try {
    await withBroker(async (broker) => {
      for await (const frame of framesOf(broker, filter, options, over.signal)) {
        show(frame, options.json ?? false);
        ends?.note(frame);
        if (ends?.areAll) break;
      }
    });
    if (ends?.areAll) return ends.areDone ? EXIT.ok : EXIT.failed;
    const interrupted = signals.signal.reason === "SIGTERM" ? 143 : 130;
    return ends !== undefined && signals.signal.aborted ? interrupted : EXIT.ok;
  } finally {
    signals.dispose();
    process.stdout.off("error", stop);
  }
}

/** What was there once is waited for; a broker that was never reached is an error. */
async function* framesOf(
  broker: Connection,
  filter: JobFilter,
  { cursor, changesOnly }: Options,
  signal: AbortSignal,
): AsyncGenerator<WatchFrame> {
  let state: "new" | "here" | "away" = "new";
  const open: OpenWatch = (request, leave) =>
    unlessSilent((cut) => broker.jobs.watchJobs(request, { signal: cut, timeoutMs: 0 }), {
      silenceMs: SILENCE_MS,
      signal: leave,
    });
  const onRetry: FrameOptions["onRetry"] = (error) => {
    if (state === "new") throw error;
    if (state === "here") say(`The broker is away (${oneLine(error.message)}); going on as soon as it is back.`);
    state = "away";
    broker.hangUp();
  };
  const asked = { ...(cursor && { cursor }), ...(changesOnly && { changesOnly }), onRetry };
  try {
    for await (const frame of watchFrames(open, filter, asked, signal)) {
      state = "here";
      yield frame;
    }
  } catch (error) {
    throw error instanceof BrokerError ? asConnectError(error) : error;
  }
}

/** Errors of calls are explained as Connect's. */
function asConnectError(error: BrokerError): Error {
  for (let at: unknown = error; at instanceof Error; at = at.cause) if (at instanceof ConnectError) return at;
  return new ConnectError(error.message, Code.DeadlineExceeded, undefined, undefined, error);
}

function show(frame: WatchFrame, json: boolean): void {
  const { columns, isTTY } = process.stdout;
  if (frame.kind !== "changes" && frame.cursorExpired) {
    say("The cursor is too old: what happened between it and now was missed.");
  }
  if (json) {
    print(JSON.stringify(jsonOf(frame)));
    return;
  }
  for (const line of linesOf(frame, { columns, colour: isTTY && process.stdout.getColorDepth() > 1 })) print(line);
  if (frame.kind !== "state") return;
  if (frame.unknownJobIds.length > 0) say(`Not there yet: ${frame.unknownJobIds.map(oneLine).join(", ")}`);
  else if (frame.jobs.length === 0) say("No such job is there; waiting for changes.");
}

/** Which jobs have ended, and how. */
class Ends {
  readonly #open: Set<string>;
  readonly #undone = new Set<string>();

  constructor(ids: readonly string[]) {
    this.#open = new Set(ids);
  }

  note(frame: WatchFrame): void {
    if (frame.kind === "heartbeat") return;
    for (const { jobId, status } of frame.kind === "state" ? frame.jobs : frame.events) {
      // One that is started again is open again.
      this.#open.add(jobId);
      this.#undone.delete(jobId);
      if (status === JobStatus.FAILED || status === JobStatus.CANCELLED) this.#undone.add(jobId);
      if (status === JobStatus.DONE || this.#undone.has(jobId)) this.#open.delete(jobId);
    }
  }

  get areAll(): boolean {
    return this.#open.size === 0;
  }

  get areDone(): boolean {
    return this.areAll && this.#undone.size === 0;
  }
}
