/** The nginx configuration of docs/proxies.md, with a worker and a producer behind it. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { watch } from "../cli/run-cli.ts";
import { API_TOKEN, startTestBroker, type TestBroker } from "../support/broker.ts";
import { selfSigned } from "../support/self-signed.ts";
import { until } from "../support/until.ts";
import { ROOT, runExample, test } from "./programs.ts";

const page = readFileSync(join(ROOT, "docs/proxies.md"), "utf8");

interface Proxy extends AsyncDisposable {
  url: string;
  /** The PEM file to trust. */
  cert: string;
}

/** nginx with the page's configuration, but for addresses and paths. */
async function startNginx([first, second]: [TestBroker, TestBroker]): Promise<Proxy> {
  const folder = await mkdtemp(join(tmpdir(), "aibroker-nginx-"));
  // nginx gives up root, and then has to get at its own files.
  await chmod(folder, 0o711);
  const port = await freePort();
  const pem = selfSigned();
  const [cert, key] = [join(folder, "broker.pem"), join(folder, "broker.key")];
  await writeFile(cert, pem.cert);
  await writeFile(key, pem.key);
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${folder}/${of};`);
  const config = (/```nginx\n([\s\S]*?)```/.exec(page)?.[1] ?? "")
    .replace("127.0.0.1:50051", `127.0.0.1:${first.port}`)
    .replace("127.0.0.1:50052", `127.0.0.1:${second.port}`)
    .replaceAll("listen 443 ", `listen 127.0.0.1:${port} `)
    .replace("/etc/nginx/broker.pem", cert)
    .replace("/etc/nginx/broker.key", key)
    .replace("http {", `http {\naccess_log off;\n${temp.join("\n")}`);
  await writeFile(join(folder, "nginx.conf"), config);
  const rest = `daemon off; pid ${folder}/nginx.pid; error_log stderr;`;
  const nginx = watch(spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf"), "-g", rest], { stdio: "pipe" }));
  const proxy = {
    url: `https://localhost:${port}`,
    cert,
    async [Symbol.asyncDispose]() {
      nginx.child.kill("SIGTERM");
      await nginx.done;
      await rm(folder, { recursive: true });
    },
  };
  try {
    await until("nginx listens", async () => (await accepts(port)) || nginx.child.exitCode !== null, 30_000);
    if (nginx.child.exitCode !== null) throw new Error(`nginx: ${nginx.stderr()}`);
    return proxy;
  } catch (err) {
    await proxy[Symbol.asyncDispose]();
    throw err;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("a worker and a producer get through nginx as the page sets it up", async ({
  db: _,
  url,
  node,
  skip,
  startWorker,
}) => {
  const missing = spawnSync("nginx", ["-v"]).error !== undefined;
  if (missing) process.stderr.write("the page on proxies is not run: there is no nginx on the PATH\n");
  skip(missing, "there is no nginx on the PATH");
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using proxy = await startNginx([first, second]);
  const trust = { NODE_EXTRA_CA_CERTS: proxy.cert };

  const worker = startWorker("worker-node-raw/worker.ts", proxy.url, trust);
  const env = { BROKER_URL: proxy.url, BROKER_TOKEN: API_TOKEN, ...trust };
  const producer = await runExample(node, "producer-node/producer.ts", env).done;
  expect(producer, worker.stderr()).toMatchObject({
    code: 0,
    stderr: "",
    stdout: expect.stringContaining(" is done: "),
  });
}, 60_000);
