/** The moves as one broker makes them: the store's statement, then who is woken and what is logged. */
import { endingMoves } from "./ending-moves.ts";
import { leaseMoves } from "./lease-moves.ts";
import type { BrokerMoves } from "./moves.ts";
import type { MovesOptions } from "./moves-options.ts";
import { operatorMoves } from "./operator-moves.ts";
import { producerMoves } from "./producer-moves.ts";

/** All of them, on one database. */
export function createMoves(options: MovesOptions): BrokerMoves {
  return { ...producerMoves(options), ...leaseMoves(options), ...endingMoves(options), ...operatorMoves(options) };
}
