/** GET /metrics, for Prometheus: with a token of the operators, or without where a setting says so. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Gate } from "./auth.ts";
import { type CallRecorder, NO_CALLS } from "./call-recorder.ts";
import type { RestHandler } from "./handle-request.ts";
import { createPageGate } from "./page-gate.ts";
import { pathOf, refuseMethod } from "./refusals.ts";

export const METRICS_PATH = "/metrics";

export interface MetricsPageOptions {
  /** The page as it is now. */
  scrape: () => Promise<{ contentType: string; text: string }>;
  gate: Gate;
  /** Whether it is shown without a token. */
  isOpen: boolean;
  calls?: CallRecorder;
}

/** Answers requests to its own path alone. Rejects where the page cannot be made, which is a fault of ours. */
export function createMetricsPage({ scrape, gate, isOpen, calls = NO_CALLS }: MetricsPageOptions): RestHandler {
  const refused = createPageGate({ gate, opensTo: "operators", name: "metrics", calls });
  return async (req, res) => {
    if (pathOf(req) !== METRICS_PATH) return false;
    if (req.method !== "GET" && req.method !== "HEAD") {
      calls.failed("metrics", "NOT_SERVED");
      refuseMethod(req, res, ["GET", "HEAD"]);
      return true;
    }
    if (!isOpen && refused(req, res)) return true;
    show(req, res, await scrape());
    return true;
  };
}

function show({ method }: IncomingMessage, res: ServerResponse, page: { contentType: string; text: string }): void {
  // The scraper may have given up meanwhile.
  if (res.destroyed) return;
  const bytes = Buffer.from(page.text);
  res.setHeader("content-type", page.contentType);
  res.setHeader("content-length", bytes.length);
  // A page of numbers, and of names of job types that producers chose: nothing to be run or kept.
  res.setHeader("x-content-type-options", "nosniff");
  res.setHeader("cache-control", "no-store");
  res.end(method === "HEAD" ? undefined : bytes);
}
