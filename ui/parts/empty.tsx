/** Nothing to show: why, and what to do. */
import type { ComponentChildren } from "preact";
import { Command } from "./copy.tsx";

export function Empty({ title, children, command }: { title: string; children?: ComponentChildren; command?: string }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <p>{children}</p>}
      {command && <Command text={command} />}
    </div>
  );
}
