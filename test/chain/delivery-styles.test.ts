import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import type { ChainTip } from '../../src/chain/source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { createDevnetChainSource } from '../devnet/chain-source.ts';
import { until, World, type WorldOptions } from '../maker/world.ts';
import { StyledSource } from './styled-source.ts';

/** How news of a block and of what is in it reach a party (after LDK's connect styles). */
type Style = {
  /** `tip`: the tip before its transactions; `transactions`: the other way; `away`: the node fails first. */
  readonly order: 'tip' | 'transactions' | 'block' | 'away';
  /** Of several blocks only the last is told. */
  readonly skipping?: boolean;
  /** Each telling this often. */
  readonly times?: number;
  /** All earlier tips are told again, oldest first, before each new one. */
  readonly redundant?: boolean;
  /** A reorganisation: every block taken off is told, or the block they share, or only the new tip. */
  readonly reorg: 'each' | 'fork' | 'tip';
};

const STYLES: Readonly<Record<string, Style>> = {
  'best block first': { order: 'tip', reorg: 'each' },
  'best block first, skipping blocks': { order: 'tip', skipping: true, reorg: 'each' },
  'best block first, reorganising only the tip': { order: 'tip', reorg: 'tip' },
  'transactions first': { order: 'transactions', reorg: 'each' },
  'transactions first, skipping blocks': { order: 'transactions', skipping: true, reorg: 'each' },
  'transactions twice first, skipping blocks': {
    order: 'transactions',
    skipping: true,
    times: 2,
    reorg: 'each',
  },
  'highly redundant transactions first, skipping blocks': {
    order: 'transactions',
    skipping: true,
    redundant: true,
    reorg: 'each',
  },
  'transactions first, reorganising only the tip': { order: 'transactions', reorg: 'tip' },
  'full blocks': { order: 'block', reorg: 'each' },
  'full blocks, all disconnections at once': { order: 'block', skipping: true, reorg: 'fork' },
  'the node away at the first telling': { order: 'away', times: 2, reorg: 'fork' },
};

const PAUSE_MS = 4;

/** A world whose parties hear of blocks in one style. */
class StyledWorld extends World {
  readonly #style: Style;
  readonly #styled: StyledSource;
  readonly #tips: ChainTip[] = [];

