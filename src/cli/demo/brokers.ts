/** The demo's two brokers: processes on one database that can be restarted one after the other. */
import { join } from "node:path";
import { Caller } from "../../client/caller.ts";
import { AdminService } from "../../gen/aibroker/v1/admin_service_pb.ts";
import { type BrokerProcess, spawnBroker } from "./broker-process.ts";

export type BrokerState = "starting" | "serving" | "draining" | "restarting";

export interface Broker {
  readonly name: string;
  /** http://HOST:PORT; stays over restarts. */
  readonly url: string;
  readonly state: BrokerState;
  /** What the broker calls itself, another name with each start. */
  readonly instanceId: string;
  /** SIGTERM; resolves when it has ended in good order, rejects when it had to be killed or failed. */
  drain(): Promise<void>;
  /** Starts it again on the same port; resolves when it serves. */
  start(): Promise<void>;
  /** Rejects when it ends by itself. */
  failed: Promise<never>;
}

export interface BrokersOptions {
  entry: string;
  folder: string;
  settings: Record<string, string>;
  /** A line of a broker's log. */
  onLine(broker: string, line: string): void;
  /** The processes that there are now. */
  onPids(pids: number[]): void;
  signal: AbortSignal;
}

const NAMES = ["broker-1", "broker-2"];
const CALL_TIMEOUT_MS = 10_000;

/** Starts both; resolves when both serve. What was started ends with the stack, also when this rejects. */
export async function openBrokers(options: BrokersOptions, stack: AsyncDisposableStack): Promise<Broker[]> {
  const pids = new Map<string, number>();
  const onPid = (name: string, pid: number) => {
    pids.set(name, pid);
    options.onPids([...pids.values()]);
  };
  const brokers = NAMES.map((name) => new DemoBroker(name, options, onPid));
  stack.defer(async () => void (await Promise.all(brokers.map((broker) => broker.stop()))));
  await Promise.all(brokers.map((broker) => broker.start()));
  return brokers;
}

class DemoBroker implements Broker {
  readonly name: string;
  readonly failed: Promise<never>;
  url = "";
  state: BrokerState = "starting";
  instanceId = "";
  readonly #options: BrokersOptions;
  readonly #onPid: (name: string, pid: number) => void;
  readonly #onFailed: (reason: unknown) => void;
  #process: BrokerProcess | undefined;

  constructor(name: string, options: BrokersOptions, onPid: (name: string, pid: number) => void) {
    this.name = name;
    this.#options = options;
    this.#onPid = onPid;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#onFailed = reject;
    promise.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { entry, folder, settings, onLine, signal } = this.#options;
    const { name } = this;
    // The demo may have ended while the broker drained: what is started now would be left behind.
    signal.throwIfAborted();
    this.#process = spawnBroker({
      entry,
      name,
      folder,
      settings: { ...settings, PORT: this.url === "" ? "0" : new URL(this.url).port },
      logFile: join(folder, `${name}.log`),
      onLine: (line) => onLine(name, line),
    });
    this.#onPid(name, this.#process.pid);
    this.#process.ended.catch(this.#onFailed);
    this.url = await this.#process.ready(signal);
    this.instanceId = await this.#askInstanceId();
    this.state = "serving";
  }

  async drain(): Promise<void> {
    this.state = "draining";
    const how = await this.#process?.stop();
    if (how !== "exit code 0") throw new Error(`${this.name} was to end in good order, but ended with ${how}`);
    this.state = "restarting";
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  async #askInstanceId(): Promise<string> {
    const caller = new Caller({
      url: this.url,
      token: this.#options.settings["INTERNAL_API_TOKEN"] ?? "",
      transport: "grpc-js",
    });
    try {
      const info = await caller.call(AdminService.method.getServerInfo, {}, { timeoutMs: CALL_TIMEOUT_MS });
      return info.instanceId;
    } finally {
      caller.close();
    }
  }
}
