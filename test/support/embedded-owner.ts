/** A process that starts an embedded Postgres, says so in one line of JSON, and stops it at a line on its stdin. */
import { once } from "node:events";
import { startEmbeddedPostgres } from "../../src/store/embedded.ts";

process.on("SIGINT", () => process.stderr.write("interrupted\n"));
try {
  const { url, attached, stop } = await startEmbeddedPostgres({
    ...JSON.parse(process.argv[2] ?? "{}"),
    log: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`${JSON.stringify({ url, attached })}\n`);
  await once(process.stdin, "data");
  await stop();
  process.exit(0);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
  process.exit(1);
}
