/** A broker of a cell: `serve` as a process of its own, behind a line for each client and before one to its database. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { environment, listSettings } from "../../src/config.ts";
import { ended, endWithUs } from "./child-end.ts";

export const WORKER_TOKEN = "faults-worker-token";
export const API_TOKEN = "faults-api-token";

export interface BrokerOptions {
  name: string;
  databaseUrl: string;
  folder: string;
  settings: Record<string, string>;
  /** The folder of its program. */
  code: string;
  /** Options of its Node, such as a module that shifts its clock. */
  nodeOptions: string[];
  /** Told of its port, each time that it is up. */
  onPort: (port: number) => void;
}

/** What `serve` prints on stdout once it takes calls. */
const READY = /listening on http:\/\/\S+:(\d+)/;
const STOP_WITHIN_MS = 20_000;

export class BrokerProcess {
  readonly name: string;
  /** The folder of the program that its next start runs. */
  code: string;
  /** Where it listens, or did last. */
  port: number | undefined;
  readonly #options: BrokerOptions;
  #child: ChildProcess | undefined;
  #isStopped = false;

  constructor(options: BrokerOptions) {
    this.name = options.name;
    this.code = options.code;
    this.#options = options;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isUp(): boolean {
    return this.#child !== undefined && !ended(this.#child) && !this.#isStopped;
  }

  /** Resolves once it takes calls; rejects with the end of its log when it leaves before that. */
  async start(): Promise<void> {
    const { folder, name, nodeOptions, onPort } = this.#options;
    const log = openSync(this.logFile, "a");
    const child = spawn(process.execPath, [...nodeOptions, join(this.code, "src/main.ts"), "serve"], {
      cwd: folder,
      env: this.#environment(),
      stdio: ["ignore", "pipe", log],
    });
    closeSync(log);
    endWithUs(child);
    this.#child = child;
    this.#isStopped = false;
    const { promise: port, resolve: isReady } = Promise.withResolvers<number>();
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const found = READY.exec(line)?.[1];
      if (found !== undefined) isReady(Number(found));
    });
    const gone = once(child, "exit").then(([code, signal]) => `${signal ?? code}`);
    const first = await Promise.race([port, gone]);
    if (typeof first === "string") throw new Error(`broker ${name} has ended (${first}):\n${this.#endOfLog()}`);
    this.port = first;
    onPort(first);
  }

  /** SIGKILL leaves it no time; SIGTERM lets it drain. Resolves when it is gone. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined || ended(child)) return;
    const gone = once(child, "exit");
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
    child.kill(signal);
    await gone;
    clearTimeout(late);
  }

  stop(): void {
    this.#isStopped = true;
    this.#child?.kill("SIGSTOP");
  }

  goOn(): void {
    this.#isStopped = false;
    this.#child?.kill("SIGCONT");
  }

  get logFile(): string {
    return join(this.#options.folder, `broker-${this.#options.name}.log`);
  }

  /** The person's own settings, a DATABASE_URL above all, must not reach it. */
  #environment(): NodeJS.ProcessEnv {
    const env = environment();
    for (const { env: name } of listSettings()) delete env[name];
    return {
      ...env,
      DATABASE_URL: this.#options.databaseUrl,
      PORT: "0",
      INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
      INTERNAL_API_TOKEN: API_TOKEN,
      ...this.#options.settings,
    };
  }

  #endOfLog(): string {
    return readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-10).join("\n");
  }
}
