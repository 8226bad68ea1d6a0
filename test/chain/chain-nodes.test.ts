import { describe, expect, it } from 'vitest';
import { CodedError, codeOf, type ErrorCode } from '../../src/base/errors.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { ChainNodes } from '../../src/chain/chain-nodes.ts';
import type { ChainSource, ChainTip } from '../../src/chain/source.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';

const GENESIS = NETWORKS.regtest.genesisHash;
const POLL_MS = 1_000;

/** A node in the hands of a test. */
class Node {
  height = 100;
  fork = 'a';
  /** The code of the error it answers everything with, or that it does not answer at all. */
  trouble: ErrorCode | 'hangs' | undefined;
  /** Why it takes no transaction. */
  refusal: ErrorCode | undefined;
  rate: number | undefined;
  readonly taken: string[] = [];
  questions = 0;

  answer<T>(value: () => T): Promise<T> {
    if (this.trouble === 'hangs') return new Promise<T>(() => {});
    return this.trouble === undefined
      ? Promise.resolve().then(value)
      : Promise.reject(new CodedError(this.trouble));
  }

  get tip(): ChainTip {
    return { height: this.height, hash: `${this.fork}${this.height}`, timeSeconds: 0 };
  }

  #take(hex: string): string {
    if (this.refusal !== undefined) throw new CodedError(this.refusal, hex);
    this.taken.push(hex);
    return `txid of ${hex}`;
  }

  get source(): ChainSource {
    return {
      genesisHash: () => this.answer(() => GENESIS),
      tip: () => this.answer(() => this.tip),
      confirmations: () =>
        this.answer(() => {
          this.questions += 1;
          return this.height;
        }),
      broadcast: (hex: string) => this.answer(() => this.#take(hex)),
      broadcastPackage: (hexes: readonly string[]) =>
        this.answer(() => hexes.forEach((hex) => void this.#take(hex))),
      feeRateSatPerKvb: (_target: number, fallback: number) => Promise.resolve(this.rate ?? fallback),
      close: () => {},
    } as unknown as ChainSource;
  }
}

function setUp(count = 2, genesisHash?: string) {
  const time = new VirtualTime();
  const nodes = Array.from({ length: count }, () => new Node());
  const chain = new ChainNodes(
    nodes.map((node, index) => ({ name: `n${index}`, source: node.source })),
    { pollMs: POLL_MS, feeRateSatPerKvb: 5_000, ...(genesisHash === undefined ? {} : { genesisHash }) },
    { clock: time.clock, timers: time.timers, log: silentLogger },
  );
  const heights: number[] = [];
  const watch = async (): Promise<void> => {
    chain.watchTip(({ height }) => heights.push(height));
    await time.advance(1);
  };
  const [own, other] = nodes as [Node, Node];
  return { time, nodes, own, other, chain, heights, watch };
}

/** Whose height it is that a question is answered with. */
const asked = (chain: ChainNodes): Promise<number | undefined> => chain.confirmations('');
const codeFrom = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', codeOf);
const states = (chain: ChainNodes): string[] => chain.health.map(({ state }) => state);

describe('the best tip of any node', () => {
  it('is told once, whichever of them has it, and never goes back for one that lags', async () => {
    const { own, other, heights, time, watch, chain } = setUp();
    await watch();
    own.height = 101;
    await time.advance(POLL_MS);
    other.height = 102;
    await time.advance(POLL_MS);
    own.height = 102;
    await time.advance(3 * POLL_MS);
    expect(heights).toEqual([100, 101, 102]);
    expect(chain.best).toEqual(own.tip);
  });

  it.each(['chain_unreachable', 'chain_syncing', 'chain_rpc', 'hangs'] as const)(
    'goes on while one node is in trouble: %s',
    async (trouble) => {
      const { own, other, heights, time, watch, chain } = setUp();
      await watch();
      own.trouble = trouble;
      other.height = 105;
      await time.advance(POLL_MS);
      expect(heights).toEqual([100, 105]);
      const tip = chain.tip();
      await time.settle();
      await time.advance(2_001);
      expect((await tip).height).toBe(105);
      expect(await asked(chain)).toBe(105);
    },
  );

  it('stays that of a node that went away: heights are deadlines', async () => {
    const { own, other, heights, time, watch, chain } = setUp();
    await watch();
    other.height = 110;
    await time.advance(POLL_MS);
    other.trouble = 'chain_unreachable';
    own.height = 101;
    await time.advance(POLL_MS);
    expect(heights).toEqual([100, 110]);
    expect((await chain.tip()).height).toBe(110);
    // What the one that is left says is of long ago.
    expect(await codeFrom(asked(chain))).toBe('chain_unreachable');
    other.trouble = undefined;
    expect(await asked(chain)).toBe(110);
  });

  it('is not changed by a fork of the same height, and is by a higher one', async () => {
    const { own, other, heights, time, watch, chain } = setUp();
    other.fork = 'b';
    await watch();
    await time.advance(3 * POLL_MS);
    expect(heights).toEqual([100]);
    expect(chain.best?.hash).toBe('a100');
    other.height = 101;
    await time.advance(POLL_MS);
    expect(chain.best?.hash).toBe('b101');
    own.fork = 'b';
    own.height = 101;
    await time.advance(POLL_MS);
    expect(heights).toEqual([100, 101]);
  });

  it('follows a reorganisation, also to a lower height, once no node is left on the old one', async () => {
    const { own, other, time, watch, chain } = setUp();
    await watch();
    for (const node of [own, other]) {
      expect(chain.best?.hash).toBe('a100');
      node.fork = 'c';
      node.height = 99;
      await time.advance(POLL_MS);
    }
    expect(chain.best?.hash).toBe('c99');
  });

  it('is none where no node answers', async () => {
    const { own, other, chain } = setUp();
    own.trouble = 'chain_unreachable';
    other.trouble = 'chain_syncing';
    expect(await codeFrom(chain.tip())).toBe('chain_unreachable');
    expect(await codeFrom(asked(chain))).toBe('chain_unreachable');
    expect(states(chain)).toEqual(['unreachable', 'syncing']);
  });
});

describe('a question', () => {
  it('is answered by the first of those at the best tip, not by one that stands still', async () => {
    const { own, other, chain } = setUp();
    expect(await asked(chain)).toBe(100);
    expect([own.questions, other.questions]).toEqual([1, 0]);
    other.height = 120;
    await chain.tip();
    expect(await asked(chain)).toBe(120);
    expect(own.questions).toBe(1);
    expect(chain.health.map(({ isBehind }) => isBehind)).toEqual([true, false]);
  });

  it('is taken over by the next node where the first fails, or errs', async () => {
    for (const trouble of ['chain_unreachable', 'chain_rpc', 'chain_syncing'] as const) {
      const { own, other, chain } = setUp();
      await chain.tip();
      own.trouble = trouble;
      expect(await asked(chain)).toBe(100);
      expect(other.questions).toBe(1);
    }
  });

  it('may go to a node two blocks behind where no other answers, and to none further behind', async () => {
    const { own, other, chain } = setUp();
    other.height = 102;
    await chain.tip();
    other.trouble = 'chain_unreachable';
    expect(await asked(chain)).toBe(100);
    own.height = 99;
    expect(await asked(chain)).toBe(99);
    await chain.tip();
    expect(await codeFrom(asked(chain))).toBe('chain_unreachable');
    // The one at the tip is on another chain all of a sudden: what it told is void.
    other.trouble = 'chain_network';
    await chain.tip();
    expect(await asked(chain)).toBe(99);
  });

  it('never goes to a node of another chain', async () => {
    const { own, chain } = setUp();
    own.trouble = 'chain_network';
    own.height = 9_000;
    expect(await asked(chain)).toBe(100);
    expect(states(chain)).toEqual(['other_network', 'ready']);
    expect(chain.best?.height).toBe(100);
    expect(chain.health[0]).toMatchObject({ name: 'n0', error: { code: 'chain_network' } });
  });

  it('gets the estimate of the next node where the first has none', async () => {
    const { own, other, chain } = setUp();
    await chain.tip();
    expect(await chain.feeRateSatPerKvb(6)).toBe(5_000);
    other.rate = 9_000;
    expect(await chain.feeRateSatPerKvb(6)).toBe(9_000);
    own.rate = 8_000;
    expect(await chain.feeRateSatPerKvb(6)).toBe(8_000);
  });
});

describe('a transaction', () => {
  it('goes to every node, whatever became of the others', async () => {
    const { nodes, chain, time } = setUp(4);
    await chain.tip();
    nodes[0]!.trouble = 'hangs';
    nodes[1]!.trouble = 'chain_unreachable';
    expect(await chain.broadcast('x')).toBe('txid of x');
    await chain.broadcastPackage(['p', 'c']);
    await time.settle();
    expect(nodes.map(({ taken }) => taken.join(''))).toEqual(['', '', 'xpc', 'xpc']);
  });

  it('is refused where a node in the present refuses it, whatever one that stands still says', async () => {
    const { own, other, chain } = setUp();
    other.height = 150;
    await chain.tip();
    other.refusal = 'tx_refused';
    expect(await codeFrom(chain.broadcast('x'))).toBe('tx_refused');
    expect(own.taken).toEqual(['x']);
    other.refusal = undefined;
    own.refusal = 'tx_refused';
    expect(await chain.broadcast('y')).toBe('txid of y');
  });

  it('is taken where only a node takes it that stands still', async () => {
    const { own, other, chain, time } = setUp();
    other.height = 150;
    await chain.tip();
    other.trouble = 'hangs';
    const sent = chain.broadcast('x');
    await time.settle();
    await time.advance(2_001);
    expect(await sent).toBe('txid of x');
    expect(own.taken).toEqual(['x']);
  });

  it('says why where no node takes it', async () => {
    const { own, other, chain } = setUp();
    own.trouble = 'chain_unreachable';
    other.trouble = 'chain_unreachable';
    expect(await codeFrom(chain.broadcast('x'))).toBe('chain_unreachable');
    other.trouble = undefined;
    other.refusal = 'tx_refused';
    expect(await codeFrom(chain.broadcast('x'))).toBe('tx_refused');
  });
});

describe('the genesis block', () => {
  it('is that of a node, else that of the network: peers are spoken to while no node answers', async () => {
    const { own, other, chain } = setUp(2, 'expected');
    own.trouble = 'chain_unreachable';
    expect(await chain.genesisHash()).toBe(GENESIS);
    other.trouble = 'chain_unreachable';
    expect(await chain.genesisHash()).toBe('expected');
    other.trouble = 'chain_network';
    expect(await codeFrom(chain.genesisHash())).toBe('chain_network');
  });
});

describe('one node', () => {
  it('tells of each change of its tip, as it comes', async () => {
    const { own, heights, time, watch, chain } = setUp(1);
    await watch();
    for (const [height, fork] of [
      [101, 'a'],
      [101, 'b'],
      [100, 'b'],
      [102, 'b'],
    ] as const) {
      own.height = height;
      own.fork = fork;
      await time.advance(POLL_MS);
    }
    expect(heights).toEqual([100, 101, 101, 100, 102]);
    own.trouble = 'chain_unreachable';
    expect(await codeFrom(asked(chain))).toBe('chain_unreachable');
    own.trouble = undefined;
    expect(await asked(chain)).toBe(102);
  });

  it('is polled no more once nobody watches', async () => {
    const { own, time, chain } = setUp(1);
    const heights: number[] = [];
    const stop = chain.watchTip(({ height }) => heights.push(height));
    await time.advance(1);
    stop();
    own.height = 200;
    await time.advance(10 * POLL_MS);
    expect(heights).toEqual([100]);
    chain.close();
  });
});
