/** Who is signed in, and what the token opens. */
import { computed, signal } from "@preact/signals";
import { backoffMs } from "../../src/client/backoff.ts";
import { asBrokerError, type BrokerError, isRefusal, isTransient } from "../../src/client/broker-error.ts";
import { pause } from "../../src/client/pause.ts";
import type { GetServerInfoResponse } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { admin } from "../wire/calls.ts";
import { msOf } from "../wire/convert.ts";
import { currentToken, dropToken, keepToken } from "../wire/token.ts";
import { learnDatabaseTime } from "./clock.ts";

export type Session =
  | { kind: "out"; error?: BrokerError }
  /** A token of an earlier page is being tried; the broker may be away just now. */
  | { kind: "trying"; error?: BrokerError }
  | { kind: "in"; server: GetServerInfoResponse };

export const session = signal<Session>(currentToken() === "" ? { kind: "out" } : { kind: "trying" });

export const server = computed(() => (session.value.kind === "in" ? session.value.server : undefined));

/** False for a token that only reads: actions are shown as not to be had. */
export const mayChange = computed(() => server.value?.readOnly === false);

/** Tries the token, and keeps it where the broker takes it. Throws a BrokerError. */
export async function signIn(token: string): Promise<void> {
  try {
    const answer = await admin.getServerInfo({ includeSettings: true }, { headers: { "x-worker-token": token } });
    learnDatabaseTime(msOf(answer.databaseTime));
    keepToken(token);
    session.value = { kind: "in", server: answer };
  } catch (thrown) {
    throw asBrokerError(thrown);
  }
}

/** After a time without the broker: it may be another one now, or have other settings. */
export async function lookAgain(): Promise<void> {
  if (session.peek().kind !== "in") return;
  await signIn(currentToken()).catch(faultOf);
}

/** Forgets the token; `error` says why, where the user did not ask for it. */
export function signOut(error?: BrokerError): void {
  dropToken();
  session.value = error === undefined ? { kind: "out" } : { kind: "out", error };
}

/** After a reload: the token that this tab had, tried until the broker says yes or no. */
export async function resume(): Promise<void> {
  for (let failures = 1; session.value.kind === "trying"; failures += 1) {
    try {
      return await signIn(currentToken());
    } catch (thrown) {
      const error = asBrokerError(thrown);
      // UNAVAILABLE for a closed side, too, which no waiting opens.
      if (!isTransient(error) || error.reason === "TOKEN_NOT_CONFIGURED") return signOut(error);
      session.value = { kind: "trying", error };
      await pause(backoffMs(failures, Math.random(), error.retryAfterMs));
    }
  }
}

/** What a call ended with. A token that is no longer known ends the session. */
export function faultOf(thrown: unknown): BrokerError {
  const error = asBrokerError(thrown);
  if (isRefusal(error) && error.reason !== "WRONG_ROLE") signOut(error);
  return error;
}
