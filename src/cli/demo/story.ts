/** What happens in the demo, in order. Nothing here waits for a time: each step follows from one before. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { idOf, leaseEndsAtMs, type Wanted, wasRenewed } from "./board.ts";
import { type InHand, restartBoth } from "./restart.ts";
import type { Scene } from "./scene.ts";
import { imageOf, SHEETS_FOLDER, type Sheet } from "./sheets.ts";
import type { Stage } from "./stage.ts";
import { seconds } from "./text.ts";

/** The jobs of each sheet: the first two at once, the others when its text is known. */
export const TYPES = ["question_segmentation", "ocr", "embedding", "problem_generation"] as const;

/** Resolves when every job of every sheet is DONE. Takes three sheets: each has its own fate. */
export async function play(scene: Scene, sheets: Sheet[]): Promise<void> {
  const { stage, show } = scene;
  const [first, late, last] = sheets;
  if (first === undefined || late === undefined || last === undefined) throw new Error("the story needs three sheets");
  await Promise.all([first, last].map((sheet) => upload(stage, sheet)));
  await Promise.all([
    suffer(scene, first, late, last),
    uploadLate(scene, late),
    ...sheets.map((sheet) => goOn(scene, sheet)),
  ]);
  const all = sheets.length * TYPES.length;
  await show.until(() => stage.board.jobs().filter((job) => job.status === "DONE").length === all);
  show.say(`all ${all} jobs are DONE, through a killed worker and two broker restarts`, "good");
}

/** A worker dies with the first sheet, and both brokers are restarted: one with that sheet in hand, one with the last. */
async function suffer(scene: Scene, first: Sheet, late: Sheet, last: Sheet): Promise<void> {
  const takenOver = await loseOne(scene, first, [first, late]);
  await restartBoth(scene, takenOver, async () => {
    const begun = scene.ledger.nextRun(({ jobId }) => jobId === idOf(last.name, "ocr"));
    await scene.stage.board.dispatch(firstJobs(last));
    return { run: await begun, sheet: last.name };
  });
}

function firstJobs(sheet: Sheet): Wanted[] {
  const payload = { image_path: imageOf(sheet) };
  return [
    { sheet: sheet.name, type: "question_segmentation", payload },
    { sheet: sheet.name, type: "ocr", payload: { ...payload, engine: "tesseract", academy_id: 7 } },
  ];
}

/** Kills ocr-1 in the middle of its first job; resolves when another worker has begun with that job. */
async function loseOne({ stage, workers, ledger, show }: Scene, lost: Sheet, sheets: Sheet[]): Promise<InHand> {
  const { ocr1, ocr2, text1, legacy1 } = workers;
  const urls = stage.brokers.map(({ url }) => url);
  const begun = ledger.nextRun(({ worker }) => worker === ocr1.id);
  // ocr-1 alone waits for work when it comes, so the job that is lost is always the same.
  ocr1.tell({ kind: "go", urls, hold: true });
  await show.until(() => stage.switchboard.brokerOf(ocr1.id) !== undefined);
  show.say(`a producer dispatches ${sheets.length * 2} jobs: cut ${sheets.length} exam sheets, and read them`);
  await stage.board.dispatch(sheets.flatMap(firstJobs));
  const { jobId } = await begun;
  show.mention(`${lost.name} was pushed to ocr-1 over its open stream`);
  for (const worker of [ocr2, text1, legacy1]) worker.tell({ kind: "go", urls, hold: false });
  const job = () => stage.board.find(jobId);
  const leftMs = () => (leaseEndsAtMs(job()) ?? Date.now()) - Date.now();
  await show.until(() => job()?.status === "RUNNING");
  show.say(() => `ocr-1 reads ${lost.name} under a lease of ${seconds(leftMs())}; the SDK's heartbeat renews it`);
  await show.until(() => wasRenewed(job()) || job()?.worker !== ocr1.id);
  if (job()?.worker !== ocr1.id) throw new Error("ocr-1 lost its lease before it was killed: this machine is too busy");
  const takenOver = ledger.nextRun((run) => run.jobId === jobId);
  await ocr1.kill();
  show.say(
    () => `ocr-1 was killed with SIGKILL while it read ${lost.name}; its lease ends in ${seconds(leftMs())}`,
    "bad",
  );
  const run = await takenOver;
  show.say(`the lease ran out: ${run.worker} took ${lost.name} over`, "good");
  return { run, sheet: lost.name };
}

/** As soon as a sheet's text is known, its producer asks for more. */
async function goOn({ stage, show }: Scene, sheet: Sheet): Promise<void> {
  const read = () => stage.board.find(idOf(sheet.name, "ocr"))?.result?.["text"];
  await show.until(() => read() !== undefined);
  const text = String(read());
  await stage.board.dispatch([
    { sheet: sheet.name, type: "embedding", payload: { texts: [text], backend: "local" } },
    { sheet: sheet.name, type: "problem_generation", payload: { ocr_text: text } },
  ]);
  show.mention(`${sheet.name} is read: its embedding and new problems are dispatched`);
}

/** A producer that dispatches before its upload is complete: the attempt fails and the broker tries again. */
async function uploadLate({ stage, show }: Scene, sheet: Sheet): Promise<void> {
  await show.until(() => stage.board.jobs().some((job) => job.sheet === sheet.name && job.lastError !== ""));
  await upload(stage, sheet);
  show.mention(`${sheet.name} came before its upload: the attempt failed, the broker tries again`);
}

async function upload(stage: Stage, sheet: Sheet): Promise<void> {
  await copyFile(join(SHEETS_FOLDER, imageOf(sheet)), join(stage.imageDir, imageOf(sheet)));
}
