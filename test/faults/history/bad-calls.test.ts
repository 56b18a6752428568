/** Histories in which a caller was promised what is not so: each rule about answers finds its own, and shows it. */
import { describe, expect, test } from "vitest";
import {
  type BadCase,
  itemOf,
  jobRow,
  oneDone,
  oneReclaimed,
  resultRow,
  shownOf,
  unheard,
  violationsOf,
  without,
  written,
} from "./bad-case.ts";

const CASES: BadCase[] = [
  {
    rule: "acknowledged-dispatch-survives",
    name: "a job that was acknowledged and is nowhere",
    run: (run) => run.dispatch("a"),
    spoil: (all) => {
      all.versions.length = 0;
      all.final.length = 0;
    },
    shown: ["producer/1: dispatch invoke", "producer/1: dispatch ok"],
  },
  {
    rule: "created-once",
    name: "two dispatches of one job that both made it",
    run: (run) => {
      run.dispatch("a");
      run.dispatch("a");
    },
    spoil: (all) => {
      itemOf(all, "dispatch", "ok", 1).status = "CREATED";
    },
    shown: [
      "producer/1: dispatch invoke",
      "producer/1: dispatch ok",
      "producer/1: dispatch invoke",
      "producer/1: dispatch ok",
    ],
  },
  {
    rule: "one-job-per-key",
    name: "a key that was answered with two jobs",
    run: (run) => {
      run.dispatch("a");
      run.dispatch("b");
    },
    spoil: (all) => {
      for (const nth of [0, 1]) itemOf(all, "dispatch", "invoke", nth).key = "k";
    },
    shown: [
      "producer/1: dispatch invoke",
      "producer/1: dispatch ok",
      "producer/1: dispatch invoke",
      "producer/1: dispatch ok",
    ],
  },
  {
    rule: "leases-never-overlap",
    name: "a token that two workers were told",
    run: (run) => {
      oneDone(run);
    },
    spoil: ({ records }) => {
      const answer = records.find(({ op, phase }) => op === "claim" && phase === "ok");
      records.push({
        ...structuredClone(answer!),
        process: "w2/1",
        phase: "told",
        op: "push",
        worker: "w2",
        at: answer!.at + 1_000,
      });
    },
    shown: ["w1/1: claim as w1 invoke", "w1/1: claim as w1 ok", "w2/1: push as w2 told"],
  },
  {
    rule: "told-leases-exist",
    name: "a lease that the database never gave",
    run: oneDone,
    spoil: (all) => {
      itemOf(all, "claim", "ok").token = "t9";
    },
    shown: ["w1/1: claim as w1 invoke", "w1/1: claim as w1 ok"],
  },
  {
    rule: "told-leases-exist",
    name: "an attempt that is not the lease's",
    run: oneDone,
    spoil: (all) => {
      itemOf(all, "claim", "ok").attempt = 2;
    },
    shown: ["w1/1: claim as w1 invoke", "database: claim: PENDING → RUNNING", "w1/1: claim as w1 ok"],
  },
  {
    rule: "no-early-reclaim",
    name: "a lease that was taken although a heartbeat had promised more",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claim("a", "w1");
      run.heartbeat(lease!);
      run.pass(70_000_000);
      run.reclaim();
    },
    spoil: (all) => {
      itemOf(all, "heartbeat", "ok").expiresAt! += 120_000_000;
      jobRow(all, 2).expiresAt! += 120_000_000;
    },
    shown: ["w1/1: heartbeat as w1 invoke", "w1/1: heartbeat as w1 ok", "database: reclaim: RUNNING → PENDING"],
  },
  {
    rule: "given-back-unseen",
    name: "a job that went back unburnt although its worker had named it",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claimForStream("a", "w1");
      run.heartbeat(lease!);
      run.release(lease!);
    },
    spoil: unheard("release"),
    shown: ["database: beat: RUNNING → RUNNING", "database: release: RUNNING → PENDING"],
  },
  {
    rule: "heartbeats-extend-their-own",
    name: "a lease that grew and nobody asked",
    run: oneDone,
    spoil: (all) => {
      itemOf(all, "heartbeat", "invoke").token = "t9";
      itemOf(all, "heartbeat", "ok").status = "LOST";
    },
    shown: ["database: claim: PENDING → RUNNING", "database: beat: RUNNING → RUNNING"],
  },
  {
    rule: "heartbeats-extend-their-own",
    name: "a heartbeat that was promised more than the row has",
    run: oneDone,
    spoil: (all) => {
      itemOf(all, "heartbeat", "ok").expiresAt! += 1;
    },
    shown: ["w1/1: heartbeat as w1 invoke", "database: beat: RUNNING → RUNNING", "w1/1: heartbeat as w1 ok"],
  },
  {
    rule: "own-leases-only",
    name: "a worker that ended another one's lease",
    run: oneDone,
    spoil: ({ records }) => {
      for (const record of records.filter(({ op }) => op === "report")) record.worker = "w2";
    },
    shown: ["database: claim: PENDING → RUNNING", "w1/1: report as w2 invoke", "w1/1: report as w2 ok"],
  },
  {
    rule: "released-is-released",
    name: "a release that was answered and not made",
    run: (run) => {
      run.dispatch("a");
      run.release(run.claim("a", "w1")!);
    },
    spoil: (all) => {
      all.versions.splice(-2);
    },
    options: { drained: false },
    shown: ["w1/1: release as w1 invoke", "w1/1: release as w1 ok"],
  },
  {
    rule: "only-current-token-settles",
    name: "a stale report that was refused and made the result all the same",
    run: oneReclaimed,
    spoil: ({ records }) => {
      for (const record of records.filter(({ op, process }) => op === "report" && process === "w2/1"))
        without(records, record);
    },
    shown: ["w1/1: report as w1 invoke", "w1/1: report as w1 ok", "database: report: RUNNING → DONE"],
  },
  {
    rule: "only-current-token-settles",
    name: "a report of unknown outcome excuses no other status than its own",
    run: (run) => {
      run.dispatch("a");
      run.report(run.claim("a", "w1")!, "DONE", { fate: "reply lost" });
    },
    spoil: (all) => {
      itemOf(all, "report", "invoke").status = "FAILED";
    },
    shown: [
      "w1/1: report as w1 invoke",
      "database: report: RUNNING → DONE",
      "w1/1: report as w1 unknown (connection lost)",
    ],
  },
  {
    rule: "accepted-is-settled",
    name: "an accepted report that is gone",
    run: oneDone,
    spoil: (all) => {
      all.versions.splice(-3);
    },
    options: { drained: false },
    shown: ["w1/1: report as w1 invoke", "w1/1: report as w1 ok"],
  },
  {
    rule: "current-token-is-heard",
    name: "a report of the current token that was refused, since its time was over",
    run: oneDone,
    spoil: (all) => {
      const { records, versions } = all;
      versions.splice(-3);
      records.splice(
        records.findIndex(({ op }) => op === "heartbeat"),
        2,
      );
      itemOf(all, "report", "ok").status = "LEASE_LOST";
    },
    options: { drained: false },
    shown: ["database: claim: PENDING → RUNNING", "w1/1: report as w1 invoke", "w1/1: report as w1 ok"],
  },
  {
    rule: "one-result-per-life",
    name: "two workers whose results were both accepted",
    run: oneReclaimed,
    spoil: (all) => {
      itemOf(all, "report", "ok").status = "ACCEPTED";
    },
    shown: ["w1/1: report as w1 invoke", "w1/1: report as w1 ok", "w2/1: report as w2 invoke", "w2/1: report as w2 ok"],
  },
  {
    rule: "result-equals-report",
    name: "a result that nobody reported",
    run: oneDone,
    spoil: (all) => {
      resultRow(all).result = '{"ok":7}';
    },
    shown: ["w1/1: report as w1 invoke", "database: INSERT result", "w1/1: report as w1 ok"],
  },
  {
    rule: "cancel-is-kept",
    name: "a cancel that was answered and left no trace",
    run: (run) => {
      run.dispatch("a");
      run.cancel("a");
    },
    spoil: (all) => {
      all.versions.splice(-2);
    },
    options: { drained: false },
    shown: ["producer/1: cancel invoke", "producer/1: cancel ok"],
  },
  {
    rule: "cancelled-is-not-worked",
    name: "a job that a worker got after its cancel was answered",
    run: (run) => {
      run.dispatch("a");
      run.claim("a", "w1");
      run.dispatch("b");
      run.cancel("b");
    },
    spoil: ({ records }) => {
      const claim = records.filter(({ op }) => op === "claim");
      const at = records.at(-1)!.at;
      for (const record of claim) record.at += at;
      for (const record of records) for (const item of record.items ?? []) item.job = "a";
    },
    options: { drained: false },
    shown: ["producer/1: cancel invoke", "producer/1: cancel ok", "w1/1: claim as w1 invoke", "w1/1: claim as w1 ok"],
  },
  {
    rule: "claim-within-limit",
    name: "a claim that got the same job twice",
    run: oneDone,
    spoil: ({ records }) => {
      const items = records.find(({ op, phase }) => op === "claim" && phase === "ok")?.items;
      items?.push(structuredClone(items[0]!));
    },
    shown: ["w1/1: claim as w1 invoke", "w1/1: claim as w1 ok"],
  },
];

describe("a bad answer", () => {
  test.each(CASES)("$rule: $name", ({ rule, run, spoil, options, shown }) => {
    const all = written(run);
    expect(violationsOf(all, { drained: false }).map((one) => one.rule)).toEqual([]);
    spoil(all);
    const found = violationsOf(all, options).find((one) => one.rule === rule);
    expect(found && shownOf(found)).toEqual(shown);
  });
});
