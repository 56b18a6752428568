/** The rolling restart: both brokers, one after the other, each in the middle of a job. */
import type { Broker } from "./brokers.ts";
import type { Run } from "./ledger.ts";
import type { Scene } from "./scene.ts";
import { seconds } from "./text.ts";

/** A job that is being worked on. */
export interface InHand {
  run: Run;
  sheet: string;
}

/**
 * Restarts the broker that the worker with the job in hand is on, then makes another job begin and restarts the other broker.
 * Resolves when both serve again.
 */
export async function restartBoth(scene: Scene, inHand: InHand, beginAnother: () => Promise<InHand>): Promise<void> {
  const { brokers, switchboard } = scene.stage;
  const first = switchboard.brokerOf(inHand.run.worker) ?? brokers[0];
  const second = brokers.find((broker) => broker !== first);
  if (first === undefined || second === undefined) throw new Error("a rolling restart needs two brokers");
  await restart(scene, first, inHand);
  // Its workers have moved to this one.
  await restart(scene, second, await beginAnother());
}

/** Resolves when it serves again. Rejects when it does not end in good order. */
async function restart(scene: Scene, broker: Broker, { run, sheet }: InHand): Promise<void> {
  const { stage, ledger, show } = scene;
  const { worker } = run;
  const streams = Object.values(scene.workers).some(({ id, by }) => id === worker && by === "stream");
  const moves = streams && stage.switchboard.brokerOf(worker) === broker;
  const [atMs, startedAt] = [Date.now(), performance.now()];
  const drained = broker.drain();
  show.say(
    `${broker.name} got SIGTERM while ${worker} reads ${sheet}: ${worker} ${moves ? "takes it along" : "goes on"}`,
    "bad",
  );
  await drained;
  const now = () => (run.end === undefined ? `${worker} reads ${sheet} on` : `${worker} has read ${sheet}`);
  show.say(() => `${broker.name} drained and ended, and starts again; ${now()}`);
  await broker.start();
  const tookMs = performance.now() - startedAt;
  ledger.restarts.push({ broker: broker.name, atMs, tookMs });
  show.say(`${broker.name} serves again after ${seconds(tookMs)}, on the same port`, "good");
}
