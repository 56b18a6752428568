/**
 * A store that fails: with FLAKY_STORE=0.02 two of a hundred calls that a test's broker makes of Postgres fail, half of
 * them before they are done, half of them after (FLAKY_SEED draws them). The test's clients then do what the contract asks
 * of a caller: what was answered with DATABASE_DOWN is asked again, under the same ids. `npm run test:flaky`
 */

import { randomUUID, randomUUIDv7 } from "node:crypto";
import type { Interceptor, UnaryRequest, UnaryResponse } from "@connectrpc/connect";
import type { DispatchRequest, DispatchResponse } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { type ClaimRequest, type ReportResponse, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Dice } from "../faults/dice.ts";
import { addressIn, Link, urlThrough } from "../faults/proxy.ts";
import { readError } from "./rpc-clients.ts";

const SHARE = Number(process.env["FLAKY_STORE"] ?? 0);
const SEED = Number(process.env["FLAKY_SEED"] ?? 1);
/** So often in a row is no chance any more. */
const MOST_TRIES = 20;

export const isFlaky = SHARE > 0;

export interface Way {
  /** Of the same database. */
  url: string;
  close(): Promise<void>;
}

let ways = 0;

/** The way to a test's database: the straight one, unless FLAKY_STORE says otherwise. */
export async function wayTo(databaseUrl: string): Promise<Way> {
  if (!isFlaky) return { url: databaseUrl, close: async () => undefined };
  const dice = new Dice(SEED, String(ways++));
  const link = await Link.open({ name: "broker>db", to: addressIn(databaseUrl) });
  link.flaky({ share: SHARE, draw: () => dice.next() });
  return { url: urlThrough(link, databaseUrl), close: () => link.close() };
}

/** For the clients of one broker. */
export function repeats(): Interceptor[] {
  if (!isFlaky) return [];
  /** Jobs that were asked for before. */
  const known = new Set<string>();
  return [
    (next) => async (req) => {
      if (req.stream) return next(req);
      const names = namesOf(req);
      for (let tries = 1; ; tries++) {
        try {
          const res = await next(req);
          if (tries > 1 && !res.stream) asAnsweredFirst(res, known);
          for (const name of names) known.add(name);
          return res;
        } catch (err) {
          if (tries === MOST_TRIES || readError(err).reason !== "DATABASE_DOWN") throw err;
        }
      }
    },
  ];
}

/** Names what has no name, so that asking again does it once; answers the ids of jobs to make. */
function namesOf({ message }: UnaryRequest): string[] {
  switch (message.$typeName) {
    case "aibroker.v1.ClaimRequest":
      (message as ClaimRequest).requestId ||= randomUUID();
      return [];
    case "aibroker.v1.DispatchRequest": {
      const { jobs } = message as DispatchRequest;
      for (const job of jobs) if (job.idempotencyKey === "") job.id ??= randomUUIDv7();
      return jobs.flatMap(({ id }) => id ?? []);
    }
    default:
      return [];
  }
}

/** An answer to a repeat says what the lost one said: the tests that ask once need not know of it. */
function asAnsweredFirst({ message }: UnaryResponse, known: ReadonlySet<string>): void {
  if (message.$typeName === "aibroker.v1.DispatchResponse") {
    for (const result of (message as DispatchResponse).results) result.created ||= !known.has(result.jobId);
  } else if (message.$typeName === "aibroker.v1.ReportResponse") {
    for (const result of (message as ReportResponse).results) {
      if (result.status === ReportStatus.DUPLICATE) result.status = ReportStatus.ACCEPTED;
    }
  }
}

/** A call of the old endpoints, again while the store is away. */
export async function repeated<T extends { status: number }>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const answer = await call();
    if (!isFlaky || answer.status !== 503 || tries === MOST_TRIES) return answer;
  }
}
