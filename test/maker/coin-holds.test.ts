import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { CoinHolds } from '../../src/maker/coin-holds.ts';
import type { MakerStore } from '../../src/maker/maker-store.ts';
import type { FundingWallet, Outpoint } from '../../src/settlement/funding-wallet.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const coin = (number: number): Outpoint => ({ txid: `${number}`.repeat(64), vout: number });
const nameOf = ({ txid, vout }: Outpoint): string => `${txid}:${vout}`;
const [ONE, TWO, THREE] = [coin(1), coin(2), coin(3)];

/** A wallet that others use too, and a ledger. */
function setup(ledger = new MemoryLedger()) {
  const held = new Map<string, Outpoint>();
  const told: string[] = [];
  const fails = new Set<string>();
  const assertWorks = (what: string): void => {
    if (fails.has(what)) throw new CodedError('chain_rpc', what);
  };
  const wallet = {
    holds: {
      hold: async (coins: readonly Outpoint[]) => {
        assertWorks('hold');
        told.push(`hold ${coins.map(({ vout }) => vout).join()}`);
        for (const each of coins) held.set(nameOf(each), each);
      },
      release: async (coins: readonly Outpoint[]) => {
        for (const each of coins) assertWorks(`release ${each.vout}`);
        told.push(`release ${coins.map(({ vout }) => vout).join()}`);
        for (const each of coins) held.delete(nameOf(each));
      },
      held: async () => {
        assertWorks('held');
        return [...held.values()];
      },
    },
  } as unknown as FundingWallet;
  const lines: unknown[] = [];
  const log = { ...silentLogger, info: (fields: unknown, text: string) => void lines.push([text, fields]) };
  const holds = new CoinHolds({ ledger, log, wallet });
  return { holds, held, told, fails, lines, ledger, log };
}

type Life = 'opening' | 'funding' | 'open' | undefined;
const store = (
  contractId: string,
  status: Life,
  inputs?: readonly Outpoint[],
  isClosed = false,
): MakerStore =>
  ({
    ...{ contractId, isClosed },
    channel: status === undefined ? undefined : { status },
    opening: inputs === undefined ? undefined : { accept: { funding: { inputs } } },
  }) as unknown as MakerStore;

const failure = (text: string, detail: string): unknown => [
  text,
  { code: 'chain_rpc', detail: `chain_rpc: ${detail}` },
];

describe('coins of an opening', () => {
  it('are on disk before the wallet is told, and let go once, when it is over', async () => {
    const { holds, told, ledger } = setup();
    const documents = async (): Promise<unknown> =>
      (await ledger.list('hold')).map(({ id, body }) => [Number(id.at(-1)), body]);
    await holds.hold('a', [ONE, TWO]);
    await holds.hold('b', [THREE]);
    const of = (contract: string): string => JSON.stringify({ contract });
    expect(await documents()).toEqual([
      [1, of('a')],
      [2, of('a')],
      [3, of('b')],
    ]);
    await holds.release('a');
    await holds.release('a');
    await holds.release('unknown');
    expect(told).toEqual(['hold 1,2', 'hold 3', 'release 1', 'release 2']);
    expect(await documents()).toEqual([
      [1, '{}'],
      [2, '{}'],
      [3, of('b')],
    ]);
  });

  it('are not held where the disk takes nothing', async () => {
    const { holds, told, ledger } = setup();
    ledger.failNext(new CodedError('overload'));
    await expect(holds.hold('a', [ONE])).rejects.toThrow('overload');
    await holds.release('a');
    expect(told).toEqual([]);
  });

  it('that the wallet did not hold are let go all the same', async () => {
    const { holds, told, fails } = setup();
    fails.add('hold');
    await expect(holds.hold('a', [ONE])).rejects.toThrow('chain_rpc');
    await holds.release('a');
    expect(told).toEqual(['release 1']);
  });

  it('are let go one by one: what is spent keeps no other', async () => {
    const { holds, told, fails, lines, ledger } = setup();
    await holds.hold('a', [ONE, TWO]);
    fails.add('release 1');
    await holds.release('a');
    expect(told).toEqual(['hold 1,2', 'release 2']);
    expect(lines).toEqual([failure('a coin was not let go', 'release 1')]);
    expect(await ledger.get('hold', nameOf(ONE))).not.toBe('{}');
    expect(await ledger.get('hold', nameOf(TWO))).toBe('{}');
  });

  it('are let go with each contract that is over', async () => {
    const { holds, told } = setup();
    await holds.hold('a', [ONE]);
    await holds.hold('b', [TWO]);
    await holds.hold('c', [THREE]);
    await holds.sweep((id) => (id === 'c' ? undefined : store(id, 'open', [], id === 'b')));
    expect(told.slice(3)).toEqual(['release 2']);
  });

  it('are nobody’s business in a wallet of our own', async () => {
    const ledger = new MemoryLedger();
    for (const deps of [{}, { wallet: {} as FundingWallet }]) {
      const holds = new CoinHolds({ ledger, log: silentLogger, ...deps });
      await holds.hold('a', [ONE]);
      await holds.release('a');
      await holds.restore([store('a', 'opening', [ONE])]);
    }
    expect(await ledger.list('hold')).toEqual([]);
  });
});

describe('at a start', () => {
  it('coins are held that openings need, and let go that were ours and none needs', async () => {
    const before = setup();
    await before.holds.hold('a', [ONE]);
    await before.holds.hold('gone', [TWO]);
    const { holds, held, told } = setup(before.ledger);
    for (const each of [TWO, coin(7)]) held.set(nameOf(each), each);
    await holds.restore([
      store('a', 'opening', [ONE]),
      store('b', 'funding', [THREE]),
      store('c', 'open', [coin(4)]),
      store('d', undefined, [coin(5)]),
      store('e', 'opening'),
      Object.assign(store('f', 'opening'), { opening: {} }),
    ]);
    // What others hold is left alone.
    expect([...held.values()].map(({ vout }) => vout)).toEqual([7, 1, 3]);
    expect(told).toEqual(['release 2', 'hold 1,3']);
    await holds.sweep((id) => store(id, 'open', [], id === 'b'));
    await holds.release('c');
    expect(told.slice(2)).toEqual(['release 3']);
  });

  it('nothing is done where nothing is to do', async () => {
    const { holds, held, told } = setup();
    held.set(nameOf(ONE), ONE);
    await holds.restore([store('a', 'opening', [ONE])]);
    expect(told).toEqual([]);
  });

  it('a lock that somebody put on a coin which was let go is left alone', async () => {
    const before = setup();
    await before.holds.hold('a', [ONE]);
    await before.holds.release('a');
    const { holds, held, told } = setup(before.ledger);
    held.set(nameOf(ONE), ONE);
    await holds.restore([]);
    expect(told).toEqual([]);
  });

  it('a wallet that does not answer is told of, and held up by nothing', async () => {
    const { holds, told, fails, lines } = setup();
    fails.add('held');
    await holds.restore([store('a', 'opening', [ONE])]);
    expect([told, lines]).toEqual([[], [failure('held coins cannot be listed', 'held')]]);
    fails.clear();
    fails.add('hold');
    await holds.restore([store('a', 'opening', [ONE])]);
    expect(lines.slice(1)).toEqual([failure('coins of an opening are not held', 'hold')]);
    await holds.release('a');
    expect(told).toEqual(['release 1']);
  });
});
