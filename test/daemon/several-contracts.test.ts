import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock, type Timers } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import type { ContractConfig } from '../../src/config/config.ts';
import { VALUE_BLOCKS } from '../../src/contract/hash-value.ts';
import { type ContractTerms, contractIdOf } from '../../src/contract/terms.ts';
import type { TermsV3 } from '../../src/contract/terms-v3.ts';
import { mostUnpaidSatOf } from '../../src/contract/updated-terms.ts';
import { leavingView } from '../../src/daemon/leaving.ts';
import { RunningContracts } from '../../src/daemon/running-contracts.ts';
import type { SoldContract } from '../../src/daemon/selling.ts';
import type { TakenContract } from '../../src/daemon/taken-contracts.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { SaleLimits } from '../../src/miner/sale-limits.ts';
import { configuredTerms } from '../../src/operator/configured-terms.ts';
import { walletScript } from '../../src/settlement/opening.ts';
import { TodaysValue } from '../../src/settlement/todays-value.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { MortalLedger, until, type World } from '../maker/world.ts';
import { random } from '../peer/tls-pair.ts';
import { configOf, worldOf } from './selling-world.ts';

const FUNDED = 2;
/** Of a maker that is not there. */
const NOBODY = { makerNodeId: 'f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9' };

/** What is looked at now and then is looked at soon. */
const eager: Timers = {
  ...systemTimers,
  every: (ms, run) => systemTimers.every(Math.min(ms, 100), run),
};

async function serve(
  world: World,
  store: MemoryLedger,
  configured: readonly ContractConfig[],
  told: SoldContract[] = [],
  limits: SaleLimits = {},
): Promise<{ contracts: RunningContracts; sold: Map<string, SoldContract> }> {
  const contracts = new RunningContracts(limits);
  const sold = new Map<string, SoldContract>();
  const { source: chain, minerSigner: signer } = world;
  await contracts.start('regtest', configured, {
    ...{ timers: eager, clock: systemClock, random, log: silentLogger },
    ...{ ledger: new MortalLedger(store), chain, signer },
    onStatus: (contract) => {
      sold.set(contract.status.contractId, contract);
      told.push(contract);
    },
  });
  return { contracts, sold };
}

function takenOf(world: World, name: string): TakenContract {
  const terms = configuredTerms(configOf(world), {
    ...{ network: 'regtest', minerNodeId: world.terms.minerNodeId },
    ...{ tipHeight: world.chain.height, nonce: random.bytes(16) },
  });
  const maker = { host: '127.0.0.1', port: world.port };
  const quota = { type: 'rate', hashesPerSecond: 5n, maxHashesPerSecond: 7n } as const;
  const payoutScriptHex = toHex(walletScript(world.minerSigner));
  return { name, terms, maker, payoutScriptHex, returnsBonds: false, quota };
}

const idOf = ({ terms }: { terms: ContractTerms }): string => contractIdOf(terms);

async function live(world: World, contracts: RunningContracts, id: string): Promise<void> {
  await until('funding', () => world.chain.mempoolEntries().length > 0);
  world.chain.generate(FUNDED);
  await until('live', () => contracts.side(id)?.status.live === true);
}

