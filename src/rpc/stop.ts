/** The end of a server: gentle until its deadline, then not. */
import type { Server } from "node:net";
import { BrokerError } from "../errors.ts";
import type { Connections } from "./connections.ts";
import { toConnectError } from "./errors.ts";
import type { ShutdownSignal } from "./shutdown-signal.ts";

/** After the deadline, aborted calls get this long to tell their clients. */
const LAST_WORDS_MS = 100;

export interface Stoppable {
  listener: Server;
  connections: Connections;
  /** Refuses new calls, ends open-ended ones. */
  drain(): void;
  /** Aborts the signal of every handler. */
  shutdown: Pick<ShutdownSignal, "aborted" | "abort">;
  /** Lets go of what holds no connection. */
  close(): void;
}

/**
 * Makes `stop(graceMs)`: resolves true when every call finished by itself. Called again it can only bring the
 * deadline forward.
 */
export function createStop(server: Stoppable): (graceMs: number) => Promise<boolean> {
  const { connections, listener } = server;
  const stopped = Promise.withResolvers<boolean>();
  let deadline = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let cutOff = false;

  const begin = () => {
    server.drain();
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
    connections.drain();
    void Promise.all([closed, connections.empty()]).then(() => {
      clearTimeout(timer);
      server.close();
      stopped.resolve(!cutOff);
    });
  };
  const cut = () => {
    cutOff = connections.inFlight > 0;
    server.shutdown.abort(toConnectError(shuttingDown("the broker is shutting down and this call took too long")));
    timer = setTimeout(() => connections.destroyAll(), cutOff ? LAST_WORDS_MS : 0);
  };

  return (graceMs) => {
    const first = deadline === Number.POSITIVE_INFINITY;
    const wanted = performance.now() + Math.max(0, graceMs);
    if (wanted < deadline) {
      deadline = wanted;
      clearTimeout(timer);
      if (!server.shutdown.aborted) timer = setTimeout(cut, Math.max(0, graceMs));
    }
    if (first) begin();
    return stopped.promise;
  };
}

/** What a call hears that comes too late. */
export function shuttingDown(
  message = "the broker is shutting down; try again on another one, or in a moment",
): BrokerError {
  return new BrokerError("SHUTTING_DOWN", message, { retryAfterMs: 1_000 });
}
