import { expect, test } from "vitest";
import { addressOf, socketUrl, withDatabase } from "../../src/store/address.ts";

test("a socket's folder is split off the URL, whatever its name holds", () => {
  const url = socketUrl("/tmp/a b/%20&?", 5432, "postgres");
  expect(addressOf(url)).toEqual({ url: "postgres://postgres@localhost:5432/postgres", host: "/tmp/a b/%20&?" });
});

test("other parameters stay with the URL", () => {
  expect(addressOf("postgres://u:p%40@h:1/d?sslmode=require&host=/run")).toEqual({
    url: "postgres://u:p%40@h:1/d?sslmode=require",
    host: "/run",
  });
});

test("a URL of a server with a name is left as it is", () => {
  for (const url of ["postgres://u:p@db.example:5432/d?sslmode=require", "postgres://a,b/d?host=b", "no url"]) {
    expect(addressOf(url)).toEqual({ url });
  }
});

test("another database on the same server keeps the rest of the URL", () => {
  expect(withDatabase("postgres://u:p@h:1/a?host=%2Frun", "b c")).toBe("postgres://u:p@h:1/b%20c?host=%2Frun");
});
