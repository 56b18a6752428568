/**
 * OpenTelemetry's API, from the moment that the user's SDK has registered itself. Before that it is not even loaded: it
 * is fifty modules and 30 ms at each start of a program, and would answer to everything with nothing.
 */
import { createRequire } from "node:module";
import type * as OpenTelemetry from "@opentelemetry/api";

export type Api = typeof OpenTelemetry;

/** Where every copy of the API looks for the SDK, and where the SDK registers; the same for all versions 1.x. */
const REGISTERED = Symbol.for("opentelemetry.js.api.1");

let loaded: Api | undefined;
let isMissing = false;

/** Undefined when no SDK is registered. */
export function registeredApi(): Api | undefined {
  if ((globalThis as Record<symbol, unknown>)[REGISTERED] === undefined || isMissing) return undefined;
  if (loaded === undefined) load();
  return loaded;
}

function load(): void {
  try {
    // At once, and no promise of it: a job that is claimed now is in its trace now.
    loaded = createRequire(import.meta.url)("@opentelemetry/api") as Api;
  } catch {
    // Bundled into a program without the package: then there are no spans.
    isMissing = true;
  }
}
