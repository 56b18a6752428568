/** Every seeded bug. */
import { ENDINGS } from "./endings.ts";
import { LEASES } from "./leases.ts";
import type { Mutant } from "./mutant.ts";
import { PRODUCERS } from "./producers.ts";

export const MUTANTS: readonly Mutant[] = [...LEASES, ...ENDINGS, ...PRODUCERS];
