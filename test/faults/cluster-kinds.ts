/** What a world may stand on beside the common Postgres: one of its own, or more than one. */
import { type Cluster, openCluster } from "./ground.ts";
import { openPooled } from "./pooler.ts";
import { openSmallDisk } from "./small-disk.ts";
import { openPair } from "./standby.ts";

const KINDS = { pair: openPair, pooled: openPooled, "small-disk": openSmallDisk };

/** A plain one's settings, or what else it is. */
export type ClusterKind = Record<string, string> | keyof typeof KINDS;

export async function openKind(kind: ClusterKind, folder: string): Promise<Cluster> {
  return typeof kind === "string" ? await KINDS[kind](folder) : await openCluster(folder, kind);
}
