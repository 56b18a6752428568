/** What Node says of the process: CPU, memory, file descriptors, garbage collection, event-loop lag. */
import type { Registry } from "prom-client";

let shared: Registry | undefined;

/**
 * The same for all brokers of a process, from the first scrape on: prom-client's watchers of the event loop and the
 * garbage collector cannot be ended, so there must not be some for each broker that a process ever had.
 */
export function processMetrics(client: typeof import("prom-client")): Registry {
  if (shared === undefined) {
    shared = new client.Registry();
    client.collectDefaultMetrics({ register: shared });
  }
  return shared;
}
