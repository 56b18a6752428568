/** Brokers' processes that own or share an embedded Postgres, for tests that kill them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { EmbeddedOptions } from "../../src/store/embedded.ts";

export interface Owner {
  child: ChildProcess;
  url: string;
  attached: boolean;
  /** Why there is no database, where there is none. */
  error: string | undefined;
  /** Resolves with the exit code. */
  gone: Promise<number | null>;
  /** Lets it stop its database and leave. */
  leave(): Promise<void>;
  /** Resolves when a line of its log contains the text, also if it came before. */
  logged(text: string): Promise<void>;
}

const program = fileURLToPath(new URL("embedded-owner.ts", import.meta.url));

/** Starts one, at the head of a process group, and waits for its answer. `prefix` is put before the command, for example to be another user. */
export async function startOwner(options: EmbeddedOptions, prefix: string[] = []): Promise<Owner> {
  const [command = "", ...args] = [...prefix, process.execPath, program, JSON.stringify(options)];
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  const gone = once(child, "exit").then(([code]) => code as number | null);
  const lines: string[] = [];
  const waiting: { text: string; resolve: () => void }[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    for (const { text, resolve } of waiting) if (line.includes(text)) resolve();
  });
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    gone.then((code) => [JSON.stringify({ error: `left with code ${code}: ${lines.join("\n")}` })]),
  ]);
  const answer = JSON.parse(line as string) as { url: string; attached: boolean; error?: string };
  return {
    child,
    gone,
    url: answer.url,
    attached: answer.attached,
    error: answer.error,
    leave: async () => {
      child.stdin.write("leave\n");
      await gone;
    },
    logged: async (text) => {
      if (lines.some((line) => line.includes(text))) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ text, resolve });
      await promise;
    },
  };
}
