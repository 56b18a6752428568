/** A call that failed, in the broker's own words and with its reason. */
import type { BrokerError } from "../../src/client/broker-error.ts";
import { words } from "../words/language.ts";

export function Fault({ error, retry }: { error: BrokerError; retry?: () => void }) {
  return (
    <div class="fault" role="alert">
      <span>
        <strong>{error.reason ?? error.code}</strong> {error.message}
      </span>
      {retry && (
        <button type="button" class="small" onClick={retry}>
          {words.value.tryAgain}
        </button>
      )}
    </div>
  );
}
