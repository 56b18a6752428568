/** The token lives in this tab's session storage alone: never in an address, in a cookie or on disk. */
const KEY = "ai-job-broker.token";

let token = sessionStorage.getItem(KEY) ?? "";

/** Empty: nobody is signed in. */
export function currentToken(): string {
  return token;
}

/** Kept for this tab, through reloads, until it is closed. */
export function keepToken(given: string): void {
  token = given;
  sessionStorage.setItem(KEY, given);
}

export function dropToken(): void {
  token = "";
  sessionStorage.removeItem(KEY);
}
