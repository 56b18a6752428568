import { describe, expect, test } from "vitest";
import { createLeaseNews } from "../../src/dispatch/lease-news.ts";
import type { Sessions } from "../../src/dispatch/sessions.ts";
import type { LeaseRef } from "../../src/store/rows.ts";
import { NO_NEWS } from "../support/no-news.ts";

/** Instance "here" has a stream on this broker, and token "t" is on it. */
function given() {
  const heard: string[] = [];
  const touched: string[] = [];
  const hear = (what: string) => (lease: string | LeaseRef) => {
    const token = typeof lease === "string" ? lease : lease.token;
    heard.push(`${what} ${token}`);
    return token === "t";
  };
  const sessions = {
    settled: hear("settled"),
    lost: hear("lost"),
    cancelled: hear("cancelled"),
    get: (instanceId: string) => (instanceId === "here" ? {} : undefined),
  };
  const news = createLeaseNews(sessions as unknown as Sessions, { touched: (id) => void touched.push(id) });
  const tell = {
    settled: (token: string, instanceId: string | null) => news.settled({ jobId: "j", token }, instanceId),
    lost: (token: string, instanceId: string | null) => news.lost(token, instanceId),
    cancelled: (token: string, instanceId: string | null) => news.cancelled(token, instanceId),
  };
  return { news, tell, heard, touched };
}

describe.each(["settled", "lost", "cancelled"] as const)("a lease that is %s", (move) => {
  test("is told to the stream here, and to nobody else", () => {
    const { tell, heard, touched } = given();
    tell[move]("t", "here");
    expect(heard).toEqual([`${move} t`]);
    expect(touched).toEqual([]);
  });

  test("and whose worker streams to another broker, or to none, is told to the others", () => {
    const { tell, touched } = given();
    tell[move]("other", "elsewhere");
    expect(touched).toEqual(["elsewhere"]);
  });

  test("and is not on its instance's stream here is no news to other brokers either", () => {
    const { tell, touched } = given();
    tell[move]("other", "here");
    expect(touched).toEqual([]);
  });

  test("and was brought to another instance's stream here is told to that stream only", () => {
    const { tell, heard, touched } = given();
    tell[move]("t", "elsewhere");
    expect(heard).toEqual([`${move} t`]);
    expect(touched).toEqual([]);
  });

  test("and was claimed by a call is told to nobody", () => {
    const { tell, touched } = given();
    tell[move]("other", null);
    expect(touched).toEqual([]);
  });
});

test("a lease that was taken away or is to be cancelled, and has no token, is told to the other brokers only", () => {
  const { news, heard, touched } = given();
  news.lost(null, "elsewhere");
  news.cancelled(null, "elsewhere");
  news.lost(null, null);
  expect(heard).toEqual([]);
  expect(touched).toEqual(["elsewhere", "elsewhere"]);
});

test("a broker without streams has no news for anybody", () => {
  expect([
    NO_NEWS.settled({ jobId: "j", token: "t" }, "i"),
    NO_NEWS.lost("t", "i"),
    NO_NEWS.cancelled("t", "i"),
  ]).toEqual(Array(3).fill(undefined));
});
