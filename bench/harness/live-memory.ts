/**
 * What a process really holds: asked over its inspector after a full collection. Its RSS alone says little about a
 * thousand streams, since V8 keeps tens of MiB that it once needed.
 */
import { readFileSync } from "node:fs";

interface Memory {
  heapUsed: number;
  external: number;
}

const ADDRESS = /Debugger listening on (ws:\S+)/g;

/** In MiB: the heap and what hangs on it outside, of a process that was started with --inspect=0 and logs to this file. */
export async function liveMib(logFile: string): Promise<number> {
  const url = [...readFileSync(logFile, "utf8").matchAll(ADDRESS)].at(-1)?.[1];
  if (url === undefined) throw new Error(`no inspector is named in ${logFile}`);
  const socket = new WebSocket(url);
  try {
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    // The second one takes what the finalizers of the first have let go.
    for (let times = 0; times < 2; times++) await ask(socket, "HeapProfiler.collectGarbage");
    const expression = "process.memoryUsage()";
    const { result } = await ask<{ result: { value: Memory } }>(socket, "Runtime.evaluate", {
      expression,
      returnByValue: true,
    });
    return (result.value.heapUsed + result.value.external) / 2 ** 20;
  } finally {
    socket.close();
  }
}

let last = 0;

function ask<T>(socket: WebSocket, method: string, params: object = {}): Promise<T> {
  const id = ++last;
  return new Promise((resolve, reject) => {
    const hear = ({ data }: MessageEvent) => {
      const message = JSON.parse(String(data)) as { id?: number; result: T; error?: object };
      if (message.id !== id) return;
      socket.removeEventListener("message", hear);
      if (message.error === undefined) resolve(message.result);
      else reject(new Error(`${method}: ${JSON.stringify(message.error)}`));
    };
    socket.addEventListener("message", hear);
    socket.send(JSON.stringify({ id, method, params }));
  });
}
