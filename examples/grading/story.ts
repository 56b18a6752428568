/**
 * The old app's whole story, from a sheet to its grade, with every part real: `npm run example:grading`.
 *   -- --kill "applied"     kills the broker with SIGKILL at that point of it; `-- --kill all` at each, one run after another
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { imageOf, loadSheets, SHEETS_FOLDER } from "../../src/cli/demo/sheets.ts";
// In a project of yours: from "ai-job-broker/client".
import { type Client, createClient } from "../../src/client/index.ts";
import { type Broker, createBroker } from "./broker.ts";
import { POINTS, type Point, type Reach } from "./points.ts";
import { type Application, openReceiver, type Receiver } from "./receiver.ts";
import { openOcr, type Read, startWorkers } from "./worker.ts";

export interface Told {
  applications: Application[];
  /** Grading jobs that there are. */
  gradings: number;
  score: number;
  /** Messages that the receiver took, repeated ones too. */
  messages: number;
  /** What the watch told of the sheet's jobs, in order. */
  changes: string[];
  killedAt: Point | null;
}

export interface StoryOptions {
  read: Read;
  killAt?: Point | undefined;
  /** Of a database that is there already; absent: the broker has an embedded Postgres of its own, which dies with it. */
  databaseUrl?: string | undefined;
  say: (line: string) => void;
}

const SHEET = "english";
/** How long a call is tried again: for longer than a broker takes to come back with its database, also on a busy machine. */
const PATIENCE_MS = 60_000;

/** Plays it on a broker, a database and a receiver of its own, in a folder that goes afterwards. */
export async function tell({ read, killAt, databaseUrl, say }: StoryOptions): Promise<Told> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "aibroker-grading-"));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  const tokens = { worker: randomBytes(16).toString("hex"), api: randomBytes(16).toString("hex") };
  const broker = await createBroker({ folder, tokens, databaseUrl });
  stack.defer(() => broker.stop());
  await broker.start();
  say("a broker is up");

  const { reach, killed } = killer(broker, killAt, say);
  stack.defer(killed);
  const client = stack.adopt(createClient({ url: broker.url, token: tokens.api, timeoutMs: PATIENCE_MS }), (one) =>
    one.close(),
  );
  const receiver = stack.adopt(await openReceiver(join(folder, "app.db"), client, reach), (one) => one.close());
  const admin = adminOf(broker.url, tokens.api);
  const { secret } = (await admin("CreateWebhook", { url: receiver.url, types: ["ocr"] })) as { secret: string };
  receiver.trust(secret);
  say(`its events go to ${receiver.url}, signed`);
  const over = new AbortController();
  const working = startWorkers(broker.url, tokens.worker, read, reach).run({ signal: over.signal });
  stack.defer(async () => {
    over.abort();
    await working;
  });

  const changes = await play(client, reach, say);
  await killed();
  // An event whose answer the killed broker did not write down comes again: also that must change nothing.
  await allDelivered(admin);
  return { ...(await account(client, receiver)), changes, killedAt: killAt ?? null };
}

/** Kills the broker at the point, once, and starts it again at once. */
function killer(broker: Broker, killAt: Point | undefined, say: (line: string) => void) {
  let isKilled = false;
  let again = Promise.resolve();
  const reach: Reach = async (point) => {
    say(`  · ${point}`);
    if (point !== killAt || isKilled) return;
    isKilled = true;
    const killing = broker.kill();
    again = killing.then(() => broker.start()).then(() => say("  ✝ the broker was killed, and is up again"));
    // Whoever waits for the story's end hears of it.
    again.catch(() => undefined);
    await killing;
  };
  return { reach, killed: () => again };
}

