import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import type { ContractConfig } from '../../src/config/config.ts';
import { bondsOf } from '../../src/contract/bond-terms.ts';
import { termsToJson } from '../../src/contract/terms.ts';
import { editsIgnored } from '../../src/daemon/config-edits.ts';
import type { ContractRunner } from '../../src/daemon/contract-runner.ts';
import { RunningContracts } from '../../src/daemon/running-contracts.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { copyLedger } from '../cli/ledgers.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { MortalLedger, until, type World } from '../maker/world.ts';
import { random } from '../peer/tls-pair.ts';
import { bonds, configOf, seal, worldOf } from './selling-world.ts';

type Selling = Pick<ContractRunner, 'side' | 'terms' | 'contractId'> & {
  readonly contracts: RunningContracts;
};

async function run(
  world: World,
  store: MemoryLedger,
  change: Partial<ContractConfig> = {},
  said: string[] = [],
): Promise<{ contracts: RunningContracts; runner: ContractRunner | undefined }> {
  const { source: chain, minerSigner: signer } = world;
  const contracts = new RunningContracts();
  const note = (_fields: unknown, message: string): void => void said.push(message);
  const log: Logger = { ...silentLogger, warn: note, child: () => log };
  await contracts.start('regtest', [configOf(world, change)], {
    timers: systemTimers,
    ...{ ledger: new MortalLedger(store), chain, signer, clock: systemClock, random },
    ...{ log, onStatus: () => {} },
  });
  return { contracts, runner: contracts.first };
}

async function start(
  world: World,
  store: MemoryLedger,
  change: Partial<ContractConfig> = {},
): Promise<Selling> {
  const { contracts, runner } = await run(world, store, change);
  const { side, terms, contractId } = runner!;
  return { contracts, side, terms, contractId };
}

async function opened(): Promise<{ world: World; store: MemoryLedger; selling: Selling }> {
  const world = worldOf();
  await world.startMaker();
  const store = new MemoryLedger();
  const selling = await start(world, store);
  await until('funding', () => world.chain.mempoolEntries().length === 1);
  world.chain.generate(2);
  await until('live', () => selling.side.status.live);
  await until('kept', async () => (await world.makerBlobs.read(selling.contractId)) !== undefined);
  return { world, store, selling };
}

describe('selling hashrate', () => {
  it('proposes the bonds and the seal of the configuration, and takes back what is left when started anew', async () => {
    const { world, store, selling } = await opened();
    expect(selling.terms).toMatchObject({ bonds, seal });
    await selling.side.closeAlone();
    world.chain.generate(6);
    await until('closed', () => selling.side.status.channel === 'closed');
    const { contractId } = selling;
    await selling.contracts.stop();

    const next = await start(world, store, { name: 'second' });
    expect(next.contractId).not.toBe(contractId);
    expect(next.contracts.earlier.map(({ status }) => status.contractId)).toEqual([contractId]);
    const before = world.chain.mempoolEntries().length;
    world.chain.generate(20);
    // Both bonds, and whatever the next contract has sent by now.
    const returned = (): number =>
      world.chain.mempoolEntries().filter(({ transaction }) => transaction.ins[0]!.sequence === 20).length;
    await until('bonds', () => returned() === 2);
    expect(before).toBeLessThanOrEqual(1);
    await next.contracts.stop();
    await world.maker.close();
  });

  it('asks the maker for the contract of a ledger that is gone, instead of proposing another', async () => {
    const { world, selling } = await opened();
    await selling.contracts.stop();
    const healed = await start(world, new MemoryLedger());
    expect(healed.contractId).toBe(selling.contractId);
    await until('reestablished', () => healed.side.status.connected);
    await healed.contracts.stop();
    await world.maker.close();
  });

  it('proposes a contract where the maker keeps nothing or does not answer', async () => {
    const world = worldOf();
    world.port = 1;
    const selling = await start(world, new MemoryLedger());
    expect(selling.terms).toMatchObject({ bonds, seal });
    await selling.contracts.stop();
  });
});

