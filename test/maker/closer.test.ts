import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { owedSat } from '../../src/base/units.ts';
import { createRpcChainSource, type RpcChainSource } from '../../src/chain/rpc-source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { stateAmounts } from '../../src/channel/amounts.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { type SignedState, signState } from '../../src/channel/states.ts';
import type { BondTerms } from '../../src/contract/bond-terms.ts';
import { makerChannelActions, proxyChannelActions } from '../../src/daemon/channel-actions.ts';
import type { RunningContracts } from '../../src/daemon/running-contracts.ts';
import { chainRpcMethods, RpcError } from '../../src/devnet/chain/chain-rpc-methods.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import type { StakesPolicy } from '../../src/maker/policy.ts';
import { call, handler } from '../../src/peer/calls.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { Failure, type FakeNode, startFakeNode } from '../chain/fake-node.ts';
import { connectAsMiner, serveAsMaker } from './impostors.ts';
import { SHARE, seedOf, until, World, type WorldOptions } from './world.ts';

const EXPIRY = 600;
const ASK = EXPIRY - 288;
const BROADCAST = EXPIRY - 144;
const CSV_BLOCKS = 20;
/** Blocks-only nodes answer so. */
const NO_ESTIMATE = new Failure(-32603, 'Fee estimation disabled');

const auditorKeyHex = toHex(
  new SeedSigner({ seed: seedOf('auditor'), network: 'regtest', channelIndex: 5 }).publicKey('auditor'),
);
const stakes: StakesPolicy = {
  ...{ bondModes: ['none', 'forfeit_to_mm', 'auditor'], maxMakerBondSat: 40_000n, minCollateralSat: 0n },
  ...{ auditorKeysHex: [auditorKeyHex], minBondCsvBlocks: 10, maxBondCsvBlocks: 2016 },
  ...{ seal: 'allowed', minClaimFeeRateSatPerKvb: 1000, earlyClose: 'returned' },
};
const forfeited: BondTerms = { bondMode: 'forfeit_to_mm', makerBondSat: 40_000n, collateralSat: 60_000n };
const audited: BondTerms = {
  ...{ bondMode: 'auditor', makerBondSat: 40_000n, collateralSat: 60_000n },
  ...{ bondCsvBlocks: CSV_BLOCKS, auditorKeyHex },
};

function worldOf({ terms, ...options }: WorldOptions = {}): World {
  return new World({
    terms: { expiryHeight: EXPIRY, ...terms },
    policy: { minExpiryBlocks: 300, stakes },
    ...options,
  });
}

/** Both sides with one state that was acked. */
async function opened(world: World): Promise<World> {
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  return world;
}

function balanceOf(world: World, side: 'miner' | 'maker'): bigint {
  const script = toHex(p2wpkhScript(world[`${side}Signer`].publicKey('wallet')));
  return world.chain.utxos(script).reduce((sum, coin) => sum + coin.valueSat, 0n);
}

async function mineTo(world: World, height: number): Promise<void> {
  world.chain.generate(height - world.chain.height);
  await world.rest();
}

/** What is in the mempool is the miner's close by so many shares, to the satoshi. */
async function expectClosedBy(world: World, shares: number): Promise<void> {
  await until('the close of the miner', () => world.chain.mempoolEntries().length === 1);
  const [entry] = world.chain.mempoolEntries();
  const workHashes = BigInt(shares) * SHARE.workHashes;
  const { minerSat } = stateAmounts(world.terms, workHashes);
  expect(entry!.transaction.outs[0]!.value).toBe(minerSat - entry!.feeSat);
  if (world.terms.bonds === undefined) {
    const paidSat = owedSat(workHashes, world.terms.priceMsatPerEh);
    expect(minerSat).toBe(world.terms.minerReserveSat + paidSat);
  }
  const before = balanceOf(world, 'miner');
  world.chain.generate(2);
  expect(balanceOf(world, 'miner') - before).toBe(minerSat - entry!.feeSat);
  await until('closed', () => world.miner.status.channel === 'closed');
}

async function expectRefunded(world: World, before: bigint): Promise<void> {
  await until('refund', () => world.chain.mempoolEntries().length === 1);
  const { feeSat } = world.chain.mempoolEntries()[0]!;
  world.chain.generate(2);
  await until('closed', () => world.maker.status[0]!.channel === 'closed');
  const { budgetSat, reserveSat, minerReserveSat } = world.terms;
  expect(balanceOf(world, 'maker') - before).toBe(budgetSat + reserveSat + minerReserveSat - feeSat);
}

