/** How long ago something was, by the database's clock; it ticks. */
import { databaseNow } from "../state/clock.ts";
import { isAhead } from "../state/grain.ts";
import { moment, ticking } from "../words/format.ts";
import { words } from "../words/language.ts";

export function Ago({ at }: { at: number | undefined }) {
  if (at === undefined) return <span class="faint">–</span>;
  const ms = databaseNow() - at;
  return (
    <time dateTime={new Date(at).toISOString()} title={moment(at)}>
      {isAhead(ms) ? words.value.time.inFuture(ticking(-ms)) : words.value.time.ago(ticking(ms))}
    </time>
  );
}

/** How long it still takes until then; `over` once it has passed. */
export function Countdown({ to, over }: { to: number | undefined; over: string }) {
  if (to === undefined) return <span class="faint">–</span>;
  const ms = to - databaseNow();
  return <span class={ms < 10_000 ? "num warn-text" : "num"}>{ms <= 0 ? over : ticking(ms)}</span>;
}