describe('a configured contract, after a restart', () => {
  it('whose price was refused is proposed anew once the price is corrected', async () => {
    const world = worldOf();
    await world.startMaker();
    const store = new MemoryLedger();
    const workTotalHashes = world.terms.workTotalHashes / 2n;
    const tooMuch = { workTotalHashes, priceMsatPerEh: 2n * world.terms.priceMsatPerEh };
    const dear = await start(world, store, tooMuch);
    await until('refused', () => dear.side.status.lastError === 'bad_terms');
    await dear.contracts.stop();

    const again = await start(world, store, tooMuch);
    expect(again.contractId).toBe(dear.contractId);
    await again.contracts.stop();

    const corrected = await start(world, store, { workTotalHashes });
    expect(corrected.contractId).not.toBe(dear.contractId);
    await until('funding', () => world.chain.mempoolEntries().length === 1);
    await corrected.contracts.stop();
    await world.stop();
  });

  it('that was never opened in its time is proposed anew', async () => {
    const world = worldOf();
    world.port = 1;
    const store = new MemoryLedger();
    const early = await start(world, store);
    await early.contracts.stop();
    world.chain.generate(600 - 324);
    const late = await start(world, store);
    expect(late.terms.expiryHeight).toBe(early.terms.expiryHeight + 600 - 324);
    await late.contracts.stop();
  });

  it('goes on with its terms where the configuration changed, and says so', async () => {
    const { world, store, selling } = await opened();
    await selling.contracts.stop();
    const said: string[] = [];
    const { contracts, runner } = await run(world, store, { workTotalHashes: 50_000n }, said);
    expect(runner?.contractId).toBe(selling.contractId);
    expect(said).toContain('the configuration changed; the running contract keeps its terms');
    await contracts.stop();
    await world.maker.close();
  });

  it('runs on at the difficulty of its terms, and says which edits have no effect', async () => {
    const { world, store, selling } = await opened();
    await selling.contracts.stop();
    const shareDifficulty = 2 * configOf(world).shareDifficulty;
    const change = { priceMsatPerEh: 2n * world.terms.priceMsatPerEh, shareDifficulty };
    const { contracts, runner } = await run(world, store, change);
    expect(runner?.contractId).toBe(selling.contractId);
    expect(runner?.shareDifficulty).toBe(configOf(world).shareDifficulty);
    expect(runner?.ignoredEdits.map(({ term }) => term)).toEqual(['price_msat_per_eh', 'max_target']);
    expect(runner?.ignoredEdits[0]).toMatchObject({
      running: String(world.terms.priceMsatPerEh),
      configured: String(change.priceMsatPerEh),
    });
    await contracts.stop();
    await world.maker.close();
  });

  it('is compared with the configuration as both signed it anew, while it runs and at a start', async () => {
    const world = worldOf();
    await world.startMaker();
    const store = new MemoryLedger();
    const { contracts, runner } = await run(world, store, { termsVersion: 3 });
    await until('funding', () => world.chain.mempoolEntries().length === 1);
    world.chain.generate(2);
    await until('live', () => runner!.side.status.live);
    const { contractId, ignoredEdits } = runner!;
    expect(ignoredEdits).toEqual([]);
    const priceMsatPerEh = world.terms.priceMsatPerEh / 2n;
    await runner!.side.updates.propose({ priceMsatPerEh });
    await until('proposed', () => world.maker.updatesOf(contractId).state.pending !== undefined);
    await world.maker.updatesOf(contractId).confirm();
    await until('both', () => runner!.ignoredEdits.length > 0);
    const fixed = (msat: bigint): string => `{"type":"fixed","msat_per_eh":"${msat}"}`;
    const edit = { term: 'price', running: fixed(priceMsatPerEh) };
    expect(runner!.ignoredEdits).toEqual([{ ...edit, configured: fixed(world.terms.priceMsatPerEh) }]);
    await contracts.stop();

    const again = await run(world, store, { termsVersion: 3, priceMsatPerEh });
    expect(again.runner).toMatchObject({ contractId, ignoredEdits: [] });
    await again.contracts.stop();
    await world.maker.close();
  });

  it('is compared with the configuration by a look at its ledger', async () => {
    const { world, store, selling } = await opened();
    await selling.contracts.stop();
    const dataDir = mkdtempSync(join(tmpdir(), 'edits-'));
    const ignored = async (change: Partial<ContractConfig>) =>
      (
        await editsIgnored({
          ledger: { keepMs: 0, postgres: undefined },
          dataDir,
          contract: configOf(world, change),
        })
      ).map(({ message }) => message);
    expect(await ignored({})).toEqual([]);
    await copyLedger(store, join(dataDir, 'ledger.sqlite'));
    expect(await ignored({})).toEqual([]);
    const said = await ignored({ maxUnpaidSteps: world.terms.maxUnpaidSteps + 1 });
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^has no effect with max_unpaid_steps = \d+: the running contract keeps/);
    expect(await ignored({ name: 'next' })).toEqual([]);
    writeFileSync(join(dataDir, 'ledger.sqlite'), 'torn');
    expect((await ignored({}))[0]).toContain('has a ledger that cannot be read');
    rmSync(dataDir, { recursive: true });
    await world.maker.close();
  });

  it('that is finished is not opened a second time, until it is given another name', async () => {
    const { world, store, selling } = await opened();
    await selling.side.closeAlone();
    world.chain.generate(6);
    await until('closed', () => selling.side.status.channel === 'closed');
    await selling.contracts.stop();
    const { contractId } = selling;
    for (const change of [{}, { workTotalHashes: 50_000n }]) {
      const said: string[] = [];
      const { contracts, runner } = await run(world, store, change, said);
      expect(runner).toBeUndefined();
      expect(contracts.finished).toEqual([{ name: 'first', contractId, reason: 'closed: alone' }]);
      expect(said).toContain('finished; set another contract.name for the next one');
      // What was staked is still brought back.
      expect(contracts.earlier.map(({ status }) => status.contractId)).toEqual([contractId]);
      await contracts.stop();
    }
    expect(world.maker.status).toHaveLength(1);
    const next = await start(world, store, { name: 'second' });
    expect(next.contractId).not.toBe(contractId);
    await next.contracts.stop();
    const { contracts, runner } = await run(world, store);
    expect(runner).toBeUndefined();
    await contracts.stop();
    await world.maker.close();
  });

  it('of a ledger of an earlier version is known by its first name', async () => {
    const { world, store, selling } = await opened();
    await selling.contracts.stop();
    const body = JSON.stringify(termsToJson(selling.terms));
    const old = new MemoryLedger();
    for (const kind of ['contract', 'opening', 'funding', 'state', 'channel', 'delivery']) {
      for (const { id, body: each } of await store.list(kind)) {
        await old.append([{ type: 'put', kind, id, body: each }]);
      }
    }
    await old.append([{ type: 'put', kind: 'proposal', id: 'current', body }]);
    const again = await start(world, old);
    expect(again.contractId).toBe(selling.contractId);
    await again.contracts.stop();
    await world.maker.close();
  });
});

