/** Ways in which a history that went well can be made a bad one by a single change. */

import { eventRows, jobRows, type Written, without } from "./bad-case.ts";
import type { CallRecord, Item } from "./record.ts";
import type { ResultVersion } from "./rows.ts";

export interface Mutation {
  name: string;
  /** All changes of this kind that the history has room for. */
  places: (all: Written) => (() => void)[];
}

interface Answered {
  ask: Item;
  answer: Item;
  invoke: CallRecord;
  end: CallRecord;
}

function answered({ records }: Written, op: CallRecord["op"]): Answered[] {
  const invokes = new Map(records.filter(({ phase }) => phase === "invoke").map((record) => [record.call, record]));
  return records.flatMap((end) => {
    const invoke = invokes.get(end.call);
    const [ask, answer] = [invoke?.items?.[0], end.items?.[0]];
    return end.op === op && end.phase === "ok" && invoke && ask && answer ? [{ ask, answer, invoke, end }] : [];
  });
}

const accepted = (all: Written) => answered(all, "report").filter(({ answer }) => answer.status === "ACCEPTED");

/** Accepted reports that no other call could have made in their place. */
function accountable(all: Written): Answered[] {
  return accepted(all).filter(({ ask, invoke }) => {
    const same = all.records.filter(({ op, phase, call, items = [] }) => {
      return op === "report" && phase === "invoke" && call !== invoke.call && items[0]?.token === ask.token;
    });
    return same.length === 0;
  });
}

const results = ({ versions }: Written) =>
  versions.filter((row): row is ResultVersion => row.table === "result" && row.change === "INSERT");
const claims = ({ records }: Written) =>
  records.filter(({ op, phase, items = [] }) => op === "claim" && phase === "ok" && items.length > 0);

/** A change of some facts of a line. */
function set<T extends object>(line: T, facts: Partial<T>): () => void {
  return () => void Object.assign(line, facts);
}

export const MUTATIONS: readonly Mutation[] = [
  { name: "a version of a job is lost", places: (all) => jobRows(all).map((row) => () => without(all.versions, row)) },
  { name: "an event is lost", places: (all) => eventRows(all).map((row) => () => without(all.versions, row)) },
  { name: "a result is lost", places: (all) => results(all).map((row) => () => without(all.versions, row)) },
  {
    name: "a result is another one",
    places: (all) => results(all).map((row) => set(row, { result: '{"other":true}' })),
  },
  {
    name: "an attempt is not counted",
    places: (all) =>
      jobRows(all)
        .filter(({ attempt }) => attempt > 0)
        .map((row) => set(row, { attempt: row.attempt - 1 })),
  },
  {
    name: "a delivery is counted twice",
    places: (all) => jobRows(all).map((row) => set(row, { deliveries: row.deliveries + 1 })),
  },
  {
    name: "an event's number is left out",
    places: (all) => eventRows(all).map((row) => set(row, { seq: row.seq + 100 })),
  },
  {
    name: "an event is written by another transaction",
    places: (all) => eventRows(all).map((row) => set(row, { tx: `${row.tx}0` })),
  },
  {
    name: "a token of nobody ends the job",
    places: (all) =>
      jobRows(all)
        .filter(({ was, settledAs }) => was === "RUNNING" && settledAs === "DONE")
        .map((row) => set(row, { settledToken: "nobody's" })),
  },
  {
    name: "a lease is told to two workers",
    places: (all) =>
      claims(all).map((claim) => () => {
        all.records.push({
          ...structuredClone(claim),
          process: "thief/1",
          worker: "thief",
          phase: "told",
          op: "push",
          at: claim.at + 1,
        });
      }),
  },
  {
    name: "a lease is told with another token",
    places: (all) => claims(all).map(({ items }) => set(items?.[0] ?? { job: "" }, { token: "nobody's" })),
  },
  {
    name: "a refused report is told that it was accepted",
    places: (all) =>
      answered(all, "report")
        .filter(({ answer }) => answer.status === "LEASE_LOST")
        .map(({ answer }) => set(answer, { status: "ACCEPTED" })),
  },
  {
    name: "an accepted report is told that it was refused",
    places: (all) => accountable(all).map(({ answer }) => set(answer, { status: "LEASE_LOST" })),
  },
  {
    name: "the report behind a result was never sent",
    places: (all) =>
      accountable(all).map(({ invoke, end }) => () => {
        without(all.records, invoke);
        without(all.records, end);
      }),
  },
  {
    name: "a heartbeat promises more than the lease has",
    places: (all) =>
      answered(all, "heartbeat")
        .filter(({ answer }) => answer.expiresAt !== undefined)
        .map(({ answer }) => set(answer, { expiresAt: (answer.expiresAt ?? 0) + 3_600_000_000 })),
  },
  {
    name: "a watcher is not told of an event",
    places: (all) => all.records.filter(({ op }) => op === "event").map((told) => () => without(all.records, told)),
  },
  {
    name: "an acknowledged job is gone",
    places: (all) =>
      all.final
        .filter((row) => row.table === "job")
        .map((row) => () => {
          all.final = all.final.filter(({ id }) => id !== row.id);
        }),
  },
  {
    name: "a job ends otherwise than its last move said",
    places: (all) =>
      all.final.flatMap((row) => (row.table === "job" ? [set(row, { eventSeq: row.eventSeq + 1 })] : [])),
  },
];
