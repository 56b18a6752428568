/** As whom the embedded Postgres runs, for each kind of user. What this process is told of itself stands in for them. */
import { chown, lstat, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import type { UserInfo } from "node:os";
import { join } from "node:path";
import { afterEach, test as base, describe, expect, inject, vi } from "vitest";
import { chooseAccount, give } from "../../src/store/embedded-account.ts";

/** What stands in /etc/passwd; undefined: it cannot be read. */
const passwd = vi.hoisted(() => ({ text: undefined as string | undefined, name: "me" as string | undefined }));

vi.mock(import("node:fs/promises"), async (original) => {
  const promises = await original();
  const readFile = (async (path: string, ...rest: never[]) => {
    if (path !== "/etc/passwd") return await promises.readFile(path, ...rest);
    if (passwd.text === undefined) throw new Error("EACCES");
    return passwd.text;
  }) as unknown as typeof promises.readFile;
  return { ...promises, readFile };
});

vi.mock(import("node:os"), async (original) => {
  const os = await original();
  const userInfo = (() => {
    if (passwd.name === undefined) throw new Error("ENOENT");
    return { username: passwd.name } as UserInfo<string>;
  }) as typeof os.userInfo;
  return { ...os, userInfo };
});

const USERS = "root:x:0:0::/root:/bin/sh\n# a comment\nbin:x:2:3::/:/bin/false\nnobody:x:65534:65533::/:/bin/false\n";

const test = base.extend<{ folder: string; bin: string }>({
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(inject("runFolder"), "account-"));
    await use(folder);
    await rm(folder, { recursive: true });
  },
  /** The only folder on the PATH: nothing is in it, so namespaces are not to be had. */
  bin: async ({ folder }, use) => {
    const bin = join(folder, "bin");
    await mkdir(bin);
    vi.stubEnv("PATH", bin);
    await use(bin);
  },
});

function givenUser(uid: number | undefined, name: string | undefined, text: string | undefined = USERS): void {
  vi.spyOn(process, "getuid").mockReturnValue(uid as number);
  passwd.name = name;
  passwd.text = text;
}

/** Namespaces are permitted here. */
const permitNamespaces = (bin: string) => symlink("/usr/bin/true", join(bin, "unshare"));

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe("the account of an embedded Postgres", () => {
  test("is the same on a system without user ids, as Windows", async ({ folder }) => {
    givenUser(undefined, "me");
    expect(await chooseAccount(folder)).toEqual({ prefix: [] });
  });

  test("is the same for an ordinary user", async ({ folder, bin }) => {
    await permitNamespaces(bin);
    givenUser(1_000, "me");
    expect(await chooseAccount(folder)).toEqual({ prefix: [] });
  });

  test.for([
    ["no name", undefined],
    ["an empty name", ""],
  ] as const)("is another name in a namespace for an ordinary user that has %s", async ([, name], { folder, bin }) => {
    await permitNamespaces(bin);
    givenUser(1_000, name);
    const prefix = ["unshare", "--user", "--map-user=2", "--map-group=3", "--"];
    expect(await chooseAccount(folder)).toEqual({ prefix });
  });

  test("is the same for a user without a name where namespaces are not permitted", async ({ folder, bin: _ }) => {
    givenUser(1_000, undefined);
    expect(await chooseAccount(folder)).toEqual({ prefix: [] });
  });

  test.runIf(process.getuid?.() === 0)("is the owner of the folder for root", async ({ folder, bin }) => {
    await permitNamespaces(bin);
    await chown(folder, 1_234, 1_235);
    givenUser(0, "root");
    expect(await chooseAccount(folder)).toEqual({ prefix: [], ids: { uid: 1_234, gid: 1_235 } });
  });

  test("is nobody for root where namespaces are not permitted, and postgres where there is one", async ({
    folder,
    bin: _,
  }) => {
    const absent = join(folder, "absent");
    givenUser(0, "root");
    expect(await chooseAccount(absent)).toEqual({ prefix: [], ids: { uid: 65_534, gid: 65_533 } });
    givenUser(0, "root", `${USERS}postgres:x:70:71::/:/bin/sh\n`);
    expect(await chooseAccount(absent)).toEqual({ prefix: [], ids: { uid: 70, gid: 71 } });
  });

  test("stays root's where there is no other user", async ({ folder, bin }) => {
    await permitNamespaces(bin);
    const absent = join(folder, "absent");
    for (const text of ["root:x:0:0::/root:/bin/sh\n", undefined]) {
      givenUser(0, "root");
      passwd.text = text;
      expect(await chooseAccount(absent)).toEqual({ prefix: [] });
    }
  });
});

describe.runIf(process.getuid?.() === 0)("what is given to another user", () => {
  test("is all that lies in the folder, and not what a link in it leads to", async ({ folder }) => {
    const given = join(folder, "given");
    await mkdir(join(given, "base"), { recursive: true });
    await writeFile(join(folder, "roots"), "");
    await writeFile(join(given, "base", "file"), "");
    await symlink(join(folder, "roots"), join(given, "link"));
    await give(given, { prefix: [], ids: { uid: 1_234, gid: 1_235 } });
    for (const path of ["", "base", "base/file", "link"]) {
      expect(await lstat(join(given, path)), path).toMatchObject({ uid: 1_234, gid: 1_235 });
    }
    expect((await lstat(join(folder, "roots"))).uid).toBe(0);
  });

  test("is nothing where the folder is that user's already, and where the account is the same", async ({ folder }) => {
    const file = join(folder, "file");
    await writeFile(file, "");
    await give(folder, { prefix: [] });
    expect((await lstat(folder)).uid).toBe(0);
    await chown(folder, 1_234, 1_235);
    await give(folder, { prefix: [], ids: { uid: 1_234, gid: 1_235 } });
    expect((await lstat(file)).uid).toBe(0);
  });
});
