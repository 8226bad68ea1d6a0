import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transaction } from 'bitcoinjs-lib';
import { afterEach, expect, it } from 'vitest';
import { incomeCommand, makerPnl } from '../../src/cli/accounts.ts';
import { type CommandIo, parseOptions } from '../../src/cli/command.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { accountsOf } from '../../src/operator/accounts.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { SHARE_KIND } from '../../src/work/evidence.ts';
import { copyLedger } from '../cli/ledgers.ts';
import { until, World } from './world.ts';

/** Four shares of 16 hashes at 10 sat each. */
const STEP_SAT = 640n;
const DAY_MS = 86_400_000;
const PAYEE = { scriptHex: `0014${'77'.repeat(20)}`, ppm: 150_000, seedSat: 600n, label: 'hosting' };
const PAYEES_SAT = 1920n - (1920n * 850_000n) / 1_000_000n;

type Row = Readonly<Record<string, string | number>>;

let world: World;
afterEach(() => world.stop());

/** The ledger as if its first two states were of one day, and what follows of the next. */
function ofTwoDays(ledger: Ledger): Ledger {
  return new Proxy(ledger, {
    get: (target, name) => {
      if (name !== 'readLog') return Reflect.get(target, name).bind(target) as unknown;
      return async (...args: Parameters<Ledger['readLog']>) =>
        (await target.readLog(...args)).map((row) => ({ ...row, atMs: (row.first < 8 ? 1 : 2) * DAY_MS }));
    },
  });
}

it('the books of both sides add up to the sat: signed, at risk, payees, days, fees, and settled in the end', async () => {
  world = new World({ isVersion3: true, version3: () => ({ splits: [PAYEE] }) });
  await world.open();
  const { contractId, terms } = world;
  for (let n = 1; n <= 3; n += 1) {
    await world.work(4);
    await until(`state ${n}`, () => world.maker.status[0]!.ackedN === n);
  }
  await world.work(2);
  await until('verified', () => world.maker.status[0]!.verifiedWorkHashes === 224n);
  await world.rest();
  const income = await accountsOf(ofTwoDays(world.minerStore), 'miner');
  const pnl = await accountsOf(ofTwoDays(world.makerStore), 'maker');
  const both = {
    ...{ contract: contractId, miner: terms.minerNodeId, maker: terms.makerNodeId, status: 'open' },
    ...{ workHashes: 192n, signedSat: 3n * STEP_SAT, payeesSat: PAYEES_SAT, settledSat: 0n },
    ...{ atRiskSat: 320n, budgetSat: terms.budgetSat, unspentSat: terms.budgetSat - 2240n },
  };
  expect(income.contracts).toMatchObject([{ ...both, bondSat: 0n }]);
  expect(pnl.contracts).toMatchObject([{ ...both, bondSat: 0n }]);
  const firstSat = 2n * STEP_SAT;
  const firstPayeesSat = firstSat - (firstSat * 850_000n) / 1_000_000n;
  for (const { days } of [income, pnl])
    expect(days).toMatchObject([
      { day: '1970-01-02', workHashes: 128n, signedSat: firstSat, payeesSat: firstPayeesSat },
      { day: '1970-01-03', workHashes: 64n, signedSat: STEP_SAT, payeesSat: PAYEES_SAT - firstPayeesSat },
    ]);
  // Each share of this chain is a block.
  expect(pnl.contracts[0]!.blocks).toBe(14);
  expect((await accountsOf(world.minerStore, 'maker')).contracts).toEqual([]);

  // All that the funding took is somebody's fee.
  const stored = (await loadContract(world.minerStore, contractId))!;
  const funding = Transaction.fromHex(stored.fundingTx!);
  const inSat = [stored.opening!.open, stored.opening!.accept!]
    .flatMap(({ funding: { inputs } }) => inputs)
    .reduce((sum, { valueSat }) => sum + valueSat, 0n);
  const outSat = funding.outs.reduce((sum, { value }) => sum + value, 0n);
  const [ofMiner, ofMaker] = [income.contracts[0]!.feesSat, pnl.contracts[0]!.feesSat];
  expect(ofMiner).toBeGreaterThan(0n);
  expect(ofMiner + ofMaker).toBe(inSat - outSat);

  void world.miner.close();
  await until('close', () => world.chain.mempoolEntries().length > 0);
  const [close] = world.chain.mempoolEntries();
  world.chain.generate(2);
  await until(
    'closed',
    () => world.maker.status[0]!.channel === 'closed' && world.miner.status.channel === 'closed',
  );
  await until('written', async () => {
    const stored = await loadContract(world.minerStore, contractId);
    return stored?.channel?.closeTx !== undefined;
  });
  const [settled] = (await accountsOf(world.minerStore, 'miner')).contracts;
  const [cost] = (await accountsOf(world.makerStore, 'maker')).contracts;
  expect(settled).toMatchObject({ status: 'closed', signedSat: 2240n, settledSat: 2240n, atRiskSat: 0n });
  expect(cost).toMatchObject({ settledSat: 2240n, unspentSat: terms.budgetSat - 2240n, feesSat: ofMaker });
  const closed = close!.transaction.outs.reduce((sum, { value }) => sum + value, 0n);
  const heldSat = terms.budgetSat + terms.reserveSat + terms.minerReserveSat;
  expect(settled!.feesSat).toBe(ofMiner + heldSat - closed);
});

it('income and maker pnl print the same as JSON and as CSV, from a ledger on disk', async () => {
  world = new World();
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  await world.rest();
  const directory = mkdtempSync(join(tmpdir(), 'accounts-'));
  try {
    for (const [name, store] of [
      ['miner', world.minerStore],
      ['maker', world.makerStore],
    ] as const) {
      const path = join(directory, `${name}.sqlite`);
      await copyLedger(store, path);
      const ledger = await openSqliteLedger({ path }, { log: silentLogger });
      for (const { first, count, body } of await store.readLog(SHARE_KIND, world.contractId, 0, 100))
        await ledger.appendNow([
          { type: 'log', kind: SHARE_KIND, stream: world.contractId, first, count, body },
        ]);
      await ledger.close();
      const command = name === 'miner' ? incomeCommand : makerPnl;
      const say = async (...words: string[]): Promise<string> => {
        const said: string[] = [];
        const stdout = { write: (text: string) => void said.push(text) };
        const io = { stdout, stderr: stdout, env: {} } as unknown as CommandIo;
        expect(await command.run(parseOptions(command, ['--ledger', path, ...words]), io)).toBe(0);
        return said.join('');
      };
      const { contracts, days, totals } = JSON.parse(await say('--json')) as Record<string, Row[]>;
      const sat = name === 'miner' ? 'signed_sat' : 'paid_sat';
      expect(contracts).toMatchObject([{ contract: world.contractId, [sat]: '640', at_risk_sat: '0' }]);
      expect(days).toMatchObject([{ day: expect.stringMatching(/^\d{4}-\d\d-\d\d$/), [sat]: '640' }]);
      expect(totals).toMatchObject({ [sat]: '640' });
      for (const [words, row] of [
        [['--csv'], contracts![0]!],
        [['--csv', '--days'], days![0]!],
      ] as const) {
        const [head, line] = (await say(...words)).split('\n').map((each) => each.split(','));
        expect(Object.fromEntries(head!.map((key, at) => [key, line![at]]))).toEqual(
          Object.fromEntries(Object.entries(row).map(([key, value]) => [key, String(value)])),
        );
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
