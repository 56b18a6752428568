/** Short messages that come and go; read out as they come. */
import { signal } from "@preact/signals";
import { words } from "../words/language.ts";

interface Toast {
  id: number;
  text: string;
  mood: "good" | "bad";
}

const SHOWN_MS = 5_000;
/** A fault stays until it is put away, or for so long that nobody looks any more. */
const FAULT_SHOWN_MS = 30_000;

const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

export function say(text: string, mood: Toast["mood"] = "good"): void {
  lastId += 1;
  const toast = { id: lastId, text, mood };
  toasts.value = [...toasts.value.slice(-3), toast];
  setTimeout(() => putAway(toast.id), mood === "good" ? SHOWN_MS : FAULT_SHOWN_MS);
}

function putAway(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, mood }) => (
        <div key={id} class={`toast ${mood}`}>
          <span class="toast-text">{text}</span>
          <button type="button" class="quiet small" aria-label={words.value.close} onClick={() => putAway(id)}>
            ✕
          </button>
        </div>
      ))}
    </div>
  );
}
