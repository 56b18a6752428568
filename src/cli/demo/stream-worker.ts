/** A worker as one writes it today, with the SDK: jobs are pushed to it, and all else is done for it. */
import { createWorker, type ReceivedJob } from "../../client/index.ts";
import { attempt, type Cast, order, tell } from "./ipc.ts";
import { openSkills } from "./skills.ts";

/** Works until the process is ended. */
export async function workOverStream({ workerId, token, types, imageDir, languageDir }: Cast): Promise<never> {
  const skills = openSkills(imageDir, languageDir);
  if (types.includes("ocr")) await skills.warmUp();
  const going = order("go");
  tell({ kind: "ready" });
  const { urls, hold } = await going;
  const held = hold ? new Promise<never>(() => undefined) : undefined;
  const handler = ({ id, type, payload }: ReceivedJob<object>) =>
    attempt(id, () => skills.work(type, payload as Record<string, unknown>), held);
  const worker = createWorker<Record<string, { payload: object; result: object }>>({
    url: urls,
    token,
    workerId,
    types: Object.fromEntries(types.map((type) => [type, { handler }])),
    // The demo says when it is over.
    signals: false,
  });
  await worker.run();
  throw new Error("it stopped working, although nobody had asked it to");
}
