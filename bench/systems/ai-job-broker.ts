/** Ours: the broker as a process of its own, with the settings that it has by default. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { migrate } from "../../src/store/migrate.ts";
import { selfSigned } from "../../test/support/self-signed.ts";
import { CLEAR } from "../backlog.ts";
import type { BrokerTarget } from "../clients/ai-job-broker.ts";
import { startBroker } from "../harness/broker.ts";
import type { Ground } from "../harness/ground.ts";
import { emptyBy, type Statements } from "./empty-by.ts";
import type { System } from "./system.ts";

export interface BrokerSystemOptions {
  /** How producer and worker speak to the broker. */
  via: BrokerTarget["via"];
  /** A folder for CPU profiles of the broker. */
  profileTo?: string | undefined;
  /** What it has otherwise than by default, as in the environment. */
  settings?: Record<string, string> | undefined;
  /** It speaks TLS, with a certificate made on the spot. */
  isTls?: boolean | undefined;
}

const VIA: Record<BrokerTarget["via"], string> = {
  "grpc-js": "SDK over grpc-js",
  connect: "SDK over connect",
  raw: "bare HTTP/2 stream, dispatch by the SDK over grpc-js",
};

/** For empty-by.ts. */
export const STATEMENTS: Statements = {
  isEmpty: "SELECT NOT EXISTS (SELECT FROM ai_ready) AND NOT EXISTS (SELECT FROM ai_lease) AS empty",
  clear: CLEAR,
};

const databases = new WeakMap<Ground, Promise<string>>();

export function brokerSystem({ via, profileTo, settings, isTls = false }: BrokerSystemOptions): System {
  return {
    name: "ai-job-broker",
    setting: VIA[via],
    async start(ground) {
      const databaseUrl = await brokerDatabase(ground);
      const tls = isTls ? writeCertificate(ground.folder) : undefined;
      const broker = await startBroker({
        databaseUrl,
        folder: ground.folder,
        profileTo,
        settings: { ...tls?.settings, ...settings },
      });
      const target: BrokerTarget = { url: broker.url, via, ...(tls && { ca: tls.ca }) };
      const look = emptyBy(databaseUrl, STATEMENTS);
      return {
        target,
        serverPid: broker.pid,
        isEmpty: look.isEmpty,
        tables: look.tables,
        async stop() {
          await look.stop();
          await broker.end("SIGTERM");
        },
      };
    },
  };
}

function writeCertificate(folder: string): { ca: string; settings: Record<string, string> } {
  const { cert, key } = selfSigned();
  const files = { TLS_CERT_FILE: join(folder, "tls.crt"), TLS_KEY_FILE: join(folder, "tls.key") };
  writeFileSync(files.TLS_CERT_FILE, cert);
  writeFileSync(files.TLS_KEY_FILE, key, { mode: 0o600 });
  return { ca: cert, settings: files };
}

/** The one database of all brokers on this ground, migrated. */
export function brokerDatabase(ground: Ground): Promise<string> {
  const made = databases.get(ground) ?? makeDatabase(ground);
  databases.set(ground, made);
  return made;
}

async function makeDatabase(ground: Ground): Promise<string> {
  const url = await ground.createDatabase(BROKER_DATABASE);
  await migrate(url);
  return url;
}

export const BROKER_DATABASE = "broker";
