/** How the page stands to the broker, said whenever it changes. */
import { localNow } from "../state/clock.ts";
import { link, retryNow } from "../state/live-stats.ts";
import { ticking } from "../words/format.ts";
import { words } from "../words/language.ts";

const LOOKS = {
  live: { mark: "●", className: "link-state live" },
  connecting: { mark: "○", className: "link-state" },
  waiting: { mark: "▲", className: "link-state broken" },
  refused: { mark: "▲", className: "link-state broken" },
} as const;

export function LinkState() {
  const now = link.value;
  const t = words.value.link;
  const { mark, className } = LOOKS[now.kind];
  const leftMs = now.kind === "waiting" ? now.untilMs - localNow() : 0;
  return (
    <span class={className} title={"error" in now ? now.error.message : undefined}>
      <span aria-hidden="true">{mark}</span>
      {/* Without the seconds, along which a screen reader would count. */}
      <span role="status">{t[now.kind]}</span>
      {now.kind === "waiting" && <span class="num">{leftMs > 500 ? t.again(ticking(leftMs)) : t.trying}</span>}
      {now.kind === "waiting" && (
        <button type="button" class="small" onClick={retryNow}>
          {words.value.tryAgain}
        </button>
      )}
    </span>
  );
}
