/** The bounds of every input (contract: docs/architecture.md and the comments in proto/). Lengths are code points. */
export const LIMITS = {
  id: 64,
  type: 50,
  tenantId: 64,
  sourceDomain: 64,
  sourceId: 64,
  workerId: 128,
  idempotencyKey: 64,
  requestId: 64,
  instanceId: 64,
  client: 128,
  traceparent: 128,
  progressNote: 500,
  reason: 500,
  /** Longer error texts are cut, not refused, as the original does. */
  error: 5_000,
  priority: 1_000,
  maxAttempts: 1_000,
  typesPerClaim: 100,
  batch: 1_000,
  page: 500,
  jsonDepth: 64,
  waitMs: 30_000,
  retryDelayMs: 30 * 24 * 3_600_000,
} as const;

/** Cuts a text to `max` code points, never through the middle of one. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  const points = Array.from(text);
  return points.length <= max ? text : points.slice(0, max).join("");
}
