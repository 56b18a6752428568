/** What a page asks the broker for, again when it is told to and, where nothing tells of changes, from time to time. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { BrokerError } from "../../src/client/broker-error.ts";
import { faultOf } from "../state/session.ts";
import { visible } from "../state/visible.ts";

export interface Resource<T> {
  /** The newest answer; kept while a later call is under way or fails. */
  value: Signal<T | undefined>;
  error: Signal<BrokerError | undefined>;
  refresh: () => void;
}

/**
 * Asks at once, whenever `key` changes, and `everyMs` after each answer while somebody looks. One call at a time: what
 * comes meanwhile is one more call after it.
 */
export function useResource<T>(load: (signal: AbortSignal) => Promise<T>, key: string, everyMs?: number): Resource<T> {
  const value = useSignal<T | undefined>(undefined);
  const error = useSignal<BrokerError | undefined>(undefined);
  const refresh = useRef<() => void>(() => undefined);
  const newest = useRef(load);
  newest.current = load;

  useEffect(() => {
    const leave = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isBusy = false;
    let isAsked = false;
    error.value = undefined;

    const ask = async () => {
      isAsked = isBusy;
      if (isBusy) return;
      isBusy = true;
      clearTimeout(timer);
      try {
        const answer = await newest.current(leave.signal);
        if (leave.signal.aborted) return;
        value.value = answer;
        error.value = undefined;
      } catch (thrown) {
        if (leave.signal.aborted) return;
        error.value = faultOf(thrown);
      }
      isBusy = false;
      if (isAsked) void ask();
      else if (everyMs !== undefined) timer = setTimeout(() => void (visible.peek() && ask()), everyMs);
    };
    refresh.current = () => void ask();
    // Seen again after a while: at once, and then in its rhythm.
    const forget = visible.subscribe((isVisible) => void (isVisible && ask()));
    return () => {
      forget();
      clearTimeout(timer);
      leave.abort();
    };
  }, [key, everyMs]);

  return { value, error, refresh: () => refresh.current() };
}
