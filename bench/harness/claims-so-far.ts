/**
 * How long a broker's claims take, by the sums on its own page of metrics. Reading it costs one count of the waiting jobs,
 * at most a twentieth of the time; pg_stat_statements would be paid for with every statement of every measure.
 */
import { API_TOKEN } from "./broker.ts";

export interface Claims {
  count: number;
  /** All together, the wait for a connection included. */
  seconds: number;
}

/** Since the start of the broker. */
export async function claimsSoFar(url: string): Promise<Claims> {
  const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${API_TOKEN}` } });
  const page = await answer.text();
  if (!answer.ok) throw new Error(`the metrics were answered with ${answer.status}: ${page}`);
  const read = (part: string) =>
    Number(new RegExp(`^aibroker_statement_seconds_${part}\\{move="claim"\\} (\\S+)$`, "m").exec(page)?.[1] ?? 0);
  return { count: read("count"), seconds: read("sum") };
}

/** The mean of those between two looks, in ms. */
export function claimMs(before: Claims, after: Claims): number {
  return ((after.seconds - before.seconds) * 1e3) / (after.count - before.count);
}
