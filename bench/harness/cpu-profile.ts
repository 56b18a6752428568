/** What V8's sampling profiler tells, summed up by who the code belongs to. */

export interface CpuProfile {
  nodes: ProfileNode[];
  /** Ids of nodes, one for each sample. */
  samples: number[];
  /** In µs, before each sample. */
  timeDeltas: number[];
}

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  children?: number[];
}

export interface Profiled {
  profile: CpuProfile;
  /** 99 of 100 turns of the event loop were no later than this. */
  loopDelayMs: number;
}

/** A sample as often as this: a drain of some seconds has ten thousand of them. */
export const EVERY_US = 500;

export interface Sums {
  /** In µs, by whose code it is; what was idle is left out. */
  byOwner: Map<string, number>;
  /** In µs, by function and place. */
  byFunction: Map<string, number>;
}

/** Each function's own time. */
export function sumUp({ nodes, samples, timeDeltas }: CpuProfile): Sums {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const sums: Sums = { byOwner: new Map(), byFunction: new Map() };
  for (const [at, id] of samples.entries()) {
    const node = byId.get(id);
    if (node === undefined || node.callFrame.functionName === "(idle)") continue;
    const us = timeDeltas[at + 1] ?? 0;
    // What V8 has built in works for whoever has called it.
    let owner = node;
    while (isBuiltIn(owner)) owner = byId.get(parents.get(owner.id) ?? 0) ?? OUTSIDE;
    add(sums.byOwner, ownerOf(owner), us);
    add(sums.byFunction, placeOf(node), us);
  }
  return sums;
}

const OUTSIDE: ProfileNode = { id: -1, callFrame: { functionName: "(program)", url: "", lineNumber: 0 } };

function isBuiltIn({ callFrame: { url, functionName } }: ProfileNode): boolean {
  return url === "" && !functionName.startsWith("(");
}

const OWNERS: [RegExp, (parts: RegExpExecArray) => string][] = [
  [/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/, ([, name]) => name ?? ""],
  [/\/(?:dist|src)\/gen\//, () => "our generated code"],
  [/\/(?:dist|src)\/([^/]+)\//, ([, room]) => `our ${room}`],
  [/\/bench\//, () => "the bench"],
  [/^node:internal\/http2\//, () => "node: HTTP/2"],
  [/^node:(internal\/)?(net|stream|js_stream|streams)/, () => "node: sockets and streams"],
  [/^node:/, () => "node: other"],
];

function ownerOf({ callFrame: { url, functionName } }: ProfileNode): string {
  if (functionName === "(garbage collector)") return "garbage collection";
  if (url === "") return "native code: system calls, nghttp2, V8";
  for (const [pattern, named] of OWNERS) {
    const parts = pattern.exec(url);
    if (parts !== null) return named(parts);
  }
  return "the rest";
}

function placeOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const file = url.replace(/^.*\/node_modules\//, "").replace(/^.*\/((?:dist|src|bench)\/)/, "$1");
  return file === "" ? functionName : `${functionName || "(nameless)"} ${file}:${lineNumber + 1}`;
}

function add(sums: Map<string, number>, key: string, us: number): void {
  sums.set(key, (sums.get(key) ?? 0) + us);
}