/** The miner's contract as the only one of a proxy. */
function contractsOf({ miner: side, contractId }: World): RunningContracts {
  const first = { side, contractId };
  return { first, all: [first], side: () => side } as unknown as RunningContracts;
}

/** `POST /api/v1/channel/force-close` of the proxy. */
async function forceClose(world: World): Promise<unknown> {
  const { contractId } = world;
  return proxyChannelActions(contractsOf(world))['channel/force-close']!({ contract: contractId });
}

async function states(world: World): Promise<(n: number, workHashes: bigint) => SignedState> {
  const { makerStore: ledger, makerSigner: signer } = world;
  const deps = { ledger, signer, clock: systemClock, timers: systemTimers, log: silentLogger };
  const store = (await MakerStore.load(world.contractId, deps))!;
  const keys = signer.forChannel(store.contract.channelIndex);
  return (n, workHashes) => signState(store.assembled!.params, n, workHashes, keys);
}

/** A maker that has the miner ack state 2, and then signs another content for it. */
class TwoFaced {
  readonly world: World;
  #stop: () => Promise<void> = async () => {};
  #peer: RpcPeer | undefined;

  constructor(bonds?: BondTerms) {
    this.world = worldOf(bonds === undefined ? {} : { terms: { bonds } });
  }

  async run(): Promise<World> {
    const { world } = this;
    await opened(world);
    await world.maker.close();
    const signed = await states(world);
    await world.deliver(world.find(world.job(), 4));
    this.#stop = await serveAsMaker(
      world,
      {
        'channel.reestablish': handler('channel.reestablish', async ({ n, nextSeq }) => {
          return { n, state: undefined, nextSeq, verifiedWork: 0n };
        }),
      },
      (peer) => {
        this.#peer = peer;
      },
    );
    await world.restartMiner();
    await until('connected', () => this.#peer !== undefined && world.miner.status.connected);
    const { contractId } = world;
    const state = signed(2, 8n * SHARE.workHashes);
    expect(await call(this.#peer!, 'state.sign', { contractId, state })).toMatchObject({ n: 2 });
    const other = signed(2, 8n * SHARE.workHashes - 1n);
    const answer = call(this.#peer!, 'state.sign', { contractId, state: other });
    expect(await answer.catch(codeOf)).toBe('equivocation');
    return world;
  }

  async end(): Promise<void> {
    await this.world.stop();
    await this.#stop();
  }
}

describe('a maker that signs two contents for the newest state', () => {
  it('is closed at once by the state that was acked, where nothing is forfeited by that', async () => {
    const maker = new TwoFaced();
    const world = await maker.run();
    await expectClosedBy(world, 8);
    expect(world.miner.status).toMatchObject({ live: false, frozen: expect.any(String) });
    await maker.end();
  });

  it.each([
    ['', false],
    [', after a restart', true],
  ])(
    'is closed at the asking height where a close forfeits bonds, not before%s',
    async (_name, restarts) => {
      const maker = new TwoFaced(forfeited);
      const world = await maker.run();
      if (restarts) await world.restartMiner();
      await mineTo(world, ASK - 1);
      expect(world.chain.mempoolEntries()).toEqual([]);
      expect(world.miner.status).toMatchObject({ live: false, frozen: expect.any(String) });
      await mineTo(world, ASK);
      await expectClosedBy(world, 8);
      await maker.end();
    },
  );

  it.each([
    ['', false],
    [', after a restart', true],
  ])('is closed by hand%s', async (_name, restarts) => {
    const maker = new TwoFaced(forfeited);
    const world = await maker.run();
    if (restarts) await world.restartMiner();
    expect(world.chain.mempoolEntries()).toEqual([]);
    expect(await forceClose(world)).toMatchObject({ closing: true });
    await expectClosedBy(world, 8);
    await maker.end();
  });

  it('keeps the proof, and stays broken over a restart while it closes', async () => {
    const maker = new TwoFaced();
    const world = await maker.run();
    await until('broadcast', () => world.chain.mempoolEntries().length === 1);
    await world.restartMiner();
    expect(world.miner.status).toMatchObject({ live: false, frozen: expect.any(String) });
    expect(await world.minerStore.list('equivocation')).toHaveLength(1);
    await expectClosedBy(world, 8);
    await maker.end();
  });
});

describe('a channel stored as frozen', () => {
  it('is closed by its deadline', async () => {
    const world = await opened(worldOf());
    await world.maker.close();
    await world.miner.stop();
    const record = JSON.parse((await world.minerStore.get('channel', world.contractId))!) as object;
    const body = JSON.stringify({ ...record, status: 'frozen', reason: 'two contents for state 1' });
    await world.minerStore.append([{ type: 'put', kind: 'channel', id: world.contractId, body }]);
    await mineTo(world, BROADCAST);
    await world.restartMiner();
    await expectClosedBy(world, 4);
    await world.stop();
  });
});

describe('a maker that is shown another content of its own', () => {
  it.each([
    ['', false],
    [', after a restart', true],
  ])('takes the channel back at the expiry%s', async (_name, restarts) => {
    const world = await opened(worldOf());
    await world.miner.stop();
    const signed = await states(world);
    const peer = await connectAsMiner(world);
    const state = signed(1, 4n * SHARE.workHashes - 1n);
    const { contractId } = world;
    const asked = call(peer, 'channel.reestablish', { contractId, n: 1, state, nextSeq: 4 });
    expect(await asked.catch(codeOf)).toBe('equivocation');
    peer.close();
    expect(world.maker.status[0]!.frozen).toEqual(expect.any(String));
    if (restarts) await world.restartMaker();
    expect(world.maker.status[0]!.frozen).toEqual(expect.any(String));
    const before = balanceOf(world, 'maker');
    await mineTo(world, EXPIRY - 1);
    expect(world.chain.mempoolEntries()).toEqual([]);
    await mineTo(world, EXPIRY);
    await expectRefunded(world, before);
    await world.stop();
  });
});

/** The disk of a side fails for good at the first write that has such an entry. */
function failAt(world: World, side: 'miner' | 'maker', kind: string): void {
  world[`${side}Ledger`].deathAt = (entries: readonly LedgerEntry[]) => {
    if (entries.some((entry) => entry.kind === kind)) {
      world[`${side}Store`].failNext(new CodedError('ledger_io', 'no space left'));
    }
    return undefined;
  };
}

describe('a miner whose ledger failed for good', () => {
  it('at a state: closes at the asking height by that state, which it never acked, and not before', async () => {
    const world = await opened(worldOf());
    failAt(world, 'miner', 'state');
    await world.work(4);
    await until('frozen', () => world.miner.status.frozen !== undefined);
    expect(world.maker.status[0]).toMatchObject({ n: 2, ackedN: 1 });
    await mineTo(world, ASK - 1);
    expect(world.chain.mempoolEntries()).toEqual([]);
    await mineTo(world, ASK);
    await expectClosedBy(world, 8);
    await world.stop();
  });

  it('at a state: closes by hand', async () => {
    const world = await opened(worldOf());
    failAt(world, 'miner', 'state');
    await world.work(4);
    await until('frozen', () => world.miner.status.frozen !== undefined);
    expect(await forceClose(world)).toMatchObject({ closing: true });
    await expectClosedBy(world, 8);
    await world.stop();
  });

  it('at the record of the close: closes by hand', async () => {
    const world = await opened(worldOf());
    failAt(world, 'miner', 'channel');
    expect(await forceClose(world)).toMatchObject({ closing: true });
    await expectClosedBy(world, 4);
    await world.stop();
  });

  it('at the record of the close: closes at the deadline', async () => {
    const world = await opened(worldOf());
    await world.maker.close();
    await mineTo(world, BROADCAST - 1);
    expect(world.chain.mempoolEntries()).toEqual([]);
    failAt(world, 'miner', 'channel');
    await mineTo(world, BROADCAST);
    await expectClosedBy(world, 4);
    await world.stop();
  });

  it('before the channel opened: closes by state 0', async () => {
    const world = worldOf();
    await world.startMaker();
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    await until('funding stored', () => world.miner.status.channel === 'funding');
    failAt(world, 'miner', 'channel');
    world.chain.generate(world.terms.minDepth);
    await until('frozen', () => world.miner.status.frozen !== undefined);
    await mineTo(world, ASK);
    await expectClosedBy(world, 0);
    await world.stop();
  });

  it('climbs the ladder all the same', async () => {
    const world = await opened(worldOf({ terms: { minerReserveSat: 100_000n } }));
    failAt(world, 'miner', 'channel');
    await world.miner.closeAlone();
    const [first] = world.chain.mempoolEntries();
    const { source } = world;
    Object.assign(source, { feeRateSatPerKvb: async () => 20_000 });
    await world.miner.closeAlone();
    const [second] = world.chain.mempoolEntries();
    expect(second!.feeSat).toBeGreaterThan(first!.feeSat);
    await expectClosedBy(world, 4);
    await world.stop();
  });

  it('brings back its bond', async () => {
    const world = await opened(worldOf({ terms: { bonds: audited } }));
    await world.maker.close();
    failAt(world, 'miner', 'channel');
    await world.miner.closeAlone();
    world.minerLedger.get = async () => {
      throw new CodedError('ledger_io', 'cannot be read either');
    };
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    await mineTo(world, world.chain.height + CSV_BLOCKS);
    await until('bond', () => world.chain.mempoolEntries().length === 1);
    expect(world.chain.mempoolEntries()[0]!.transaction.ins[0]!.sequence).toBe(CSV_BLOCKS);
    await world.stop();
  });
});

describe('a disk that answers no more', () => {
  it('does not hold up the close of the miner', async () => {
    const world = await opened(worldOf());
    await world.maker.close();
    world.minerStore.hold();
    await mineTo(world, BROADCAST);
    await until('broadcast', () => world.chain.mempoolEntries().length === 1);
    world.minerStore.release();
    await expectClosedBy(world, 4);
    await world.stop();
  });

  it('does not hold up the refund of the maker', async () => {
    const world = await opened(worldOf());
    world.makerStore.hold();
    await world.work(2);
    await until('written', () => world.makerStore.stats.queuedWrites > 0);
    await world.miner.stop();
    await mineTo(world, EXPIRY);
    await until('refund', () => world.chain.mempoolEntries().length === 1);
    world.makerStore.release();
    await world.stop();
  });
});

describe('a maker whose ledger failed for good', () => {
  it.each(['state', 'share', 'ack', 'channel'])(
    'at a %s: its refund leaves at the expiry',
    async (kind) => {
      const world = await opened(worldOf());
      failAt(world, 'maker', kind);
      if (kind !== 'channel') {
        await world.work(4);
        await until('frozen', () => world.maker.status[0]!.frozen !== undefined);
      }
      await world.miner.stop();
      const before = balanceOf(world, 'maker');
      await mineTo(world, EXPIRY - 1);
      expect(world.chain.mempoolEntries()).toEqual([]);
      await mineTo(world, EXPIRY);
      await expectRefunded(world, before);
      await world.stop();
    },
  );

  it('brings back its bond', async () => {
    const world = await opened(worldOf({ terms: { bonds: audited } }));
    failAt(world, 'maker', 'state');
    await world.work(4);
    await until('frozen', () => world.maker.status[0]!.frozen !== undefined);
    await world.miner.closeAlone();
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    await world.miner.stop();
    await mineTo(world, world.chain.height + CSV_BLOCKS);
    await until('bond', () => world.chain.mempoolEntries().length === 1);
    await world.stop();
  });
});

/** A world on a node that is asked by JSON-RPC, and that answers no question about fees. */
class BlocksOnlyWorld extends World {
  node!: FakeNode;
  #source!: RpcChainSource;

  async connect(): Promise<void> {
    const methods = Object.entries(chainRpcMethods(this.chain, {})).map(([name, run]) => {
      const asked = (...params: unknown[]): unknown => {
        try {
          return run(params);
        } catch (error) {
          if (!(error instanceof RpcError)) throw error;
          throw new Failure(error.code, error.message);
        }
      };
      return [name, asked] as const;
    });
    this.node = await startFakeNode(Object.fromEntries(methods));
    this.#source = createRpcChainSource(
      { url: this.node.url, timeoutMs: 5_000, pollMs: 10, feeRateSatPerKvb: 3_000 },
      { log: silentLogger, clock: systemClock, timers: systemTimers },
    );
    Object.assign(this, { source: this.#source });
  }

  /** From here on the node has no answer where it is asked this. */
  refuse(methods: readonly string[] = ['estimatesmartfee', 'getmempoolinfo']): void {
    for (const method of methods) {
      this.node.methods[method] = () => {
        throw NO_ESTIMATE;
      };
    }
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.#source.close();
    await this.node.close();
  }
}

async function blocksOnly({ terms, ...options }: WorldOptions = {}): Promise<BlocksOnlyWorld> {
  const world = new BlocksOnlyWorld({
    terms: { expiryHeight: EXPIRY, ...terms },
    policy: { minExpiryBlocks: 300, stakes },
    ...options,
  });
  await world.connect();
  return world;
}

/** With a channel that is open by then. */
async function openedBlocksOnly(options: WorldOptions = {}): Promise<BlocksOnlyWorld> {
  const world = await blocksOnly(options);
  await opened(world);
  world.refuse();
  return world;
}

describe('a node that estimates no fees', () => {
  it('is enough to open, at the configured rate', async () => {
    const world = await blocksOnly();
    world.refuse();
    await world.startMaker();
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    const [{ feeSat, vsize } = { feeSat: 0n, vsize: 1 }] = world.chain.mempoolEntries();
    expect(Number(feeSat * 1000n) / vsize).toBeGreaterThanOrEqual(3_000);
    expect(Number(feeSat * 1000n) / vsize).toBeLessThan(3_300);
    await world.stop();
  });

  it('is enough for the close at the deadline', async () => {
    const world = await openedBlocksOnly();
    await world.maker.close();
    await mineTo(world, BROADCAST);
    await expectClosedBy(world, 4);
    await world.stop();
  });

  it('is enough to close together', async () => {
    const world = await openedBlocksOnly();
    const closed = world.miner.close();
    await until('broadcast', () => world.chain.mempoolEntries().length === 1);
    world.chain.generate(2);
    await closed;
    await world.stop();
  });

  it('is enough to close by hand', async () => {
    const world = await openedBlocksOnly();
    expect(await forceClose(world)).toMatchObject({ closing: true });
    await expectClosedBy(world, 4);
    await world.stop();
  });

  it('is enough for the refund of the maker', async () => {
    const world = await openedBlocksOnly();
    await world.miner.stop();
    const before = balanceOf(world, 'maker');
    await mineTo(world, EXPIRY);
    await expectRefunded(world, before);
    await world.stop();
  });

  it('is enough to bring back a bond', async () => {
    const world = await blocksOnly({ terms: { bonds: audited } });
    await opened(world);
    await world.maker.close();
    await world.miner.closeAlone();
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    world.refuse();
    await mineTo(world, world.chain.height + CSV_BLOCKS);
    await until('bond', () => world.chain.mempoolEntries().length === 1);
    await world.stop();
  });

  it('but nonsense holds up no refund', async () => {
    const world = await openedBlocksOnly();
    await world.miner.stop();
    world.node.methods['estimatesmartfee'] = () => ({ feerate: 12.5 });
    await mineTo(world, EXPIRY);
    await until('refund', () => world.chain.mempoolEntries().length === 1);
    await world.stop();
  });

  it('and does not tell what spends a coin is enough to replace a close', async () => {
    const world = await openedBlocksOnly({ terms: { minerReserveSat: 100_000n } });
    await world.maker.close();
    world.refuse([]);
    await world.miner.closeAlone();
    const [first] = world.chain.mempoolEntries();
    world.refuse(['gettxspendingprevout', 'getrawtransaction']);
    world.node.methods['estimatesmartfee'] = () => ({ feerate: 0.0002 });
    await world.miner.closeAlone();
    expect(world.chain.mempoolEntries()[0]!.feeSat).toBeGreaterThan(first!.feeSat);
    await expectClosedBy(world, 4);
    await world.stop();
  });
});

describe('a close by hand that does nothing', () => {
  it('is refused with a code: no channel yet', async () => {
    const world = worldOf();
    world.port = 1;
    await world.startMiner();
    expect(await forceClose(world).catch(codeOf)).toBe('unknown_channel');
    await world.stop();
  });

  it('is refused with a code: the node does not take it', async () => {
    const world = await opened(worldOf());
    const { broadcast } = world.source;
    Object.assign(world.source, {
      broadcast: async () => {
        throw new CodedError('tx_refused', 'mempool min fee not met');
      },
      broadcastPackage: async () => {
        throw new CodedError('tx_refused', 'mempool min fee not met');
      },
    });
    expect(await forceClose(world).catch(codeOf)).toBe('tx_refused');
    Object.assign(world.source, { broadcast });
    expect(await forceClose(world)).toMatchObject({ closing: true });
    await world.stop();
  });

  it('is refused with a code: the maker before the expiry', async () => {
    const world = await opened(worldOf());
    const action = makerChannelActions(world.maker)['channel/force-close']!;
    const asked = Promise.resolve(action({ contract: world.contractId }));
    expect(await asked.catch(codeOf)).toBe('not_expired');
    await world.stop();
  });

  it('is refused with a code: together, while it is frozen', async () => {
    const world = await opened(worldOf());
    failAt(world, 'miner', 'state');
    await world.work(4);
    await until('frozen', () => world.miner.status.frozen !== undefined);
    const { contractId } = world;
    const action = proxyChannelActions(contractsOf(world))['channel/close']!;
    const asked = (async () => action({ contract: contractId }))();
    expect(await asked.catch(codeOf)).toBe('channel_frozen');
    await world.stop();
  });
});
