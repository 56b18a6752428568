/**
 * A certificate that was renewed on disk is used for new connections; those that are open go on with theirs. The folders
 * are watched, since files are often replaced whole (Kubernetes swaps a symbolic link beside them), and whoever calls
 * `look` now and then finds what no watch told: a network drive, or a folder that was itself replaced.
 */
import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "pino";
import { describeTls, readTls, type TlsFiles, type TlsTexts, tlsFault } from "./tls-files.ts";

export interface TlsReloadOptions {
  files: TlsFiles;
  /** What is in use. */
  loaded: TlsTexts;
  /** Puts another pair in use. */
  apply: (texts: TlsTexts) => void;
  log: Logger;
}

export interface TlsReload {
  /** Reads the files and takes them over if they have changed and are good. Never rejects. */
  look(): Promise<void>;
  /** Watches no more. */
  stop(): void;
}

/** Certificate and key are two files: after the first has changed the other gets this long. */
const SETTLE_MS = 500;
/** A fault that stays is told again. */
const REMIND_MS = 3_600_000;

/** Watches from now on. */
export function createTlsReload({ files, loaded, apply, log }: TlsReloadOptions): TlsReload {
  let current = loaded;
  /** Seen once: perhaps only half of it was written. */
  let suspected = "";
  let told = { fault: "", at: 0 };
  let looking = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const soon = () => {
    if (stopped) return;
    clearTimeout(timer);
    timer = setTimeout(() => void look(), SETTLE_MS);
    timer.unref();
  };
  const watchers = watchFolders(files, soon, log);

  async function lookOnce(): Promise<void> {
    if (stopped) return;
    const found = await readTls(files).catch((err: Error) => err.message);
    if (typeof found !== "string" && isSame(found, current)) {
      suspected = "";
      told = { fault: "", at: 0 };
      return;
    }
    const fault = typeof found === "string" ? found : take(found);
    if (fault !== undefined) complain(fault);
  }

  function take(texts: TlsTexts): string | undefined {
    const fault = tlsFault(texts, Date.now());
    if (fault !== undefined) return fault;
    try {
      apply(texts);
    } catch (err) {
      return (err as Error).message;
    }
    current = texts;
    log.info(describeTls(texts), "the TLS certificate has changed on disk: new connections get the new one");
    return undefined;
  }

  function complain(fault: string): void {
    if (fault !== suspected) {
      suspected = fault;
      soon();
      return;
    }
    if (fault === told.fault && performance.now() - told.at < REMIND_MS) return;
    told = { fault, at: performance.now() };
    log.error({ fault, still: describeTls(current) }, `the new TLS files are not used, the old ones stay: ${fault}`);
  }

  const look = () => {
    looking = looking.then(lookOnce);
    return looking;
  };
  return {
    look,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

function isSame(a: TlsTexts, b: TlsTexts): boolean {
  return a.cert === b.cert && a.key === b.key && a.clientCa === b.clientCa;
}

function watchFolders(files: TlsFiles, onChange: () => void, log: Logger): FSWatcher[] {
  const folders = new Set(
    [files.cert, files.key, ...(files.clientCa === undefined ? [] : [files.clientCa])].map(dirname),
  );
  return [...folders].flatMap((folder) => {
    const unwatched = (err: unknown) =>
      log.debug(
        { folder, detail: (err as Error).message },
        "the folder of the TLS files is not watched, only looked at",
      );
    try {
      const watcher = watch(folder, { persistent: false }, onChange);
      watcher.on("error", unwatched);
      return [watcher];
    } catch (err) {
      unwatched(err);
      return [];
    }
  });
}
