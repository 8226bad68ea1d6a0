import { expect, it } from 'vitest';
import { Selling, type SoldContract } from '../../src/daemon/selling.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { ContractWork } from '../../src/mining/work-routes.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { makeJob, WorkStand } from '../miner/work-stand.ts';

type Config = ConstructorParameters<typeof Selling>[0];

function sellingOf(destinations: { name: string; role: string }[]) {
  const told: string[] = [];
  const works: ContractWork[] = [];
  const said: string[] = [];
  const note = (_fields: unknown, message: string): void => void said.push(message);
  const selling = new Selling({ destinations } as unknown as Config, {
    mining: {
      setContract: (work) => void works.push(work),
      endContract: (id) => void told.push(`end ${id}`),
      addDestination: ({ name }, make) => {
        make({ onJob: (_at, { upstreamJobId }) => void told.push(`job ${upstreamJobId}`) });
        told.push(`add ${name}`);
      },
      removeDestination: (name) => {
        told.push(`remove ${name}`);
        return true;
      },
    },
    work: { assign: (id, name) => void told.push(`${id} at ${name}`) },
    durability: { level: 'sound' },
    log: { ...silentLogger, error: note },
  });
  const status = (change: Partial<SoldContract['status']> = {}, work?: SoldContract['work']): void => {
    const all = { contractId: 'c', live: true, channel: 'open', ...change } as const;
    selling.onStatus({ status: all, terms: makeTermsV3(), shareDifficulty: 8, work });
  };
  return { told, works, said, status };
}

it('a contract whose maker gives the jobs has a destination of its own, as long as its channel lives', async () => {
  const stand = new WorkStand();
  const { told, works, status } = sellingOf([{ name: 'own', role: 'fallback' }]);
  status({ live: false }, stand.destination);
  status({}, stand.destination);
  expect(told).toEqual(['add maker', 'c at maker', 'c at maker']);
  expect(works.map(({ isDelivering }) => isDelivering)).toEqual([false, true]);
  expect(works[0]).toEqual({
    ...{ contractId: 'c', destination: 'maker', isDelivering: false, difficulty: undefined },
  });
  stand.connect();
  await stand.give(makeJob(5));
  expect(told.at(-1)).toBe('job 5');
  status({ live: false, channel: 'closed' }, stand.destination);
  expect(told.at(-1)).toBe('remove maker');
});

it('any other is mined at the destination of the configuration', () => {
  const { told, works, status } = sellingOf([{ name: 'buyer', role: 'contract' }]);
  status();
  expect(works).toEqual([{ contractId: 'c', destination: 'buyer', isDelivering: true, difficulty: 8 }]);
  status({ live: false, channel: 'failed' });
  expect(told).toEqual(['c at buyer', 'end c']);
});

it('says once that terms need a destination which the configuration does not have', () => {
  const { works, said, status } = sellingOf([{ name: 'own', role: 'fallback' }]);
  status();
  status();
  expect(works).toEqual([]);
  expect(said).toEqual([
    'no work is delivered: the terms of this contract need a destination with role = "contract"',
  ]);
});
