/** `dev` (npm start): a broker for the first minute, with tokens made for it and commands to try. */
import type { Command } from "commander";
import { configWarnings, environment, loadConfig } from "../config.ts";
import { packageVersion } from "../version.ts";
import { type DevFile, devFilePath, devTokens, writeDevFile } from "./dev-file.ts";
import type { ExitCode } from "./exit-codes.ts";
import { createLogger } from "./logger.ts";
import { print } from "./output.ts";
import type { Ready } from "./run-broker.ts";
import { quoted } from "./text.ts";

export function addDev(program: Command, done: (code: ExitCode) => void): void {
  program
    .command("dev")
    .description("Run a broker with tokens of its own and print commands to try. The same settings as serve.")
    .addHelpText(
      "after",
      `
The tokens are kept in DATA_DIR/dev-tokens.json, which only you can read. While BROKER_URL and BROKER_TOKEN are unset,
the other commands find them there.

Examples:
  $ ai-job-broker dev
  $ PORT=0 DATA_DIR=/tmp/try ai-job-broker dev`,
    )
    .action(async () => done(await dev()));
}

async function dev(): Promise<ExitCode> {
  const env = environment();
  const { dataDir } = loadConfig(env);
  const file = await devTokens(dataDir);
  // Beside the tokens that are set, so that the commands below and those of the other terminals always hold.
  const config = loadConfig({
    ...env,
    INTERNAL_WORKER_TOKEN: join(env["INTERNAL_WORKER_TOKEN"], file.workerToken),
    INTERNAL_API_TOKEN: join(env["INTERNAL_API_TOKEN"], file.apiToken),
  });
  const log = createLogger({ level: config.logLevel, pretty: process.stderr.isTTY });
  for (const warning of configWarnings(env)) log.warn(warning);
  const { runBroker } = await import("./run-broker.ts");
  return await runBroker(config, log, async (at) => {
    await writeDevFile(dataDir, { ...file, url: at.url });
    print(welcome(at, file, { path: devFilePath(dataDir), dataDir: env["DATA_DIR"] ? dataDir : undefined }));
  });
}

function join(list: string | undefined, token: string): string {
  return [list, token].filter(Boolean).join(",");
}

/** What `dev` prints once it is ready: lines that can be copied into another terminal as they are. */
export function welcome(
  { url, where }: Ready,
  file: DevFile,
  at: { path: string; dataDir: string | undefined },
): string {
  const { host } = new URL(url);
  const plaintext = url.startsWith("https:") ? "-insecure" : "-plaintext";
  const prior = url.startsWith("https:") ? "-k" : "--http2-prior-knowledge";
  const worker = `'x-worker-token: ${file.workerToken}'`;
  const api = `'x-worker-token: ${file.apiToken}'`;
  const rest = `${url}/api/v1/internal/ai/job`;
  return `ai-job-broker ${packageVersion()} listening on ${url}
Data: ${where}. Tokens: ${at.path}. Stop with Ctrl-C.
Dashboard: ${url}/ui/, with the apiToken of that file.

In another terminal, in this folder:
${at.dataDir === undefined ? "" : `\n  export DATA_DIR=${quoted(at.dataDir)}\n`}
  # the command line, as a producer and an operator
  npx ai-job-broker dispatch ocr '{"image_path": "sheets/1.png"}' --id hello
  npx ai-job-broker jobs list
  npx ai-job-broker jobs get hello

  # an old worker: take a job, then report it
  curl -H ${worker} -H 'x-worker-id: curl-1' ${rest}/next/
  curl -H ${worker} -H 'content-type: application/json' \\
    -d '{"job_id": "hello", "status": "DONE", "result": {"text": "hello"}}' ${rest}/result/

  # a gRPC worker and producer, by reflection
  grpcurl ${plaintext} ${host} list
  grpcurl ${plaintext} -H ${api} \\
    -d '{"jobs": [{"type": "ocr", "payloadJson": "{}"}]}' ${host} aibroker.v1.JobService/Dispatch
  npx @bufbuild/buf curl --protocol grpc ${prior} -H ${worker} \\
    -d '{"workerId": "buf-1", "maxJobs": 1, "wait": "5s"}' ${url}/aibroker.v1.WorkerService/Claim
`;
}
