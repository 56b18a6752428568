/**
 * A worker of the original's kind: it polls the REST endpoints, one job at a time, and knows neither lease nor heartbeat.
 * Most of the jobs that ask for a failure fail here, and each of these is told again when it may be another's.
 */
import { Dice } from "../dice.ts";
import { pass } from "../pace.ts";
import { answerParent, type Payload, settingsOf, type WorkerSettings } from "./settings.ts";
import { recorder } from "./tap.ts";

const { name, token, urls, seed } = settingsOf<WorkerSettings>();
const CALL_MS = 2_000;
const IDLE_MS = 50;
const dice = new Dice(seed, name);
let ended = 0;

interface Polled {
  job: { id: string; payload: Payload } | null;
}

async function send<T>(path: string, init: RequestInit = {}): Promise<{ status: number; body: T }> {
  const answer = await fetch(`${dice.pick(urls)}/api/v1/internal/ai/job/${path}/`, {
    ...init,
    headers: { "x-worker-token": token, "x-worker-id": name, "content-type": "application/json" },
    signal: AbortSignal.timeout(CALL_MS),
  });
  return { status: answer.status, body: (await answer.json()) as T };
}

async function poll(): Promise<Polled["job"]> {
  const call = recorder.invoke("legacyClaim", { worker: name });
  try {
    const { status, body } = await send<Polled>("next");
    if (status !== 200) call.unknown(`status ${status}`, { worker: name });
    else call.ok({ worker: name, items: body.job === null ? [] : [{ job: body.job.id }] });
    return status === 200 ? body.job : null;
  } catch (error) {
    call.unknown(String(error), { worker: name });
    return null;
  }
}

/** Sends it until it is answered, as the original does. */
async function report(job: string, status: "DONE" | "FAILED"): Promise<void> {
  const result = status === "DONE" ? { by: name, at: dice.between(0, 1_000_000) } : null;
  for (;;) {
    const items = [{ job, status, result: result && JSON.stringify(result) }];
    const call = recorder.invoke("legacyReport", { worker: name, items });
    try {
      const body = JSON.stringify({ job_id: job, status, result, error: "it fails, as the job asks" });
      const { status: code, body: told } = await send<{ detail: string }>("result", { method: "POST", body });
      if (code === 200 || code === 404) {
        return call.ok({ worker: name, items: [{ job, status: code === 404 ? "not_found" : told.detail }] });
      }
      call.unknown(`status ${code}`, { worker: name });
    } catch (error) {
      call.unknown(String(error), { worker: name });
    }
    await pass(100);
  }
}

answerParent({ ended: () => ended });
for (;;) {
  const job = await poll();
  if (job === null) {
    await pass(IDLE_MS);
    continue;
  }
  await pass(job.payload.ms);
  const fails = job.payload.failures > 0 && dice.chance(0.7);
  await report(job.id, fails ? "FAILED" : "DONE");
  for (const ms of fails ? [60, 150, 300, 600] : []) void pass(ms).then(() => report(job.id, "FAILED"));
  ended += 1;
}
