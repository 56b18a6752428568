/** What happens in the demo, in order. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { leaseEndsAtMs } from "./board.ts";
import type { News } from "./ipc.ts";
import { imageOf, SHEETS_FOLDER, type Sheet } from "./sheets.ts";
import type { Show } from "./show.ts";
import type { Stage, Workers } from "./stage.ts";
import { seconds } from "./text.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** The jobs of each sheet: the first two at once, the others when its text is known. */
export const TYPES = ["question_segmentation", "ocr", "embedding", "problem_generation"] as const;

/** Resolves when every job of every sheet is DONE. Nothing here waits for a time: each step follows from one before. */
export async function play(stage: Stage, workers: Workers, sheets: Sheet[], show: Show): Promise<void> {
  const late = sheets.at(-1);
  await Promise.all(sheets.filter((sheet) => sheet !== late).map((sheet) => upload(stage, sheet)));
  await Promise.all([
    loseOne(stage, workers, sheets, show),
    ...sheets.map((sheet) => goOn(stage, sheet, show)),
    late && uploadLate(stage, late, show),
  ]);
  const all = sheets.length * TYPES.length;
  await show.until(() => stage.board.jobs().filter((job) => job.status === "DONE").length === all);
  show.say(`all ${all} jobs are done, also the one whose worker was killed`, "good");
}

function firstJobs(sheet: Sheet) {
  const payload = { image_path: imageOf(sheet) };
  return [
    { sheet: sheet.name, type: "question_segmentation", payload },
    { sheet: sheet.name, type: "ocr", payload: { ...payload, engine: "tesseract", academy_id: 7 } },
  ];
}

/** Kills ocr-1 in the middle of its first job, and watches another worker take the job over. */
async function loseOne(stage: Stage, { ocr1, ocr2, legacy }: Workers, sheets: Sheet[], show: Show): Promise<void> {
  const [began, beat] = [next(ocr1, "began"), next(ocr1, "beat")];
  // ocr-1 alone waits for work when it comes, so the job that is lost is always the same.
  ocr1.tell({ kind: "go", hold: true });
  await stage.board.dispatch(sheets.flatMap(firstJobs));
  show.say(`a producer dispatched ${sheets.length * 2} jobs over gRPC: cut and read ${sheets.length} exam sheets`);
  const jobId = await began;
  for (const worker of [ocr2, legacy]) worker.tell({ kind: "go", hold: false });
  const job = () => stage.board.byId(jobId);
  const leftMs = () => (leaseEndsAtMs(job()) ?? Date.now()) - Date.now();
  await show.until(() => job()?.status === "RUNNING");
  const sheet = job()?.sheet;
  show.say(() => `ocr-1 reads ${sheet} under a lease of ${seconds(leftMs())}; its heartbeat will renew it`);
  await beat;
  await ocr1.kill();
  show.markKilled(ocr1);
  show.say(() => `ocr-1 was killed with SIGKILL while it read ${sheet}; its lease ends in ${seconds(leftMs())}`, "bad");
  await show.until(() => (job()?.attempts ?? 0) > 1);
  show.say(
    () => `the lease ran out: ${job()?.worker || "another worker"} took ${sheet} over, attempt ${job()?.attempts}`,
    "good",
  );
}

/** As soon as a sheet's text is known, its producer asks for more. */
async function goOn(stage: Stage, sheet: Sheet, show: Show): Promise<void> {
  const read = () => stage.board.find(sheet.name, "ocr")?.result?.text;
  await show.until(() => read() !== undefined);
  const text = String(read());
  await stage.board.dispatch([
    { sheet: sheet.name, type: "embedding", payload: { texts: [text], backend: "local" } },
    { sheet: sheet.name, type: "problem_generation", payload: { ocr_text: text } },
  ]);
  show.mention(`${sheet.name} is read: its embedding and new problems are dispatched`);
}

/** A producer that dispatches before its upload is complete: the attempt fails and the broker tries again. */
async function uploadLate(stage: Stage, sheet: Sheet, show: Show): Promise<void> {
  await show.until(() => stage.board.jobs().some((job) => job.sheet === sheet.name && job.lastError !== ""));
  await upload(stage, sheet);
  show.mention(`${sheet.name} came before its upload: the attempt failed, the broker tries again after a pause`);
}

async function upload(stage: Stage, sheet: Sheet): Promise<void> {
  await copyFile(join(SHEETS_FOLDER, imageOf(sheet)), join(stage.imageDir, imageOf(sheet)));
}

/** The job of the worker's next news of this kind. */
function next(worker: WorkerProcess, kind: "began" | "beat"): Promise<string> {
  return new Promise((resolve) => worker.onNews((news: News) => void (news.kind === kind && resolve(news.jobId))));
}
