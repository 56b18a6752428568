/** What can be done to the jobs that are chosen, or else to all that the filter shows. */
import { mayChange } from "../../state/session.ts";
import { count } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import { ACTIONS, type JobAction } from "./actions.ts";

interface ToolbarProps {
  chosen: ReadonlySet<string>;
  clear: () => void;
  /** No ids: all that fit the filter. */
  act: (action: JobAction, ids: readonly string[] | undefined) => void;
}

export function Toolbar({ chosen, clear, act }: ToolbarProps) {
  const t = words.value.jobs;
  if (!mayChange.value) return null;
  const hasChosen = chosen.size > 0;
  return (
    <div class="toolbar" role="toolbar" aria-label={words.value.actions}>
      <span class={hasChosen ? "num" : "faint"}>{hasChosen ? t.chosenCount(count(chosen.size)) : t.allMatching}</span>
      {ACTIONS.map((action) => (
        <button
          key={action}
          type="button"
          class="small"
          onClick={() => act(action, hasChosen ? [...chosen] : undefined)}
        >
          {t.verbs[action]}…
        </button>
      ))}
      {hasChosen && (
        <button type="button" class="quiet small" onClick={clear}>
          {t.clearChosen}
        </button>
      )}
    </div>
  );
}
