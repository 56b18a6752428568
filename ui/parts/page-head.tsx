/** The head of a page. It takes the focus when the page is entered, so that a screen reader says where one is. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { words } from "../words/language.ts";

let isFirst = true;

interface PageHeadProps {
  title: string;
  /** The page above it, before the title. */
  above?: { text: string; href: string };
  children?: ComponentChildren;
}

export function PageHead({ title, above, children }: PageHeadProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // On arrival the browser's own order stands.
    if (!isFirst) heading.current?.focus({ preventScroll: true });
    isFirst = false;
  }, []);
  useEffect(() => {
    document.title = `${title} · ${words.value.product}`;
  }, [title]);
  return (
    <div class="page-head">
      <div class="page-title">
        {above && (
          <>
            <a href={above.href}>{above.text}</a>
            <span class="faint" aria-hidden="true">
              ›
            </span>
          </>
        )}
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
      </div>
      {children}
    </div>
  );
}
