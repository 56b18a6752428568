/** The broker of the story: a process of its own that can be killed and started again on the same port and data. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../../bin/ai-job-broker.js", import.meta.url));

export interface Broker {
  url: string;
  /** Resolves when it takes calls. */
  start(): Promise<void>;
  /** SIGKILL: it says nothing to anybody. An embedded Postgres goes with it, and recovers with the next start. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export interface BrokerOptions {
  /** Its log is there, and its data. */
  folder: string;
  tokens: { worker: string; api: string };
  /** Of a database that is there already; absent: an embedded Postgres of its own. */
  databaseUrl?: string | undefined;
}

export async function createBroker({ folder, tokens, databaseUrl }: BrokerOptions): Promise<Broker> {
  const port = await freePort();
  const log = createWriteStream(join(folder, "broker.log"));
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const env = {
      PATH: process.env["PATH"] ?? "",
      PORT: String(port),
      DATA_DIR: join(folder, "data"),
      ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
      INTERNAL_WORKER_TOKEN: tokens.worker,
      INTERNAL_API_TOKEN: tokens.api,
      // The receiver of this story is on this machine, and speaks no TLS.
      WEBHOOK_ALLOW_PRIVATE: "true",
      WEBHOOK_ALLOW_HTTP: "true",
      WEBHOOK_TIMEOUT_MS: "2000",
    };
    // A group of its own, so that Ctrl-C reaches the story alone, which then ends its broker.
    const started = spawn(process.execPath, [PROGRAM, "serve"], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: process.platform !== "win32",
    });
    child = started;
    started.stderr.pipe(log, { end: false });
    const lines = createInterface({ input: started.stdout });
    const ended = once(started, "exit").then(([code, signal]) => {
      throw new Error(
        `the broker ended with ${code ?? signal} before it took calls: see ${join(folder, "broker.log")}`,
      );
    });
    await Promise.race([once(lines, "line"), ended]);
    ended.catch(() => undefined);
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  return { url: `http://127.0.0.1:${port}`, start, kill: () => end("SIGKILL"), stop: () => end("SIGTERM") };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
