/** A process of a cell, other than a broker: it is asked, stopped for a while, killed and started again. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ended, endWithUs } from "./child-end.ts";
import type { Answer, Question } from "./players/settings.ts";
import type { RecordTo } from "./players/tap.ts";

export interface PlayerOptions {
  name: string;
  /** A module of players/. */
  module: "stream-worker" | "plain-worker" | "legacy-worker" | "producer" | "crowd" | "receiver";
  settings: object;
  /** Histories and logs go here. */
  folder: string;
}

const PLAYERS = resolve(import.meta.dirname, "players");
const TAP = pathToFileURL(join(PLAYERS, "tap.ts")).href;

export class Player {
  readonly name: string;
  readonly #options: PlayerOptions;
  #child: ChildProcess;
  readonly #open = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>();
  #questions = 0;
  #isStopped = false;
  #isToEnd = false;
  #fell: string | undefined;

  constructor(options: PlayerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#child = this.#start();
  }

  /** Rejects when the process ends before it has answered. */
  ask<T>(question: string): Promise<T> {
    const id = ++this.#questions;
    const { promise, resolve: answered, reject } = Promise.withResolvers<T>();
    this.#open.set(id, { resolve: answered, reject });
    this.#child.send({ id, question } satisfies Question, (error) => error && reject(error));
    return promise;
  }

  /** Holds the process still, as if its machine had gone to sleep. */
  stop(): void {
    this.#isStopped = true;
    this.#child.kill("SIGSTOP");
  }

  goOn(): void {
    this.#isStopped = false;
    this.#child.kill("SIGCONT");
  }

  get isUp(): boolean {
    return !ended(this.#child) && !this.#isStopped;
  }

  /** How it has ended by itself, and says so once: whoever plays on without it has not played its part. */
  takeFall(): string | undefined {
    const fell = this.#fell;
    this.#fell = undefined;
    return fell;
  }

  async kill(): Promise<void> {
    if (ended(this.#child)) return;
    this.#isToEnd = true;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  /** Starts it again, as a new process of the same name. */
  async restart(): Promise<void> {
    await this.kill();
    this.#isStopped = false;
    this.#child = this.#start();
  }

  #start(): ChildProcess {
    const { name, module, settings, folder } = this.#options;
    this.#isToEnd = false;
    const log = openSync(join(folder, `${name}.log`), "a");
    const child = fork(join(PLAYERS, `${module}.ts`), [JSON.stringify(settings)], {
      execArgv: ["--import", TAP],
      env: { ...process.env, FAULTS_RECORD: JSON.stringify({ folder, name } satisfies RecordTo) },
      stdio: ["ignore", log, log, "ipc"],
    });
    closeSync(log);
    endWithUs(child);
    child.on("message", ({ id, answer }: Answer) => {
      this.#open.get(id)?.resolve(answer as never);
      this.#open.delete(id);
    });
    child.once("exit", (code, signal) => {
      if (!this.#isToEnd) this.#fell ??= `${name} has ended by itself (${signal ?? code}): see ${name}.log`;
      for (const { reject } of this.#open.values()) reject(new Error(`${name} has ended (${signal ?? code})`));
      this.#open.clear();
    });
    return child;
  }
}
