/** A process with a part of a fleet of workers. */
import { Fleet, type FleetOptions } from "../clients/fleet.ts";
import { answerParent } from "./answer-parent.ts";

let fleet: Fleet | undefined;

answerParent(
  {
    open: (options: FleetOptions) => {
      fleet = new Fleet(options);
    },
    state: () => fleet?.state,
    times: () => fleet?.times,
    mark: () => fleet?.mark(),
    reportAll: () => fleet?.reportAll(),
    count: () => fleet?.jobs,
    take: () => fleet?.takeLatencies(),
  },
  async () => fleet?.close(),
);
