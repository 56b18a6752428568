/** Who is asking. */
import type { IncomingMessage } from "node:http";
import { LIMITS } from "../job/limits.ts";
import { headerOf } from "./headers.ts";
import { Refusal } from "./refusal.ts";

/** What a worker without X-Worker-Id is called. */
const UNNAMED = "ai-worker";
// Tabs pass, and the upper control characters too: an id in UTF-8 has them when it is read as Latin-1.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]/;

/** The caller's X-Worker-Id, as long as it may be: a report may come under any name, a claim may not. */
export function workerIdOf(req: IncomingMessage): string {
  return headerOf(req, "x-worker-id") || UNNAMED;
}

/** Whether locked_by can hold the id. */
export function canHoldLeases(workerId: string): boolean {
  return workerId.length <= LIMITS.workerId && !CONTROLS.test(workerId);
}

/** Throws Refusal 400 where it cannot. */
export function checkWorkerId(workerId: string): void {
  if (canHoldLeases(workerId)) return;
  const fault =
    workerId.length > LIMITS.workerId
      ? `is longer than ${LIMITS.workerId} characters: use a shorter one`
      : "holds control characters: use printable ones";
  throw new Refusal(400, `X-Worker-Id ${fault}`);
}
