/** As whom the embedded Postgres runs: it refuses to be root. */
import { execFile } from "node:child_process";
import { lchown, lstat, readdir, readFile, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";

export interface Account {
  /** Put before each program. */
  prefix: string[];
  /** Set where the programs run as another user, who must own the folders. */
  ids?: { uid: number; gid: number };
}

const SAME: Account = { prefix: [] };

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
}

/**
 * Chooses the account for a folder:
 * an ordinary user is itself; root is the owner of the folder, if that is somebody else;
 * otherwise root stays root for the files, under another name in a user namespace, which needs no user and no chown;
 * where namespaces are not permitted (many containers), an unprivileged user, to whom the folders are given.
 */
export async function chooseAccount(folder: string): Promise<Account> {
  const uid = process.getuid?.();
  if (uid === undefined) return SAME;
  if (uid !== 0 && hasName()) return SAME;
  const owner = await stat(folder).catch(() => undefined);
  if (uid === 0 && owner !== undefined && owner.uid !== 0)
    return { prefix: [], ids: { uid: owner.uid, gid: owner.gid } };
  const entries = await readPasswd();
  // initdb wants a name for its user, so the namespace maps us to one that has a name. Which one matters to nobody.
  const mapped = entries.find((entry) => entry.uid > 0);
  if (mapped !== undefined) {
    const prefix = ["unshare", "--user", `--map-user=${mapped.uid}`, `--map-group=${mapped.gid}`, "--"];
    if (await succeeds([...prefix, "true"])) return { prefix };
  }
  if (uid !== 0) return SAME;
  const nobody = ["postgres", "nobody"].flatMap((name) => entries.find((entry) => entry.name === name) ?? [])[0];
  return nobody === undefined ? SAME : { prefix: [], ids: { uid: nobody.uid, gid: nobody.gid } };
}

/** Gives a folder and all in it to the account. */
export async function give(path: string, account: Account): Promise<void> {
  if (account.ids === undefined) return;
  const { uid, gid } = account.ids;
  const found = await lstat(path);
  if (found.uid === uid) return;
  // The folder itself last, so that a run which was cut short is done again.
  if (found.isDirectory()) for (const entry of await readdir(path)) await give(join(path, entry), account);
  await lchown(path, uid, gid);
}

function hasName(): boolean {
  try {
    return userInfo().username !== "";
  } catch {
    return false;
  }
}

async function readPasswd(): Promise<PasswdEntry[]> {
  const text = await readFile("/etc/passwd", "utf8").catch(() => "");
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter((fields) => fields.length >= 4)
    .map(([name = "", , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
}

async function succeeds([program = "", ...args]: string[]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  execFile(program, args, (error) => resolve(error === null));
  return await promise;
}
