import { defineConfig } from "vitest/config";
import { SlowFirst } from "./test/support/slow-first.ts";

/** Files that run whole programs as their users do: clusters, packages, the demo, the examples. `npm run test:programs` */
const PROGRAMS = [
  "test/examples/**/*.test.ts",
  "test/cli/{client-commands,demo,launcher,mutual-tls,package,serve,watch}.test.ts",
  "test/client/{rolling-restart,watch-churn,worker-process}.test.ts",
  "test/faults/{faults,history/crash,model/model}.test.ts",
  "test/hostile/**/*.test.ts",
  "test/loops/ec2-moto.test.ts",
  "test/rpc/browser-page.test.ts",
  "test/scripts/contract.test.ts",
  "test/security/{data-folder,secrets}.test.ts",
  "test/store/embedded*.test.ts",
  "test/stories/work-database.test.ts",
  "test/tracing/one-trace.test.ts",
  "test/ui/!(parts).test.ts",
];

/** Files that leave alone what a whole process shares: its signals, environment, output and children. */
const SHARING = [
  "test/{config,dispatch,job,loops,metrics,ops,rest,rpc,server,web}/**/*.test.ts",
  "test/faults/history/{good,bad-calls,bad-rows,bad-events,property,row-history}.test.ts",
  "test/store/!(embedded*).test.ts",
  "test/stories/!(work-database).test.ts",
  "test/{config,tokens}.test.ts",
  "test/ui/parts.test.ts",
  "test/client/!(worker-process|keep-alive|with-broker|rolling-restart).test.ts",
];

const limits = {
  // Processes, since tests send signals and start brokers; as many as the smallest machine that we know of has cores.
  pool: "forks" as const,
  maxWorkers: 3,
  testTimeout: 20_000,
  hookTimeout: 30_000,
};

export default defineConfig({
  test: {
    ...limits,
    globalSetup: ["test/support/global-setup.ts"],
    sequence: { sequencer: SlowFirst },
    // What decides over jobs. `npm run coverage`
    coverage: {
      include: ["src/{job,store,dispatch}/**"],
      reporter: ["text-summary", "html"],
      thresholds: {
        "src/job/**": { branches: 95 },
        "src/store/**": { branches: 95 },
        "src/dispatch/**": { branches: 95 },
      },
    },
    projects: [
      { test: { ...limits, name: "own", include: ["test/**/*.test.ts"], exclude: [...PROGRAMS, ...SHARING] } },
      { test: { ...limits, name: "programs", include: PROGRAMS } },
      // One process for many files: loading the same modules for each of them took a third of the run.
      { test: { ...limits, name: "shared", include: SHARING, exclude: PROGRAMS, isolate: false } },
    ],
  },
});
