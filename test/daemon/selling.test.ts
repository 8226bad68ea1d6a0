import { address as addresses } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { Selling } from '../../src/daemon/selling.ts';
import type { Logger } from '../../src/log/logger.ts';
import type { ContractWork } from '../../src/mining/work-routes.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const MAKER = `0014${'ab'.repeat(20)}`;
const terms = makeTermsV3({
  binding: { type: 'bead', scriptHex: MAKER, profile: 'as_is', stopPpb: 1000, maxLossSat: 1000n },
});

function told(worker: string): { readonly isDelivering: boolean[]; readonly lines: string[] } {
  const isDelivering: boolean[] = [];
  const lines: string[] = [];
  const say = (fields: object, message: string): void =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: say, info: say, warn: say, error: say, child: () => log };
  const config = { destinations: [{ name: 'node', role: 'contract', worker }] };
  const selling = new Selling(config as unknown as ConstructorParameters<typeof Selling>[0], {
    mining: {
      setContract: (work: ContractWork) => void isDelivering.push(work.isDelivering),
      ...{ endContract: () => {}, addDestination: () => {}, removeDestination: () => true },
    },
    work: { assign: () => {} },
    durability: { level: 'sound' },
    log,
  });
  for (const live of [true, true]) {
    const status = { contractId: 'c', live, channel: 'open' } as const;
    selling.onStatus({ status, terms, shareDifficulty: 8, work: undefined });
  }
  return { isDelivering, lines };
}

describe('work sold by beads', () => {
  const addressOf = (scriptHex: string): string =>
    addresses.fromOutputScript(fromHex(scriptHex), NETWORKS[terms.network].params);

  it('is delivered where the worker name is the address of the maker', () => {
    const { isDelivering, lines } = told(`${addressOf(MAKER)}.rig`);
    expect(isDelivering).toEqual([true, true]);
    expect(lines).toEqual([]);
  });

  it('F5: is not delivered under any other worker name, whatever the configuration said before', () => {
    for (const worker of [addressOf(`0014${'cd'.repeat(20)}`), MAKER, 'account']) {
      const { isDelivering, lines } = told(worker);
      expect(isDelivering).toEqual([false, false]);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch('would not pay the maker');
    }
  });
});
