/** Who is on the stage of the demo. */
import type { Ledger } from "./ledger.ts";
import type { Show } from "./show.ts";
import type { Stage, Workers } from "./stage.ts";

export interface Scene {
  stage: Stage;
  workers: Workers;
  ledger: Ledger;
  show: Show;
}
