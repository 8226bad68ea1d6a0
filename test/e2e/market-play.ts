import { expect } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { owedSat } from '../../src/base/units.ts';
import type { ProxyStatusAnswer } from '../../src/daemon/status-client.ts';
import type { Orders } from './hostile/orders.ts';
import type { Sold } from './hostile/seller.ts';
import {
  type Daemon,
  type MakerName,
  type MakerRow,
  type MarketStage,
  POOL_SHARE_HASHES,
  type ProxyName,
  type Sale,
  STALE_GRACE_SECONDS,
  STEP_HASHES,
} from './market-stage.ts';

/** Codes of honest shares that a new block overtook. */
export const RACES: ReadonlySet<string> = new Set(['share_stale', 'stale_race']);

const LOOK_MS = 100;
const PATIENCE_MS = 90_000;

/** Looks until there is what is looked for. */
export async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const endMs = systemClock.monotonicMs() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (systemClock.monotonicMs() >= endMs) throw new Error(`not ${what} in time`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Waits until a daemon's log says something from here on. */
export function sayingOf({ log }: Daemon): (words: string) => Promise<void> {
  const { length } = log();
  return async (words) => {
    await until(`"${words}" in the log`, async () =>
      log().slice(length).includes(words) ? true : undefined,
    );
  };
}

/** One thing that a seller does wrong. */
export type Trick = {
  readonly trick: string;
  /** What its shares are refused for. */
  readonly codes: readonly string[];
  /**
   * Where only samples find it: new jobs of which shares may be credited once it was found, beside those
   * whose sample a block overtook, which count as not drawn. Before that the binding has no bound: a job is
   * credited while its sample is on its way. By default no job is credited at all.
   */
  readonly jobsOnceFound?: number;
  /** Words of the maker's log, about a job of the trick or one of the codes. */
  readonly says: string;
};

/** The third proxy is the seller that plays tricks; who is honest is watched. */
export class Market {
  readonly stage: MarketStage;
  #seller: Orders | undefined;

  constructor(stage: MarketStage) {
    this.stage = stage;
  }

  /** The orders to the third proxy. */
  get seller(): Orders {
    if (this.#seller === undefined) throw new Error('nobody sells');
    return this.#seller;
  }

  statusOf(proxy: ProxyName): Promise<ProxyStatusAnswer> {
    return until(`status of proxy ${proxy}`, () => this.stage.proxies[proxy].status());
  }

  /** The newest contract of a proxy at its maker. */
  async rowOf(maker: MakerName, proxy: ProxyName): Promise<MakerRow | undefined> {
    const { nodeId } = this.stage.proxies[proxy];
    const page = await this.stage.makers[maker].page().catch(() => undefined);
    return page?.contracts.findLast(({ miner_node_id }) => miner_node_id === nodeId);
  }

  /** Waits until a proxy sells; its funding needs a block. */
  async opens(proxy: ProxyName): Promise<void> {
    await until(`a funding of proxy ${proxy}`, async () => {
      const state = (await this.statusOf(proxy)).contract?.channel.state;
      return state === 'funding' || state === 'open' ? true : undefined;
    });
    this.stage.chain.generate(1);
    await until(`a sale of proxy ${proxy}`, async () =>
      (await this.statusOf(proxy)).contract?.live === true ? true : undefined,
    );
  }

  /** Starts the third proxy with another contract. */
  async startSelling(sale: Sale): Promise<void> {
    const { proxies } = this.stage;
    await this.end();
    this.stage.sell('three', sale);
    this.#seller = await this.stage.startHostile(proxies.three, 'seller');
    await this.opens('three');
    await this.seller.give({ do: 'know', ownScript: proxies.three.scriptHex });
    await this.sells('honest', 4);
  }

  async end(): Promise<void> {
    this.#seller?.end();
    this.#seller = undefined;
    await this.stage.proxies.three.process.stop();
  }

  /**
   * Waits until all that a proxy delivered is judged, and whole steps are signed: then both sides have the
   * same account, to the hash and the sat. Its miners rest.
   */
  async expectEqual(
    maker: MakerName,
    proxy: ProxyName,
    { priceMsatPerEh }: Sale,
  ): Promise<{ readonly id: string; readonly paidSat: string }> {
    const { contract, row } = await until('all judged and signed', async () => {
      const [status, found] = [await this.statusOf(proxy), await this.rowOf(maker, proxy)];
      if (status.contract === null || found === undefined) return undefined;
      const refused = BigInt(Object.values(found.refused).reduce((sum, count) => sum + count, 0));
      const judged = BigInt(found.verified_work_hashes) + refused * POOL_SHARE_HASHES;
      const isSigned =
        BigInt(found.unsigned_work_hashes) < STEP_HASHES &&
        found.n === status.contract.channel.state_number;
      const isJudged = judged === BigInt(status.contract.work_hashes);
      return isSigned && isJudged ? { contract: status.contract, row: found } : undefined;
    });
    const { paid_sat: paidSat, signed_work_hashes } = contract.channel;
    expect(paidSat).toBe(row.paid_sat);
    expect(BigInt(paidSat)).toBe(owedSat(BigInt(signed_work_hashes), priceMsatPerEh));
    return { id: contract.id, paidSat };
  }

  soldBy(trick: string): Promise<Sold> {
    return this.seller.give({ do: 'sold', trick });
  }

  /** Waits until so many shares more were sold by a trick. */
  async sells(trick: string, shares: number): Promise<Sold> {
    const before = (await this.soldBy(trick)).shares;
    return until(`${shares} shares sold by ${trick}`, async () => {
      const sold = await this.soldBy(trick);
      return sold.shares >= before + shares ? sold : undefined;
    });
  }

  /** The third proxy does one thing wrong; what it sold by it, and what was said of it. */
  async play(
    maker: MakerName,
    { trick, codes, jobsOnceFound, says }: Trick,
    honest: Neighbours,
  ): Promise<void> {
    await honest.begin();
    if (trick === 'stale template')
      await until('beyond the grace', async () =>
        (await this.seller.give<number>({ do: 'age' })) > STALE_GRACE_SECONDS * 1_100 ? true : undefined,
      );
    await this.seller.give({ do: 'play', trick });
    await this.sells(trick, 6);
    await until(`${trick} refused`, async () => {
      const { refused } = await this.soldBy(trick);
      return codes.some((code) => refused[code] !== undefined) ? true : undefined;
    });
    await this.seller.give({ do: 'play' });
    await this.sells('honest', 1);
    const sold = await this.soldBy(trick);
    // Its own node may come to a template later than its pool: that job it cannot show, whatever it claims.
    const raced = jobsOnceFound === undefined ? RACES : new Set([...RACES, 'share_unshown']);
    const others = Object.keys(sold.refused).filter((code) => !raced.has(code) && !codes.includes(code));
    expect(others).toEqual([]);
    if (jobsOnceFound === undefined) expect(sold.jobs).toBe(0);
    else expect(sold.jobsOnceFound).toBeLessThanOrEqual(jobsOnceFound + this.#notJudged(maker, sold));
    await until(`"${says}" in the log`, async () =>
      this.#says(maker, sold, codes, says) ? true : undefined,
    );
    await honest.expectUnharmed();
  }

  /** Sampled jobs of which the own node of a maker could not say what their blocks are worth. */
  #notJudged(maker: MakerName, { ids }: Sold): number {
    const lines = this.stage.makers[maker].log().split('\n');
    const said = lines.filter((line) => line.includes('a sampled job could not be judged'));
    return ids.filter((id) => said.some((line) => line.includes(`"job":"${id}"`))).length;
  }

  #says(maker: MakerName, { ids }: Sold, codes: readonly string[], words: string): boolean {
    const marks = [...ids.map((id) => `"job":"${id}"`), ...codes.map((code) => `"code":"${code}"`)];
    const lines = this.stage.makers[maker].log().split('\n');
    return lines.some((line) => line.includes(words) && marks.some((mark) => line.includes(mark)));
  }
}

/** The honest deliver, are paid, and nothing of theirs is refused but what a block overtook. */
export class Neighbours {
  readonly #market: () => Market;
  readonly #pairs: readonly (readonly [MakerName, ProxyName])[];
  #before: readonly MakerRow[] = [];

  constructor(market: () => Market, pairs: readonly (readonly [MakerName, ProxyName])[]) {
    this.#market = market;
    this.#pairs = pairs;
  }

  async begin(): Promise<void> {
    const rows = this.#pairs.map(async ([maker, proxy]) => (await this.#market().rowOf(maker, proxy))!);
    this.#before = await Promise.all(rows);
  }

  async expectUnharmed(): Promise<void> {
    for (const [at, [maker, proxy]] of this.#pairs.entries()) {
      const before = this.#before[at]!;
      const row = await until(`pay for proxy ${proxy}`, async () => {
        const now = await this.#market().rowOf(maker, proxy);
        return now !== undefined && now.shares_credited > before.shares_credited ? now : undefined;
      });
      expect(Object.keys(row.refused).filter((code) => !RACES.has(code))).toEqual([]);
      expect(row.frozen).toBeUndefined();
    }
  }
}
