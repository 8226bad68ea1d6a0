import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonProcess } from '../../src/daemon/child.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import type { BraidpoolNode } from '../../src/devnet/braidpool/braidpool-node.ts';
import { seededRandom } from '../../src/devnet/net/seeded-random.ts';
import type { DevnetPool } from '../../src/devnet/pool/pool.ts';
import type { ChaosStage } from './chaos-stage.ts';

type Act = (director: Director) => Promise<void> | void;

/**
 * Times each happens in a hundred. A stopped maker signs nothing: after five steps the contract pauses, and
 * goes on when it runs again.
 */
const ACTS: readonly (readonly [name: string, weight: number, act: Act])[] = [
  ['the maker stops for a while', 40, (director) => director.pauseMaker()],
  ['the maker is killed', 3, (director) => director.killMaker()],
  ['the node restarts', 12, (director) => director.restart(director.stage.node)],
  ['the node drops its connections', 6, ({ stage }) => stage.node.disconnectAll()],
  ['the node answers late', 4, (director) => director.delay(director.stage.node)],
  ['a pool restarts', 13, (director) => director.atPool((pool) => director.restart(pool))],
  ['a pool drops its connections', 6, (director) => director.atPool((pool) => pool.disconnectAll())],
  ['a pool asks to reconnect', 4, (director) => director.atPool((pool) => pool.sendReconnect())],
  ['a pool changes its extranonces', 4, (director) => director.anyPool().changeExtranonces()],
  ['a pool changes its difficulty', 8, (director) => director.changeDifficulty()],
];

/** Makes trouble without end, the same for the same seed; one of the two pools always works. */
export class Director {
  readonly stage: ChaosStage;
  readonly done: Record<string, number> = {};
  readonly #random: () => number;
  readonly #restarting = new Set<BraidpoolNode | DevnetPool>();
  readonly #busy = new Set<Promise<unknown>>();
  #isMakerBusy = false;

  constructor(stage: ChaosStage, seed: number) {
    this.stage = stage;
    this.#random = seededRandom(seed);
  }

  /** Resolves when all is well again. */
  async run(forMs: number): Promise<void> {
    const endMs = performance.now() + forMs;
    while (performance.now() < endMs) {
      const [name, act] = this.#pick();
      this.done[name] = (this.done[name] ?? 0) + 1;
      const acted = Promise.resolve(act(this)).finally(() => this.#busy.delete(acted));
      this.#busy.add(acted);
      await sleep(this.#between(800, 3_000));
    }
    await Promise.all(this.#busy);
  }

  pauseMaker(): Promise<void> {
    return this.#withMaker(async (maker) => {
      process.kill(maker.pid!, 'SIGSTOP');
      await sleep(this.#between(3_000, 5_000));
      process.kill(maker.pid!, 'SIGCONT');
      await sleep(this.#between(1_500, 3_000));
    });
  }

  killMaker(): Promise<void> {
    return this.#withMaker(async (maker) => {
      await maker.kill();
      await maker.start();
    });
  }

  async restart(target: BraidpoolNode | DevnetPool): Promise<void> {
    if (this.#restarting.has(target)) return;
    this.#restarting.add(target);
    await target.restart(this.#between(50, 1_500));
    this.#restarting.delete(target);
  }

  async delay({ faults }: BraidpoolNode): Promise<void> {
    faults.delayMs = this.#between(100, 800);
    await sleep(this.#between(500, 3_000));
    faults.delayMs = 0;
  }

  anyPool(): DevnetPool {
    const { pool, spare } = this.stage;
    return this.#random() < 0.5 ? pool : spare;
  }

  /** Nothing when the other pool does not work. */
  async atPool(act: (pool: DevnetPool) => Promise<void> | void): Promise<void> {
    const { pool, spare, proxy } = this.stage;
    const chosen = this.anyPool();
    const other = chosen === pool ? 'spare-pool' : 'own-pool';
    const status = await readStatus(proxy.metricsUrl);
    const isUp = status?.destinations.some(({ name, up }) => name === other && up) ?? false;
    if (isUp) await act(chosen === pool ? pool : spare);
  }

  changeDifficulty(): void {
    const exponent = -16 - Math.floor(this.#random() * 5);
    this.anyPool().setDifficulty(2 ** exponent);
  }

  /** One thing at a time. */
  async #withMaker(act: (maker: DaemonProcess) => Promise<void>): Promise<void> {
    if (this.#isMakerBusy) return;
    this.#isMakerBusy = true;
    await act(this.stage.daemons.maker);
    this.#isMakerBusy = false;
  }

  #pick(): readonly [string, Act] {
    const total = ACTS.reduce((sum, [, weight]) => sum + weight, 0);
    let at = this.#random() * total;
    for (const [name, weight, act] of ACTS) {
      at -= weight;
      if (at < 0) return [name, act];
    }
    throw new Error('the weights do not add up');
  }

  #between(least: number, most: number): number {
    return least + this.#random() * (most - least);
  }
}
