/** Where cells are played: worlds are opened, used by cells that want the same one, and closed. */
import { join } from "node:path";
import { type Cell, LOAD, WORKERS } from "./cell.ts";
import { openKind } from "./cluster-kinds.ts";
import { OURS, takePrevious } from "./code.ts";
import { type Cluster, clearAway } from "./ground.ts";
import { World } from "./world.ts";

export interface StageOptions {
  /** Begins the names of its databases. */
  name: string;
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

  /** Takes a cell out of those that are left: one that the open world fits, or the first. */
  pick(left: Cell[]): Cell | undefined {
    const fitting = left.findIndex((cell) => wantsOf(cell) === this.#open?.wants);
    return left.splice(Math.max(0, fitting), 1)[0];
  }

  /** The world that the cell wants: the one that is open, or a new one. */
  async worldFor(cell: Cell): Promise<World> {
    const wants = wantsOf(cell);
    if (this.#open?.wants === wants && !this.#options.alone) return this.#open.world;
    await this.close();
    const { name, seed } = this.#options;
    const number = ++this.#worlds;
    const folder = join(this.#options.folder, cell.name);
    const own = cell.world?.cluster;
    const cluster = own === undefined ? undefined : await openKind(own, join(folder, "cluster"));
    try {
      const world = await World.open({
        name: `${name}w${number}`,
        seed,
        folder,
        cluster: cluster ?? this.#ground,
        settings: cell.world?.settings ?? {},
        workers: { ...WORKERS, ...cell.world?.workers },
        plain: cell.world?.plain ?? {},
        load: { ...LOAD, ...cell.world?.load },
        nodeOptions: cell.world?.nodeOptions ?? [],
        code: cell.world?.isPrevious ? await takePrevious(join(folder, "previous")) : OURS,
        begin: cell.world?.begin ?? (async () => undefined),
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

/** What a cell's world is like, to be compared. */
function wantsOf(cell: Cell): string {
  return JSON.stringify(cell.world ?? {});
}
