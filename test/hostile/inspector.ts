/** The inspector of another process: what alone can ask it to free what it does not need. */

export interface Inspector {
  /** Has it collect its garbage, all of it. */
  collect(): Promise<void>;
  /**
   * Has its allocator return what is free. glibc does that by itself for the end of its heap only, so that after 10,000
   * connections a process with 15 MB in use may hold 270. Rejects where there is glibc and it cannot be asked; a process on
   * another one is left as it is.
   */
  trim(): Promise<void>;
}

interface Answer {
  id?: number;
  result?: { result?: { value?: unknown } };
}

const TRIM = `try {
  const { dlopen } = process.getBuiltinModule("node:ffi");
  const own = dlopen(null, { malloc_trim: { arguments: ["u64"], return: "i32" } });
  own.functions.malloc_trim(0n);
  own.lib.close();
  true;
} catch {
  process.report.getReport().header.glibcVersionRuntime === undefined;
}`;

/** Speaks to the inspector at a ws: address until the other process ends. */
export async function connectInspector(address: string): Promise<Inspector> {
  const socket = new WebSocket(address);
  const waiting = new Map<number, (value: unknown) => void>();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as Answer;
    if (id !== undefined) waiting.get(id)?.(result?.result?.value);
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error(`no inspector answers at ${address}`)));
  });
  let last = 0;
  const ask = (method: string, params = {}) =>
    new Promise<unknown>((resolve) => {
      const id = ++last;
      waiting.set(id, (value) => {
        waiting.delete(id);
        resolve(value);
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
  return {
    collect: async () => void (await ask("HeapProfiler.collectGarbage")),
    async trim() {
      const isDone = await ask("Runtime.evaluate", { expression: TRIM, returnByValue: true });
      if (isDone !== true)
        throw new Error("malloc_trim could not be called: memory after an attack would not be judged");
    },
  };
}
