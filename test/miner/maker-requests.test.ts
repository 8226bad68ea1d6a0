import fc from 'fast-check';
import { expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { SerialQueue } from '../../src/base/serial-queue.ts';
import { makerRequests, type RequestParts } from '../../src/miner/maker-requests.ts';
import type { MinerContractDeps } from '../../src/miner/miner-options.ts';
import type { WorkDestination } from '../../src/miner/work-destination.ts';
import { codecsOf, type MethodName } from '../../src/peer/messages.ts';
import { samples } from '../peer/message-samples.ts';
import { TEST_SEED } from '../seed.ts';

const OWN = 'ab'.repeat(32);
const OTHER = 'ac'.repeat(32);

/** What asks would reach: nothing may. */
function untouched(name: string): never {
  return new Proxy({} as never, {
    get: (_, key) => {
      throw new Error(`${name}.${String(key)} is used`);
    },
  });
}

function requestsOf(last: { readonly n: number } | undefined) {
  const told: string[] = [];
  const parts = {
    store: { contractId: OWN, last },
    serial: new SerialQueue(),
    work: untouched('work') as WorkDestination,
    subscription: { contractId: OWN, instance: 'cd'.repeat(16) },
    blobs: untouched('blobs'),
    bondSide: untouched('bondSide'),
    onStateSeen: () => void told.push('seen'),
    onStateTaken: () => void told.push('taken'),
    onReady: () => void told.push('ready'),
    requestClose: () => void told.push('close'),
  } as unknown as RequestParts;
  return { handlers: makerRequests(parts, {} as MinerContractDeps), told };
}

const { handlers } = requestsOf({ n: 3 });
const METHODS = Object.keys(handlers).filter((method) => method !== 'ping') as MethodName[];

it('are what a maker may ask, and no more', async () => {
  expect(METHODS.toSorted()).toEqual([
    ...[
      'bond.release',
      'channel.ready',
      'channel.shutdown',
      'contract.confirm',
      'contract.end',
      'contract.pause',
      'contract.resume',
      'contract.revoke',
      'contract.stream',
      'contract.update',
      'peer_storage.put',
      'seal.claim',
      'state.sign',
    ],
    ...['work.gone', 'work.job', 'work.template', 'work.transactions'],
  ]);
  expect(await handlers['ping']!({})).toEqual({});
});

it.each(METHODS)(
  '%s is answered for the own contract alone, and once there is a channel',
  async (method) => {
    const params = codecsOf(method).params;
    const [drawn] = fc.sample(samples[method].params as fc.Arbitrary<object>, {
      numRuns: 1,
      seed: TEST_SEED,
    });
    const ask = async (made: ReturnType<typeof requestsOf>, contractId: string): Promise<unknown> => {
      const wire = params.print({ ...drawn, contractId } as never);
      return made.handlers[method]!(wire).then(() => 'answered', codeOf);
    };
    const made = requestsOf({ n: 3 });
    expect(await ask(made, OTHER)).toBe('unknown_channel');
    expect(made.told).toEqual([]);
    const early = requestsOf(undefined);
    if (!method.startsWith('work.j') && !method.startsWith('work.g')) {
      expect(await ask(early, OWN)).toBe('unknown_channel');
      expect(early.told).toEqual([]);
    }
  },
);

it('channel.shutdown says the newest state, and ends the contract', async () => {
  const made = requestsOf({ n: 3 });
  const answer = await made.handlers['channel.shutdown']!({ contract_id: OWN });
  expect(codecsOf('channel.shutdown').result.parse(answer)).toEqual({ n: 3 });
  expect(made.told).toEqual(['close']);
});
