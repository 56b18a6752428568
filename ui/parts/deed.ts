/** Something that a dialog does once it is confirmed: one at a time, with its fault kept beside it. */
import { useSignal } from "@preact/signals";
import type { BrokerError } from "../../src/client/broker-error.ts";
import { faultOf } from "../state/session.ts";

export function useDeed(deed: () => Promise<void>) {
  const error = useSignal<BrokerError | undefined>(undefined);
  const isBusy = useSignal(false);
  const run = async () => {
    if (isBusy.peek()) return;
    isBusy.value = true;
    error.value = undefined;
    try {
      await deed();
    } catch (thrown) {
      error.value = faultOf(thrown);
    } finally {
      isBusy.value = false;
    }
  };
  return { run, error: error.value, isBusy: isBusy.value };
}
