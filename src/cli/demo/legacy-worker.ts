/**
 * A worker as they were before gRPC: it polls one URL, takes whatever type comes, and posts the result to another. It
 * knows one broker, no lease, and sends no heartbeat.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { attempt, type Cast, order, tell } from "./ipc.ts";
import { openSkills } from "./skills.ts";

/** The old workers waited 1 s or more; the demo is in a hurry. */
const POLL_EVERY_MS = 250;

interface LegacyJob {
  id: string;
  type: string;
  payload: Record<string, unknown>;
}

/** Works until the process is ended. */
export async function workOverRest({ workerId, token, imageDir, languageDir }: Cast): Promise<never> {
  const headers = { "X-Worker-Token": token, "X-Worker-Id": workerId };
  const skills = openSkills(imageDir, languageDir);
  const going = order("go");
  tell({ kind: "ready" });
  const [url] = (await going).urls;
  const base = `${url}/api/v1/internal/ai/job`;
  for (;;) {
    const { job } = await ask<{ job: LegacyJob | null }>(`${base}/next/`, { headers });
    if (job === null) {
      await sleep(POLL_EVERY_MS);
      continue;
    }
    const body = await attempt(job.id, () => skills.work(job.type, job.payload)).then(
      (result) => ({ job_id: job.id, status: "DONE", result }),
      (error: Error) => ({ job_id: job.id, status: "FAILED", error: error.message }),
    );
    await ask(`${base}/result/`, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  }
}

/** Asks until there is an answer: a broker that is away, or still starting (503), is asked again. */
async function ask<Answer>(url: string, init: RequestInit): Promise<Answer> {
  for (;;) {
    const response = await fetch(url, init).catch(() => undefined);
    if (response?.ok) return (await response.json()) as Answer;
    if (response && response.status !== 503) {
      throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
    }
    await sleep(POLL_EVERY_MS);
  }
}