it.each([
  [[1, 3, 5], 3],
  [[], 2],
] as const)(
  'a maker of features %j takes terms of version %i, with bonds and a seal',
  async (features, version) => {
    const world = worldOf();
    await world.startMaker({ features });
    const selling = await start(world, new MemoryLedger(), { termsVersion: version });
    await until('funding', () => world.chain.mempoolEntries().length === 1);
    expect(termsToJson(selling.terms)['version']).toBe(version);
    expect(bondsOf(selling.terms)).toMatchObject(bonds);
    await selling.contracts.stop();
    await world.stop();
  },
);

it('terms of version 3 are not proposed to a maker that does not read them', async () => {
  const world = worldOf();
  await world.startMaker({ features: [] });
  const selling = await start(world, new MemoryLedger(), { termsVersion: 3 });
  await until('refusal', () => selling.side.status.lastError === 'unsupported');
  expect(world.maker.status).toEqual([]);
  await selling.contracts.stop();
  await world.stop();
});

it('begins later where no node answers at the start, and once', async () => {
  const world = worldOf();
  await world.startMaker();
  let isDead = true;
  const chain = new Proxy(world.source, {
    get: (source, name, receiver) =>
      isDead && name === 'tip'
        ? () => Promise.reject(new CodedError('chain_unreachable'))
        : (Reflect.get(source, name, receiver) as unknown),
  });
  const contracts = new RunningContracts();
  const store = new MemoryLedger();
  const begin = () =>
    contracts.start('regtest', [configOf(world)], {
      ...{ timers: systemTimers, clock: systemClock, random, log: silentLogger, onStatus: () => {} },
      ...{ ledger: new MortalLedger(store), chain, signer: world.minerSigner },
    });
  for (let attempt = 0; attempt < 2; attempt += 1)
    await expect(begin()).rejects.toMatchObject({ code: 'chain_unreachable' });
  expect(contracts.all).toEqual([]);
  isDead = false;
  await begin();
  const runner = contracts.first;
  expect(runner).toBeDefined();
  await begin();
  expect(contracts.all).toEqual([runner]);
  await until('funding', () => world.chain.mempoolEntries().length === 1);
  await contracts.stop();
  await world.maker.close();
});
