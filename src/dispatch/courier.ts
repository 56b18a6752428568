/**
 * Tells the broker that holds a worker's stream what happened to it elsewhere: a newer stream of the same instance, or
 * a lease that was reported, cancelled or taken back through another broker. A lost message costs time, never a job:
 * heartbeats, the claim's own check of the session and the session loop find the same out.
 */
import { z } from "zod";
import type { Sql } from "../store/db.ts";
import { listen, notify } from "../store/notify.ts";

/** The newest stream of an instance. */
export interface Newer {
  instanceId: string;
  epoch: number;
  /** How often live streams of the instance have pushed one another out lately. */
  times: number;
}

export interface Courier {
  /** The instance has a newer stream. */
  superseded(newer: Newer): void;
  /** The older stream of the instance has ended here, and what went back is back. */
  left(instanceId: string): void;
  /** Something happened to leases of the instance. */
  touched(instanceId: string): void;
  stop(): Promise<void>;
}

export interface CourierOptions {
  sql: Sql;
  /** For LISTEN. */
  direct: Sql;
  /** This broker: its own messages are not news to it. */
  brokerId: string;
  onSuperseded: (newer: Newer) => void;
  onLeft: (brokerId: string, instanceId: string) => void;
  onTouched: (instanceIds: string[]) => void;
  /** The line is there, for the first time or again: messages may have been missed. */
  onConnected: () => void;
  onError: (err: unknown) => void;
}

/** NOTIFY takes a lock that all commits share: at most one in this time. */
const GAP_MS = 20;
/** Of each kind in one message: Postgres takes 8,000 bytes, and everything in it is ASCII. */
const MOST_BYTES = 2_500;

const letter = z.object({
  from: z.string(),
  superseded: z.array(z.object({ instanceId: z.string(), epoch: z.number(), times: z.number() })),
  left: z.array(z.string()),
  touched: z.array(z.string()),
});

export function createCourier(options: CourierOptions): Courier {
  const superseded = new Map<string, Newer>();
  const left = new Set<string>();
  const touched = new Set<string>();
  let gap: NodeJS.Timeout | undefined;
  let stopped = false;
  const line = listen(options.direct, "ai_session", read, options.onConnected);
  line.catch(options.onError);

  function read(text: string): void {
    const parsed = letter.safeParse(parseJson(text));
    if (!parsed.success) {
      options.onError(new Error("a message on ai_session is none of a broker's"));
      return;
    }
    if (stopped || parsed.data.from === options.brokerId) return;
    for (const newer of parsed.data.superseded) options.onSuperseded(newer);
    for (const instanceId of parsed.data.left) options.onLeft(parsed.data.from, instanceId);
    if (parsed.data.touched.length > 0) options.onTouched(parsed.data.touched);
  }

  function send(): void {
    if (gap !== undefined || stopped) return;
    const newer = within(superseded.values());
    const gone = within(left);
    const news = within(touched);
    if (newer.length + gone.length + news.length === 0) return;
    for (const { instanceId } of newer) superseded.delete(instanceId);
    for (const instanceId of gone) left.delete(instanceId);
    for (const instanceId of news) touched.delete(instanceId);
    gap = setTimeout(() => {
      gap = undefined;
      send();
    }, GAP_MS);
    gap.unref();
    const text = JSON.stringify({ from: options.brokerId, superseded: newer, left: gone, touched: news });
    notify(options.sql, "ai_session", text).catch(options.onError);
  }

  return {
    superseded(newer) {
      if ((superseded.get(newer.instanceId)?.epoch ?? 0) < newer.epoch) superseded.set(newer.instanceId, newer);
      send();
    },
    left(instanceId) {
      left.add(instanceId);
      send();
    },
    touched(instanceId) {
      touched.add(instanceId);
      // Together with what else this turn touches.
      queueMicrotask(send);
    },
    async stop() {
      stopped = true;
      clearTimeout(gap);
      // Not waited for: one that broke may never answer, and the end of its pool ends it.
      line.then((unlisten) => unlisten()).catch(() => undefined);
    },
  };
}

/** As many of the first items as fit. */
function within<T>(items: Iterable<T>): T[] {
  const taken: T[] = [];
  let bytes = 0;
  for (const item of items) {
    bytes += JSON.stringify(item).length + 1;
    if (bytes > MOST_BYTES) break;
    taken.push(item);
  }
  return taken;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
