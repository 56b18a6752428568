/** Which tokens open a door. Compared in constant time over digests, so that an answer's time tells nothing of a token. */
import { hash, timingSafeEqual } from "node:crypto";

export interface TokenCheck {
  /** False when no token was given: the door is closed to everybody. */
  readonly configured: boolean;
  /** Whether the token is one of those configured. Absent and empty ones never are. */
  matches(token: string | undefined): boolean;
}

/** Makes the check for a list of valid tokens (several at once for rotation); empty ones count as not given. */
export function createTokens(list: readonly string[]): TokenCheck {
  const digests = list.filter((token) => token !== "").map(digest);
  return {
    configured: digests.length > 0,
    matches(token) {
      if (token === undefined || token === "") return false;
      const given = digest(token);
      // Every candidate is compared, also after a match: the place in the list must not show either.
      let found = false;
      for (const known of digests) {
        const same = timingSafeEqual(known, given);
        found = same || found;
      }
      return found;
    },
  };
}

function digest(token: string): Buffer {
  return hash("sha256", token, "buffer");
}
