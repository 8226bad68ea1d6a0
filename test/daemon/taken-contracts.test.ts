import { expect, it } from 'vitest';
import { contractIdOf } from '../../src/contract/terms.ts';
import { proposalEntry, readProposal } from '../../src/daemon/configured-contract.ts';
import {
  makerAddress,
  makerEntry,
  type TakenContract,
  takenContracts,
  takenEntry,
} from '../../src/daemon/taken-contracts.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { configOf, worldOf } from './selling-world.ts';

const terms = makeTermsV3();
const taken: TakenContract = {
  ...{ name: 'first', terms, maker: { host: 'maker.example', port: 7333 } },
  ...{ payoutScriptHex: `0014${'11'.repeat(20)}`, returnsBonds: true },
};
const WHOLE: TakenContract = {
  ...taken,
  quota: { type: 'rate', hashesPerSecond: 10n ** 15n, maxHashesPerSecond: 11n * 10n ** 14n },
  destination: 'buyer',
  line: { name: 'first', index: 3, renews: false, takesOver: true },
};

async function ledgerWith(kind: string, id: string, body: string): Promise<MemoryLedger> {
  const ledger = new MemoryLedger();
  await ledger.appendNow([{ type: 'put', kind, id, body }]);
  return ledger;
}

it('what is taken comes back as it was', async () => {
  for (const each of [taken, WHOLE, { ...taken, quota: { type: 'weight' as const, weight: 2 } }]) {
    const ledger = new MemoryLedger();
    await ledger.appendNow([takenEntry(each), makerEntry(terms.makerNodeId, each.maker)]);
    expect(await takenContracts(ledger)).toEqual([each]);
    expect(await makerAddress(ledger, terms.makerNodeId)).toEqual(each.maker);
  }
});

it('a record that no program wrote is named as damage, and ends no start otherwise', async () => {
  const entry = takenEntry(WHOLE);
  if (entry.type !== 'put') throw new Error('of another type');
  const good = JSON.parse(entry.body) as Record<string, unknown>;
  const bad = [
    '',
    '{',
    '[]',
    ...['version', 'terms', 'maker', 'quota', 'line'].map((name) => ({ ...good, [name]: 7 })),
  ];
  for (const each of bad) {
    const body = typeof each === 'string' ? each : JSON.stringify(each);
    const ledger = await ledgerWith('taken', contractIdOf(terms), body);
    await expect(takenContracts(ledger)).rejects.toThrow('ledger_corrupt');
  }
  await expect(makerAddress(await ledgerWith('maker-address', 'ab', '{"host":1}'), 'ab')).rejects.toThrow(
    'ledger_corrupt',
  );
});

it('a proposal that no program wrote is named as damage', async () => {
  const config = configOf(worldOf());
  const entry = proposalEntry(config, terms);
  if (entry.type !== 'put') throw new Error('of another type');
  const { kind, id, body } = entry;
  expect(await readProposal(await ledgerWith(kind, id, body), config.name)).toMatchObject({ terms });
  for (const wrong of [
    '',
    '{}',
    body.replace('"version":2', '"version":3'),
    body.replace('"config":"', '"config":"z'),
  ])
    await expect(readProposal(await ledgerWith(kind, id, wrong), config.name)).rejects.toThrow(
      'ledger_corrupt',
    );
});
