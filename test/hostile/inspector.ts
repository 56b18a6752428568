/** The inspector of another process: what alone can ask it to free what it does not need. */

export interface Inspector {
  /** Has it collect its garbage, all of it. */
  collect(): Promise<void>;
  /**
   * Has its allocator return what is free. glibc does that by itself for the end of its heap only, so that after 10,000
   * connections a process with 15 MB in use may hold 270. A process without malloc_trim is left as it is.
   */
  trim(): Promise<void>;
}

const TRIM = `try {
  const { dlopen } = process.getBuiltinModule("node:ffi");
  const own = dlopen(null, { malloc_trim: { arguments: ["u64"], return: "i32" } });
  own.functions.malloc_trim(0n);
  own.lib.close();
} catch {}`;

/** Speaks to the inspector at a ws: address until the other process ends. */
export async function connectInspector(address: string): Promise<Inspector> {
  const socket = new WebSocket(address);
  const waiting = new Map<number, () => void>();
  socket.addEventListener("message", ({ data }) => {
    const { id } = JSON.parse(String(data)) as { id?: number };
    if (id !== undefined) waiting.get(id)?.();
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error(`no inspector answers at ${address}`)));
  });
  let last = 0;
  const ask = (method: string, params = {}) =>
    new Promise<void>((resolve) => {
      const id = ++last;
      waiting.set(id, () => {
        waiting.delete(id);
        resolve();
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
  return {
    collect: () => ask("HeapProfiler.collectGarbage"),
    trim: () => ask("Runtime.evaluate", { expression: TRIM }),
  };
}
