import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { difficultyOfTarget } from '../../src/bitcoin/target.ts';
import type { ContractConfig } from '../../src/config/config.ts';
import { type BondTerms, bondsOf } from '../../src/contract/bond-terms.ts';
import { termsToJson } from '../../src/contract/terms.ts';
import type { ContractRunner } from '../../src/daemon/contract-runner.ts';
import { RunningContracts } from '../../src/daemon/running-contracts.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { StakesPolicy } from '../../src/maker/policy.ts';
import { walletScript } from '../../src/settlement/opening.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { MAKER_SCRIPT_HEX, MortalLedger, SHARE, until, World } from '../maker/world.ts';
import { random } from '../peer/tls-pair.ts';

const auditorKeyHex = `02${'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5'}`;
const bonds: BondTerms = {
  ...{ bondMode: 'auditor', bondCsvBlocks: 20, auditorKeyHex },
  ...{ makerBondSat: 40_000n, collateralSat: 60_000n },
};
const seal = { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 };
const stakes: StakesPolicy = {
  ...{ bondModes: ['auditor'], maxMakerBondSat: 40_000n, minCollateralSat: 1000n },
  ...{ auditorKeysHex: [auditorKeyHex], minBondCsvBlocks: 1, maxBondCsvBlocks: 2016 },
  ...{ seal: 'required', minClaimFeeRateSatPerKvb: 100, earlyClose: 'returned' },
};

function worldOf(): World {
  return new World({ policy: { stakes, bindingScriptHex: MAKER_SCRIPT_HEX } });
}

function configOf(world: World, termsVersion: 2 | 3 = 2): ContractConfig {
  const { terms, minerSigner } = world;
  return {
    ...terms,
    maker: { host: '127.0.0.1', port: world.port },
    expiryBlocks: 600,
    shareDifficulty: difficultyOfTarget(SHARE.target),
    bindingScriptHex: MAKER_SCRIPT_HEX,
    termsVersion,
    bonds,
    returnsBonds: false,
    seal,
    payout: { type: 'script', scriptHex: toHex(walletScript(minerSigner)) },
  };
}

type Selling = Pick<ContractRunner, 'side' | 'terms' | 'contractId'> & {
  readonly contracts: RunningContracts;
};

async function start(world: World, store: MemoryLedger, termsVersion?: 2 | 3): Promise<Selling> {
  const { source: chain, minerSigner: signer } = world;
  const contracts = new RunningContracts();
  const { side, terms, contractId } = await contracts.start('regtest', configOf(world, termsVersion), {
    timers: systemTimers,
    ...{ ledger: new MortalLedger(store), chain, signer, clock: systemClock, random },
    ...{ log: silentLogger, onStatus: () => {} },
  });
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

    const next = await start(world, store);
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

it.each([
  [[1, 3, 5], 3],
  [[], 2],
] as const)(
  'a maker of features %j takes terms of version %i, with bonds and a seal',
  async (features, version) => {
    const world = worldOf();
    await world.startMaker({ features });
    const selling = await start(world, new MemoryLedger(), version);
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
  const selling = await start(world, new MemoryLedger(), 3);
  await until('refusal', () => selling.side.status.lastError === 'unsupported');
  expect(world.maker.status).toEqual([]);
  await selling.contracts.stop();
  await world.stop();
});