describe('several contracts at once', () => {
  it('are served beside one whose maker is not there, each with its part of the hashrate', async () => {
    const world = worldOf();
    await world.startMaker();
    const dead = configOf(world, { ...NOBODY, name: 'dead', maker: { host: '127.0.0.1', port: 1 } });
    const quota = { type: 'weight', weight: 3 } as const;
    const { contracts, sold } = await serve(world, new MemoryLedger(), [
      dead,
      configOf(world, { quota, name: 'alive' }),
    ]);
    expect(contracts.all.map(({ name }) => name)).toEqual(['dead', 'alive']);
    const alive = contracts.all[1]!;
    await live(world, contracts, alive.contractId);
    expect(sold.get(alive.contractId)).toMatchObject({ quota, status: { live: true } });
    expect(contracts.all[0]!.side.status).toMatchObject({ live: false, connected: false });
    await contracts.stop();
    await world.stop();
  });

  it('tell both sides alike what leaving would be, at the value that the chain gives hashes', async () => {
    const world = worldOf();
    await world.startMaker();
    const { contracts } = await serve(world, new MemoryLedger(), [configOf(world)]);
    const runner = contracts.first!;
    await live(world, contracts, runner.contractId);
    const value = new TodaysValue({ chain: world.source, log: silentLogger });
    value.start();
    world.chain.generate(VALUE_BLOCKS + 8);
    await until('a value', () => value.msatPerEh !== undefined);
    const mine = leavingView(runner.leavable, { value })!;
    expect(mine).toMatchObject({ valueMsatPerEh: value.msatPerEh! });
    // Hashes of such a chain are worth far more than any price: the miner should leave.
    expect(mine.pays).toBe('miner');
    const { maker } = world;
    const { contractId, stream, verifiedWorkHashes, unsignedWorkHashes } = maker.status[0]!;
    const work = {
      ...{ deliveredHashes: verifiedWorkHashes, signedHashes: verifiedWorkHashes - unsignedWorkHashes },
    };
    expect(leavingView({ terms: maker.termsOf(contractId)!, stream, ...work }, { value })).toEqual(mine);
    value.stop();
    await contracts.stop();
    await world.stop();
  });

  it('one is added while they run, and served after a restart too, without being configured', async () => {
    const world = worldOf();
    await world.startMaker();
    const store = new MemoryLedger();
    const before = await serve(world, store, []);
    const taken = takenOf(world, 'quoted');
    const runner = await before.contracts.add(taken);
    expect(runner.contractId).toBe(idOf(taken));
    await live(world, before.contracts, runner.contractId);
    expect(before.sold.get(runner.contractId)?.quota).toEqual(taken.quota);
    // The same again is the same.
    expect(await before.contracts.add(taken)).toBe(runner);
    await before.contracts.stop();

    const { contracts, sold } = await serve(world, store, []);
    expect(contracts.all.map(({ name }) => name)).toEqual(['quoted']);
    await until('live again', () => contracts.side(idOf(taken))!.status.live);
    expect(sold.get(idOf(taken))?.quota).toEqual(taken.quota);
    await contracts.first!.side.closeAlone();
    world.chain.generate(6);
    await until('closed', () => contracts.first!.side.status.channel === 'closed');
    await contracts.stop();

    const after = await serve(world, store, []);
    expect(after.contracts.all).toEqual([]);
    expect(after.contracts.finished).toMatchObject([{ name: 'quoted', contractId: idOf(taken) }]);
    // Its bonds are still to be brought back, where its maker is.
    expect(after.contracts.earlier.map(({ status }) => status.contractId)).toEqual([idOf(taken)]);
    await after.contracts.stop();
    await world.stop();
  });

  it('are held together where one of them is updated, with what is signed and waits for its maker', async () => {
    const world = worldOf();
    await world.startMaker();
    const config = configOf(world, { name: 'alive', termsVersion: 3 });
    const terms = takenOf(world, 'alike').terms;
    const { mostSat } = mostUnpaidSatOf(terms, 0n);
    // That of two contracts, and of a third.
    const limits = { maxExposureSat: 3n * mostSat };
    const nobody = configOf(world, { ...NOBODY, name: 'dead', maker: { host: '127.0.0.1', port: 1 } });
    const { contracts } = await serve(world, new MemoryLedger(), [config, nobody], [], limits);
    const { side, contractId } = contracts.first!;
    await live(world, contracts, contractId);
    expect(contracts.exposureLimitSat).toBe(2n * mostSat);
    expect(contracts.passedWith(terms)).toBeUndefined();
    const twice = { stepHashes: 2n * terms.stepHashes };
    expect(() => side.updates.check({ stepHashes: 2n * terms.stepHashes + 1n })).toThrow(
      'sell.max_exposure',
    );
    await side.updates.propose(twice);
    // It is not what holds yet, but what the maker may make hold.
    expect(contracts.exposureLimitSat).toBe(2n * mostSat);
    expect(contracts.passedWith(terms)).toMatchObject({ name: 'sell.max_exposure', sat: 4n * mostSat });
    await contracts.stop();
    await world.stop();
  });

  it('none is added before they are served, or once it is over', async () => {
    const world = worldOf();
    await world.startMaker();
    await expect(new RunningContracts().add(takenOf(world, 'early'))).rejects.toMatchObject({
      code: 'wrong_status',
    });
    await world.stop();
  });

  it('an earlier one is ended where its own maker is, whoever is configured now', async () => {
    const world = worldOf();
    await world.startMaker();
    const store = new MemoryLedger();
    const before = await serve(world, store, [configOf(world)]);
    const { contractId } = before.contracts.first!;
    await live(world, before.contracts, contractId);
    await before.contracts.stop();

    const elsewhere = configOf(world, { ...NOBODY, name: 'next', maker: { host: '127.0.0.1', port: 1 } });
    const { contracts } = await serve(world, store, [elsewhere]);
    await until('asks its maker', () => contracts.side(contractId)!.status.connected);
    await contracts.stop();
    await world.stop();
  });

  it('one that renews is followed before the block at which both signed later that it stops', async () => {
    const world = worldOf({ maxOpenContractsPerMiner: 4, maxTotalBudgetSat: 8_000_000n });
    await world.startMaker();
    const quota = { type: 'weight', weight: 1 } as const;
    const config = configOf(world, { renews: true, termsVersion: 3, expiryBlocks: 900, quota });
    const { contracts } = await serve(world, new MemoryLedger(), [config]);
    const { side, contractId, terms } = contracts.first!;
    await live(world, contracts, contractId);
    const leadBlocks = terms.minDepth + 36;
    const stopHeight = world.chain.height + leadBlocks + 2;
    await side.updates.propose({ stopHeight });
    await until('proposed', () => world.maker.updatesOf(contractId).state.pending !== undefined);
    await world.maker.updatesOf(contractId).confirm();
    await until('both', () => side.period?.end === stopHeight);
    world.chain.generate(1);
    await world.rest();
    world.chain.generate(1);
    await until('the next is opened', () => contracts.all.length === 2);
    // Its heights are those of the first, moved by the blocks between the two.
    const openedAt = (each: ContractTerms): number => each.expiryHeight - config.expiryBlocks;
    expect(openedAt(contracts.all[1]!.terms)).toBe(stopHeight - leadBlocks);
    await contracts.stop();
    await world.stop();
  });

  it('one that renews is followed by the next on the same terms, and hashrate moves once it is over', async () => {
    const world = worldOf({ maxOpenContractsPerMiner: 4, maxTotalBudgetSat: 8_000_000n });
    await world.startMaker();
    const store = new MemoryLedger();
    const told: SoldContract[] = [];
    const quota = { type: 'rate', hashesPerSecond: 10n ** 9n, maxHashesPerSecond: 10n ** 9n } as const;
    const config = configOf(world, { renews: true, termsVersion: 3, quota });
    const { contracts, sold } = await serve(world, store, [config], told);
    const first = contracts.first!.contractId;
    await live(world, contracts, first);
    await until('the next is opened', () => contracts.all.length === 2);
    const next = contracts.all[1]!;
    expect(next.name).toBe('first+1');
    await live(world, contracts, next.contractId);
    const {
      nonceHex: _nonce,
      expiryHeight: _expiry,
      fundingByHeight: _by,
      ...same
    } = next.terms as TermsV3;
    expect(contracts.first!.terms).toMatchObject(same);
    expect([sold.get(first)!.isHeld, sold.get(next.contractId)!.isHeld]).toEqual([false, true]);

    told.length = 0;
    void contracts.first!.side.close();
    await until('the next takes over', () => sold.get(next.contractId)!.isHeld === false);
    const order = told.map(({ status, isHeld }) => [status.contractId, status.live && isHeld === false]);
    // Before hashrate leaves the one it has somewhere to go.
    expect(order[0]).toEqual([next.contractId, true]);
    expect(order[1]).toEqual([first, false]);
    // The one that takes over is followed in its turn.
    await until('the third is opened', () => contracts.all.length === 3);
    await contracts.stop();

    const again = await serve(world, store, [config]);
    expect(again.contracts.all.map(({ name }) => name)).toEqual(['first', 'first+1', 'first+2']);
    await until('held as before', () => again.sold.get(next.contractId)?.isHeld === false);
    await again.contracts.stop();
    await world.stop();
  });
});
