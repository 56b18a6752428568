/** Texts to take along: a button that copies, and a command with one. */
import type { ComponentChildren } from "preact";
import { words } from "../words/language.ts";
import { say } from "./toasts.tsx";

/** Puts the text on the clipboard, also on a page without TLS, where browsers hide the clipboard from scripts. */
export async function copy(text: string): Promise<void> {
  const copied = await (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(
    () => true,
    () => copyBySelection(text),
  );
  say(copied ? words.value.copy.copied : words.value.copy.failed, copied ? "good" : "bad");
}

function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  // Within an open dialog, for nothing else can have the focus then.
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
  }
}

export function CopyButton({ text, label, children }: { text: string; label: string; children?: ComponentChildren }) {
  return (
    <button
      type="button"
      class={children ? "small" : "quiet small"}
      title={label}
      aria-label={label}
      onClick={() => void copy(text)}
    >
      {children ?? words.value.copy.copy}
    </button>
  );
}

/** A line for a terminal. */
export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <CopyButton text={text} label={words.value.copy.copyCommand} />
    </div>
  );
}
