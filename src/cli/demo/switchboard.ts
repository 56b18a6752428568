/** Which worker is on which broker, as any operator could ask: by its Work stream, or by the one URL that it polls. */
import type { Caller } from "../../client/caller.ts";
import { AdminService } from "../../gen/aibroker/v1/admin_service_pb.ts";
import type { Broker } from "./brokers.ts";

export interface Switchboard {
  /** Asks the brokers; answers with the ids of workers whose place has changed. */
  refresh(): Promise<string[]>;
  /** Undefined: it is on none at the moment. */
  brokerOf(workerId: string): Broker | undefined;
}

const CALL_TIMEOUT_MS = 10_000;

/** `polling` are the workers that know one broker and have no stream. */
export function openSwitchboard(caller: Caller, brokers: Broker[], polling: Map<string, Broker>): Switchboard {
  let places = new Map(polling);
  return {
    refresh: async () => {
      const { workers } = await caller.call(AdminService.method.listWorkers, {}, { timeoutMs: CALL_TIMEOUT_MS });
      const before = places;
      places = new Map(polling);
      for (const { workerId, streams } of workers) {
        const broker = brokers.find(({ instanceId }) => streams.some(({ brokerId }) => brokerId === instanceId));
        if (broker !== undefined) places.set(workerId, broker);
      }
      return [...new Set([...before.keys(), ...places.keys()])].filter((id) => before.get(id) !== places.get(id));
    },
    brokerOf: (workerId) => places.get(workerId),
  };
}
