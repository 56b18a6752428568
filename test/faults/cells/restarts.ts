/** What is done to a service on a working day, and what the harness does to itself. */
import { until } from "../../support/until.ts";
import type { Cell } from "../cell.ts";
import { pass } from "../pace.ts";

export const RESTARTS: readonly Cell[] = [
  {
    name: "rolling-restart",
    about: "SIGTERM and a new start of one broker after the other",
    rounds: 2,
    async deal(world, dice) {
      for (const broker of world.brokers) {
        world.fault(`SIGTERM of broker ${broker.name}`);
        await broker.end("SIGTERM");
        await pass(dice.between(0, 300));
        await broker.start();
        await pass(dice.between(100, 400));
      }
    },
  },
  {
    name: "planted",
    about: "for the programme's own test: an acknowledged job is taken away, which must be found",
    rounds: 1,
    hidden: true,
    async deal(world) {
      world.fault("a DONE job is deleted behind the brokers' backs");
      // On a fast machine the load may be a few milliseconds old here, and nothing done yet.
      await until("a job is DONE, and taken away", async () => {
        const gone = await world.sql`
          DELETE FROM ai_job WHERE id = (SELECT id FROM ai_job WHERE status = 'DONE' ORDER BY id LIMIT 1) RETURNING id`;
        return gone.length > 0;
      });
    },
  },
];
