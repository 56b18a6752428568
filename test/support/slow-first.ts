/** The order of a run's files. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that start clusters and processes, the longest first; a first run has no times of its own to go by. */
const SLOW = [
  "examples/grading.test.ts",
  "faults/faults.test.ts",
  "client/watch-churn.test.ts",
  "examples/stream-workers.test.ts",
  "hostile/http2-floods.test.ts",
  "hostile/grpc-messages.test.ts",
  "hostile/http2-holds.test.ts",
  "hostile/fuzz.test.ts",
  "loops/ec2-moto.test.ts",
  "hostile/packed.test.ts",
  "cli/demo.test.ts",
  "ui/calls.test.ts",
  "ui/access.test.ts",
  "ui/jobs.test.ts",
  "ui/job.test.ts",
  "ui/million.test.ts",
  "store/embedded-folder.test.ts",
  "client/worker-process.test.ts",
  "faults/model/model.test.ts",
  "stories/work-silence.test.ts",
  "store/migrate-online.test.ts",
  "cli/serve.test.ts",
  "stories/work-database.test.ts",
  "stories/work-slow-reader.test.ts",
  "store/claim-explain.test.ts",
  "store/migrate-refused.test.ts",
];

/** So that no worker begins the longest file when the other one is done. The rest follow as Vitest has them. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rest = await super.sort(files);
    const slow = SLOW.flatMap((name) => rest.filter((file) => file.moduleId.endsWith(`/test/${name}`)));
    return [...slow, ...rest.filter((file) => !slow.includes(file))];
  }
}
