/** grpc.health.v1 over one switch: the broker sets it, Check reads it, Watch follows it. */
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { BrokerError } from "../errors.ts";
import { type Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import { drainSignal } from "./drain.ts";

export interface HealthState {
  service: ServiceImpl<typeof Health>;
  /** Switches all services; every Watch hears of it. False until the first call. */
  set(serving: boolean): void;
  /** Whether calls are taken now, as far as the broker said; a draining server answers NOT_SERVING all the same. */
  readonly serving: boolean;
}

/** Health of the server as a whole (the empty name) and of the services with these full names. */
export function createHealth(services: readonly string[]): HealthState {
  const known = new Set(["", ...services]);
  const state = { serving: false };
  const wakeUps = new Set<() => void>();

  const statusOf = (name: string, context: HandlerContext): Status | undefined => {
    if (!known.has(name)) return undefined;
    return state.serving && !drainSignal(context.values).aborted ? Status.SERVING : Status.NOT_SERVING;
  };

  return {
    get serving() {
      return state.serving;
    },
    set(serving) {
      if (serving === state.serving) return;
      state.serving = serving;
      for (const wake of [...wakeUps]) wake();
    },
    service: {
      check(request, context) {
        const status = statusOf(request.service, context);
        if (status !== undefined) return { status };
        const names = [...known].filter((name) => name !== "").join(", ");
        const text = `service: none has this name; send one of ${names}, or nothing for the server as a whole`;
        throw new BrokerError("SERVICE_NOT_FOUND", text, { field: "service" });
      },
      async *watch(request, context) {
        const ends = AbortSignal.any([context.signal, drainSignal(context.values)]);
        let told: Status | undefined;
        for (;;) {
          const status = statusOf(request.service, context) ?? Status.SERVICE_UNKNOWN;
          if (status !== told) {
            told = status;
            yield { status };
            continue; // It may have changed while the client was slow: it is told the latest, not each.
          }
          if (ends.aborted) return;
          await wakeUp(wakeUps, ends);
        }
      },
    },
  };
}

/** Resolves at the next change or when the signal aborts; leaves nothing behind. */
function wakeUp(wakeUps: Set<() => void>, ends: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      wakeUps.delete(wake);
      ends.removeEventListener("abort", wake);
      resolve();
    };
    wakeUps.add(wake);
    ends.addEventListener("abort", wake);
  });
}
