/** A question in front of the page. The browser's own dialog keeps the focus inside and closes on Escape. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { words } from "../words/language.ts";

interface DialogProps {
  title: string;
  close: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    // What was asked from may be gone by then, such as the row of a webhook that was deleted.
    return () => before instanceof HTMLElement && before.isConnected && before.focus();
  }, []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby={titleId} onClose={close}>
      <header>
        <h2 id={titleId}>{title}</h2>
        <button type="button" class="quiet" aria-label={words.value.close} onClick={() => dialog.current?.close()}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

interface AnswersProps {
  /** The word on the button that does it. */
  label: string;
  close: () => void;
  isDangerous?: boolean;
  isBusy?: boolean;
}

/** The two ways out, at the end of a dialog's form. */
export function Answers({ label, close, isDangerous = false, isBusy = false }: AnswersProps) {
  return (
    <footer>
      <button type="button" onClick={close}>
        {words.value.cancel}
      </button>
      <button type="submit" class={isDangerous ? "danger" : "primary"} disabled={isBusy}>
        {label}
      </button>
    </footer>
  );
}

/** A form that never leaves the page: what it does is called, and what that throws is shown by whoever calls. */
export function Form({ submit, children }: { submit: () => unknown; children: ComponentChildren }) {
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {children}
    </form>
  );
}