/** Dispatches the sheet and watches until it is graded. */
async function play(client: Client, reach: Reach, say: (line: string) => void): Promise<string[]> {
  const sheet = (await loadSheets()).find(({ name }) => name === SHEET);
  if (sheet === undefined) throw new Error(`examples/sheets has no sheet ${SHEET}`);
  const source = { sourceDomain: "exams", sourceId: SHEET };
  const changes: string[] = [];
  await using watch = client.watch(source, { changesOnly: true });
  // From here on nothing of it is missed.
  await watch.next();
  const dispatching = client.dispatch(
    "ocr",
    { image_path: SHEETS_FOLDER + imageOf(sheet) },
    { ...source, idempotencyKey: "sheet-1" },
  );
  await Promise.all([dispatching, reach("dispatching")]);
  await reach("dispatched");
  for await (const update of watch) {
    if (update.kind !== "changes") continue;
    for (const { type, kind, attempts, workerId } of update.changes) {
      changes.push(`${type} ${kind}`);
      say(`${type}: ${kind}${workerId === undefined ? "" : ` by ${workerId}`}, attempt ${attempts}`);
      if (type === "ocr" && kind === "DONE") await reach("told done");
      if (type === "grading" && ["DONE", "FAILED", "CANCELLED"].includes(kind)) return changes;
    }
  }
  return changes;
}

/** What there is in the end: by the state of a new watch, which for a source holds ended jobs too. */
async function account(client: Client, receiver: Receiver) {
  await using watch = client.watch({ sourceDomain: "exams", sourceId: SHEET });
  const { value } = await watch.next();
  const jobs = value?.kind === "state" ? value.jobs : [];
  const gradings = jobs.filter(({ type }) => type === "grading");
  const graded = gradings[0] && (await client.get(gradings[0].jobId));
  const score = Number((graded?.result as { score?: number } | undefined)?.score ?? Number.NaN);
  return { applications: receiver.applications(), gradings: gradings.length, score, messages: receiver.messages };
}

type Admin = (method: string, request: object) => Promise<unknown>;

/** AdminService in Connect's JSON form, which any HTTP client speaks. */
function adminOf(url: string, token: string): Admin {
  return async (method, request) => {
    const response = await fetch(`${url}/aibroker.v1.AdminService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify(request),
    });
    if (!response.ok) throw new Error(`${method}: ${await response.text()}`);
    return await response.json();
  };
}

async function allDelivered(admin: Admin): Promise<void> {
  for (;;) {
    const { webhooks } = (await admin("ListWebhooks", {})) as { webhooks: { pending?: number }[] };
    if (webhooks.every(({ pending = 0 }) => pending === 0)) return;
    await sleep(100);
  }
}

/** What is wrong with an ending; empty when nothing is. */
export function faults({ applications, gradings, score }: Told): string[] {
  return [
    ...(applications.length === 1 ? [] : [`the text was applied ${applications.length} times`]),
    ...(gradings === 1 ? [] : [`${gradings} grading jobs were dispatched`]),
    ...(score >= 80 ? [] : [`the sheet got ${score} of 100`]),
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { kill: { type: "string" } } });
  const points = POINTS.filter((point) => values.kill === "all" || values.kill === point);
  if (values.kill !== undefined && points.length === 0) {
    throw new Error(`--kill takes one of: ${POINTS.join(", ")}, or all`);
  }
  const folder = await mkdtemp(join(tmpdir(), "aibroker-ocr-"));
  const ocr = await openOcr(folder);
  try {
    for (const killAt of points.length === 0 ? [undefined] : points) {
      const told = await tell({ read: ocr.read, killAt, say: console.log });
      const wrong = faults(told);
      const killed = killAt === undefined ? "" : `, although the broker was killed at "${killAt}"`;
      if (wrong.length > 0) throw new Error(`${wrong.join("; ")}${killed}`);
      console.log(
        `\n✓ one sheet: applied once, graded once, ${told.score} of 100 (${told.messages === 1 ? "one message" : `${told.messages} messages`})${killed}\n`,
      );
    }
  } finally {
    await ocr.close();
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(`✗ ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  });
}
