/** Whether somebody can see this page. A browser opens six connections to a host, in all of its tabs together. */
import { signal } from "@preact/signals";

/** A look at another tab is no leave. */
const AWAY_AFTER_MS = 10_000;

export const visible = signal(!document.hidden);

let leaving: ReturnType<typeof setTimeout> | undefined;

document.addEventListener("visibilitychange", () => {
  clearTimeout(leaving);
  if (!document.hidden) visible.value = true;
  else
    leaving = setTimeout(() => {
      visible.value = false;
    }, AWAY_AFTER_MS);
});
