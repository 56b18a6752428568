/** Whether the page is as narrow as a phone; the style sheet has the same number. */
import { signal } from "@preact/signals";

const narrow = matchMedia("(max-width: 720px)");

export const isNarrow = signal(narrow.matches);

narrow.addEventListener("change", (event) => {
  isNarrow.value = event.matches;
});
