/**
 * Judges in a thread of its own: a history of 50,000 jobs takes seconds, in which the network between the processes of the
 * other lanes, which is this process, would carry nothing.
 */
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type Case, type Judged, judge } from "./judge.ts";

export async function judgeApart(one: Case): Promise<Judged> {
  const thread = new Worker(new URL(import.meta.url), { workerData: one });
  // Rejects with what was thrown there.
  const [judged] = (await once(thread, "message")) as [Judged];
  return judged;
}

if (!isMainThread) parentPort?.postMessage(await judge(workerData as Case));
