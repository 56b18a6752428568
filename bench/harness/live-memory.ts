/**
 * What a process really holds: asked over its inspector after a full collection. Its RSS alone says little about a
 * thousand streams, since V8 keeps tens of MiB that it once needed.
 */
import { Inspector } from "./inspector.ts";

interface Memory {
  heapUsed: number;
  external: number;
}

/** In MiB: the heap and what hangs on it outside, of a process that was started with --inspect=0 and logs to this file. */
export async function liveMib(logFile: string): Promise<number> {
  using inspector = await Inspector.open(logFile);
  // The second one takes what the finalizers of the first have let go.
  for (let times = 0; times < 2; times++) await inspector.ask("HeapProfiler.collectGarbage");
  const expression = "process.memoryUsage()";
  const asked = { expression, returnByValue: true };
  const { result } = await inspector.ask<{ result: { value: Memory } }>("Runtime.evaluate", asked);
  return (result.value.heapUsed + result.value.external) / 2 ** 20;
}
