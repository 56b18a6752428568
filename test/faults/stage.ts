/** Where cells are played: worlds are opened, used by cells that want the same one, and closed. */
import { join } from "node:path";
import { type Cell, LOAD, WORKERS } from "./cell.ts";
import { type Cluster, clearAway, openCluster } from "./ground.ts";
import { World } from "./world.ts";

export interface StageOptions {
  folder: string;
  seed: number;
  /** Each cell has a world of its own. */
  alone: boolean;
}

interface Open {
  world: World;
  wants: string;
  cluster: Cluster | undefined;
}

export class Stage {
  readonly #options: StageOptions;
  readonly #ground: Cluster;
  #open: Open | undefined;
  #worlds = 0;

  constructor(options: StageOptions, ground: Cluster) {
    this.#options = options;
    this.#ground = ground;
  }

  /** The world that the cell wants: the one that is open, or a new one. */
  async worldFor(cell: Cell): Promise<World> {
    const wants = JSON.stringify(cell.world ?? {});
    if (this.#open?.wants === wants && !this.#options.alone) return this.#open.world;
    await this.close();
    const { seed } = this.#options;
    const number = ++this.#worlds;
    const folder = join(this.#options.folder, cell.name);
    const own = cell.world?.cluster;
    const cluster = own === undefined ? undefined : await openCluster(join(folder, "cluster"), own);
    try {
      const world = await World.open({
        name: `w${number}`,
        seed,
        folder,
        cluster: cluster ?? this.#ground,
        settings: cell.world?.settings ?? {},
        workers: { ...WORKERS, ...cell.world?.workers },
        plain: cell.world?.plain ?? {},
        load: { ...LOAD, ...cell.world?.load },
        nodeOptions: cell.world?.nodeOptions ?? [],
      });
      this.#open = { world, wants, cluster };
      return world;
    } catch (error) {
      await cluster?.stop();
      throw error;
    }
  }

  /** Ends the world that is open. Its folder is kept on request; answers which one that is. */
  async close(keep = false): Promise<string | undefined> {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return undefined;
    const { folder } = open.world.options;
    try {
      await open.world.close();
    } finally {
      await open.cluster?.stop();
    }
    if (!keep) clearAway(folder);
    return folder;
  }
}