  constructor(style: Style, options: WorldOptions) {
    super(options);
    this.#style = style;
    this.#styled = new StyledSource(createDevnetChainSource(this.chain, { feeRateSatPerKvb: 2_000 }));
    Object.assign(this, { source: this.#styled });
    this.#styled.tell(this.chain.tip());
  }

  override async open(): Promise<void> {
    await this.startMaker();
    await this.startMiner();
    await until('funding broadcast', () => this.chain.mempoolEntries().length > 0);
    await this.connect(this.terms.minDepth);
    await until('open', () => this.miner.status.live && this.maker.status[0]?.channel === 'open');
  }

  /** Mines so many blocks, told in the style. */
  async connect(blocks: number): Promise<void> {
    const { skipping = false } = this.#style;
    for (let left = blocks; left > 0; left -= skipping ? blocks : 1) {
      const before = this.chain.tip();
      const count = skipping ? blocks : 1;
      this.chain.generate(count);
      await this.#tellBlocks(before, count);
    }
  }

  /** Takes blocks off and mines one more on their place. */
  async reorg(blocks: number): Promise<void> {
    const { reorg } = this.#style;
    if (reorg === 'each') {
      for (let left = blocks; left > 0; left -= 1) {
        this.chain.invalidateTip(1);
        await this.#tell(this.chain.tip());
      }
    } else {
      this.chain.invalidateTip(blocks);
      if (reorg === 'fork') await this.#tell(this.chain.tip());
    }
    if (reorg !== 'tip') return this.connect(blocks + 1);
    this.chain.generate(blocks + 1);
    await this.#tell(this.chain.tip());
  }

  /** Delivers a step and waits for its state. */
  async step(n: number): Promise<void> {
    await this.work(4);
    await until(`state ${n}`, () => this.miner.status.signed?.n === n);
    await until(`ack ${n}`, () => this.maker.status[0]?.ackedN === n);
  }

  /** Bonds and the seal that no block has moved yet. */
  stakesLeft(): number {
    const spends = [...Array(this.chain.height + 1).keys()].flatMap(
      (height) => this.chain.blockAt(height)!.transactions,
    );
    // The claim has a data output; a bond comes back by the sequence of its delay.
    const claims = spends.filter(({ outs }) => outs[0]!.script[0] === 0x6a && outs[0]!.value === 0n);
    const returns = spends.filter(({ ins }) => ins[0]!.sequence === CSV_BLOCKS);
    const isSeal = claims.some(({ outs }) => outs.length === 2 && outs[0]!.script.length === 38);
    return 2 - returns.length + (isSeal ? 0 : 1);
  }

  /** What a run comes to: how both sides stand on their disks, and who has what. */
  async end(): Promise<object> {
    const holdings = (signer: World['minerSigner']): bigint =>
      this.chain
        .utxos(toHex(p2wpkhScript(signer.publicKey('wallet'))))
        .reduce((sum, { valueSat }) => sum + valueSat, 0n);
    const record = async (store: World['minerStore']): Promise<object> => {
      const body = await store.get('channel', this.contractId);
      const { status, n, paid_sat } = JSON.parse(body!) as Record<string, unknown>;
      return { status, n, paid_sat };
    };
    return {
      miner: { ...(await record(this.minerStore)), sat: holdings(this.minerSigner) },
      maker: { ...(await record(this.makerStore)), sat: holdings(this.makerSigner) },
      waiting: this.chain.mempoolEntries().length,
    };
  }

  async #tellBlocks(before: ChainTip, count: number): Promise<void> {
    const tip = this.chain.tip();
    const { order, times = 1, redundant = false } = this.#style;
    const source = this.#styled;
    if (order === 'tip') source.lagBlocks = count;
    if (order === 'away') source.isAway = true;
    if (redundant) for (const told of this.#tips) source.tell(told);
    for (let time = 0; time < times; time += 1) await this.#tell(order === 'transactions' ? before : tip);
    source.lagBlocks = 0;
    source.isAway = false;
    await this.#tell(tip);
    this.#tips.push(tip);
  }

  /** Tells a tip and waits until nobody asks any more. */
  async #tell(tip: ChainTip): Promise<void> {
    this.#styled.tell(tip);
    for (let calls: unknown; calls === 'busy' || calls !== this.#styled.calls; ) {
      calls = this.#styled.calls;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

const MARGINS = { askBlocks: 4, broadcastBlocks: 3, urgentBlocks: 1, finalDepth: 2 };
const LIFE_BLOCKS = 30;
const OPTIONS: WorldOptions = {
  miner: { margins: MARGINS },
  policy: { minExpiryBlocks: 1 },
  terms: { expiryHeight: 4 + LIFE_BLOCKS },
};

async function inWorld(
  style: Style,
  run: (world: StyledWorld) => Promise<void>,
  options: WorldOptions = OPTIONS,
): Promise<object> {
  const world = new StyledWorld(style, options);
  try {
    await world.open();
    await run(world);
    return await world.end();
  } finally {
    await world.stop();
  }
}

async function untilClosed(world: StyledWorld, sides: readonly ('miner' | 'maker')[]): Promise<void> {
  await until('closed', async () => {
    const isClosed = sides.every((side) => {
      const status = side === 'miner' ? world.miner.status.channel : world.maker.status[0]?.channel;
      return status === 'closed';
    });
    if (!isClosed) await world.connect(1);
    return isClosed;
  });
}

/** The funding and then the close come off the chain and back; the miner closes alone. */
const closesAlone = (style: Style): Promise<object> =>
  inWorld(style, async (world) => {
    await world.step(1);
    await world.reorg(1);
    await world.reorg(3);
    await until('live again', () => world.miner.status.live);
    await world.step(2);
    await world.miner.closeAlone();
    await world.connect(1);
    await world.reorg(1);
    await untilClosed(world, ['miner', 'maker']);
  });

const closesTogether = (style: Style): Promise<object> =>
  inWorld(style, async (world) => {
    await world.step(1);
    await world.connect(2);
    await world.step(2);
    const closed = world.miner.close();
    await until('close broadcast', () => world.chain.mempoolEntries().length > 0);
    await world.connect(1);
    await world.reorg(1);
    await untilClosed(world, ['miner', 'maker']);
    await closed;
  });

/** The miner vanishes; the refund comes off the chain once. */
const vanishes = (style: Style): Promise<object> =>
  inWorld(style, async (world) => {
    await world.step(1);
    await world.miner.stop();
    await world.connect(world.terms.expiryHeight - 1 - world.chain.height);
    expect(world.chain.mempoolEntries()).toEqual([]);
    await world.connect(1);
    await until('refund broadcast', () => world.chain.mempoolEntries().length > 0);
    await world.connect(1);
    await world.reorg(1);
    await untilClosed(world, ['maker']);
  });

/** The miner is away until the last blocks: the state of the deadline, which comes off the chain once. */
const isLate = (style: Style): Promise<object> =>
  inWorld(style, async (world) => {
    await world.step(1);
    await world.maker.close();
    await world.connect(world.terms.expiryHeight - MARGINS.broadcastBlocks - world.chain.height);
    await until('state broadcast', () => world.chain.mempoolEntries().length > 0);
    await world.connect(1);
    await world.reorg(1);
    await untilClosed(world, ['miner']);
  });

const AUDITOR_KEY_HEX = `02${'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5'}`;
const CSV_BLOCKS = 6;
const STAKED: WorldOptions = {
  ...OPTIONS,
  terms: {
    ...OPTIONS.terms,
    bonds: {
      bondMode: 'auditor',
      makerBondSat: 40_000n,
      collateralSat: 60_000n,
      bondCsvBlocks: CSV_BLOCKS,
      auditorKeyHex: AUDITOR_KEY_HEX,
    },
    seal: { sealSat: 2_000n, claimFeeRateSatPerKvb: 2_000 },
  },
  policy: {
    ...OPTIONS.policy,
    stakes: {
      bondModes: ['auditor'],
      maxMakerBondSat: 40_000n,
      minCollateralSat: 1_000n,
      auditorKeysHex: [AUDITOR_KEY_HEX],
      minBondCsvBlocks: 1,
      maxBondCsvBlocks: 2_016,
      seal: 'required',
      minClaimFeeRateSatPerKvb: 1_000,
      earlyClose: 'refused',
    },
  },
};

/** The close comes off the chain once; the seal is claimed, and each has its bond back after the delay. */
const movesStakes = (style: Style): Promise<object> =>
  inWorld(
    style,
    async (world) => {
      await world.step(1);
      await world.step(2);
      await world.miner.closeAlone();
      await world.connect(1);
      await world.reorg(1);
      await untilClosed(world, ['miner', 'maker']);
      await world.connect(CSV_BLOCKS);
      await until('both bonds and the seal moved', async () => {
        if (world.chain.mempoolEntries().length > 0) await world.connect(1);
        return world.stakesLeft() === 0;
      });
    },
    STAKED,
  );

describe('blocks delivered in eleven ways come to the same end', () => {
  const plain = STYLES['full blocks']!;
  it.each([
    ['a close by the miner alone', closesAlone],
    ['a close together', closesTogether],
    ['a refund', vanishes],
    ['a close at the deadline', isLate],
    ['a close with bonds and a seal', movesStakes],
  ])('%s', async (_title, run) => {
    const expected = await run(plain);
    expect(expected).toMatchObject({ waiting: 0 });
    const ends: [string, object][] = [];
    for (const [name, style] of Object.entries(STYLES)) ends.push([name, await run(style)]);
    expect(Object.fromEntries(ends)).toEqual(
      Object.fromEntries(Object.keys(STYLES).map((name) => [name, expected])),
    );
  });
});
