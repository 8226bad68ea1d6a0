import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { ProxyConfig } from '../../src/config/config.ts';
import { rankQuotes } from '../../src/contract/quote-rank.ts';
import { contractIdOf, type TermsV3 } from '../../src/contract/terms.ts';
import { RuleTaking } from '../../src/daemon/rule-taking.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { AskedMakers, MakerQuote } from '../../src/operator/market-tools.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const MINUTE_MS = 60_000;

/** A quote of one maker at this price. */
function quoteOf(maker: string, msatPerEh: bigint): MakerQuote {
  const terms: TermsV3 = makeTermsV3({
    ...{ price: { type: 'fixed', msatPerEh }, budgetSat: 10n ** 9n },
    nonceHex: Buffer.from(maker.padEnd(16)).toString('hex'),
  });
  const place = { name: maker, maker: { host: '::1', port: 7333 }, makerNodeId: terms.makerNodeId };
  return { maker, place, terms, quoteId: '', validForMs: 300_000, depositSat: 0n } as unknown as MakerQuote;
}

function standOf(
  keepContracts: number | undefined,
  quotes: readonly MakerQuote[],
  {
    refuses = [],
    running = 0,
  }: {
    refuses?: readonly string[];
    running?: number;
  } = {},
) {
  const time = new VirtualTime();
  const said: string[] = [];
  const taken: string[] = [];
  const stand = { running, isDown: false };
  const nameOf = (contract: string) => quotes.find(({ terms }) => contractIdOf(terms) === contract)?.maker;
  const config = { makers: quotes.map(({ place }) => place), sell: { keepContracts } };
  const rule = new RuleTaking(config as unknown as ProxyConfig, {
    running: () => stand.running,
    ask: async (): Promise<AskedMakers> => {
      said.push('ask');
      if (stand.isDown) throw new CodedError('chain_unreachable');
      const market = { valueMsatPerEh: undefined, offMarketPpm: undefined };
      return { ranked: rankQuotes(quotes, 0n), refused: [], feesSat: 0n, ...market };
    },
    propose: async ({ maker }) => void said.push(`propose ${maker}`),
    take: async (input) => {
      const { name, dry_run: isDry, maker: place } = input as Record<string, unknown>;
      const maker = String(name).split(' ')[0]!;
      expect(place).toBe('[::1]:7333');
      // What only somebody who was asked may say.
      expect(input).not.toHaveProperty('off_market');
      if (refuses.includes(maker)) throw new CodedError('exposure_limit');
      if (isDry === true) return {};
      taken.push(maker);
      stand.running += 1;
      return {};
    },
    ...{ clock: time.clock, timers: time.timers, log: silentLogger },
  });
  return { time, said, taken, stand, rule, nameOf };
}

const QUOTES = [quoteOf('low', 400_000n), quoteOf('high', 500_000n), quoteOf('middle', 450_000n)];

describe('contracts that are taken by rule', () => {
  it('are none without a rule, or a maker to ask: nothing is even asked (F23)', async () => {
    for (const { time, said, rule } of [standOf(undefined, QUOTES), standOf(0, QUOTES), standOf(3, [])]) {
      await time.advance(60 * MINUTE_MS);
      expect(said).toEqual([]);
      await rule.stop();
    }
  });

  it('are the best quote each time, one at a time, until as many run as the rule says', async () => {
    const { time, said, taken, stand, rule } = standOf(2, QUOTES, { running: 1 });
    await time.advance(MINUTE_MS);
    expect(said).toEqual(['ask', 'propose high']);
    await time.advance(60 * MINUTE_MS);
    expect(taken).toEqual(['high']);
    // One is over: the next is asked for.
    stand.running -= 1;
    await time.advance(MINUTE_MS);
    expect(said.slice(2)).toEqual(['ask', 'propose high']);
    await rule.stop();
  });

  it('are the next of the ranking where the limits refuse the best, before anything is signed', async () => {
    const { time, said, rule } = standOf(1, QUOTES, { refuses: ['high'] });
    await time.advance(MINUTE_MS);
    expect(said).toEqual(['ask', 'propose middle']);
    const none = standOf(1, QUOTES, { refuses: ['high', 'middle', 'low'] });
    await none.time.advance(MINUTE_MS);
    expect(none.said).toEqual(['ask']);
    await rule.stop();
    await none.rule.stop();
  });

  it('are asked for each five minutes at the most, whatever fails', async () => {
    const { time, said, stand, rule, taken } = standOf(1, QUOTES);
    stand.isDown = true;
    await time.advance(61 * MINUTE_MS);
    expect(said.length).toBeGreaterThan(10);
    expect(said.length).toBeLessThanOrEqual(13);
    stand.isDown = false;
    await time.advance(6 * MINUTE_MS);
    expect(taken).toEqual(['high']);
    await rule.stop();
    const count = said.length;
    stand.running = 0;
    await time.advance(60 * MINUTE_MS);
    expect(said.length).toBe(count);
  });

  it('are none while nobody knows what runs', async () => {
    const { time, said, rule } = standOf(100, QUOTES, { running: Number.POSITIVE_INFINITY });
    await time.advance(60 * MINUTE_MS);
    expect(said).toEqual([]);
    await rule.stop();
  });
});
