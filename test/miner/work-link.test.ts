import { expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import type { WorkDestination } from '../../src/miner/work-destination.ts';
import { workHandlers, workLink } from '../../src/miner/work-link.ts';
import { NO_FEATURES } from '../../src/peer/features.ts';
import { codecsOf, type MethodName } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { makeJob } from './work-stand.ts';

const OWN = { contractId: 'ab'.repeat(32), instance: 'cd'.repeat(16) };

function taking(refuses = false) {
  const taken: unknown[] = [];
  const take = (asked: unknown): void => {
    if (refuses) throw new CodedError('work_refused');
    taken.push(asked);
  };
  const work = { give: take, withdraw: take } as unknown as WorkDestination;
  return { taken, handlers: workHandlers(work, OWN) };
}

it('serves nothing where the contract gives no jobs', () => {
  expect(workHandlers(undefined, OWN)).toEqual({});
});

it.each(['work.job', 'work.gone'] as const)(
  '%s is taken for the own contract and process alone',
  async (method) => {
    const { taken, handlers } = taking();
    const what = method === 'work.job' ? { job: makeJob(5) } : { ids: [1, 2] };
    const call = async (own: typeof OWN): Promise<unknown> =>
      handlers[method]!(codecsOf(method as MethodName).params.print({ ...own, ...what } as never));
    expect(await call(OWN)).toEqual({});
    expect(taken).toMatchObject([what]);
    const others = [
      { ...OWN, contractId: 'ac'.repeat(32) },
      { ...OWN, instance: 'ce'.repeat(16) },
    ];
    for (const other of others)
      await expect(call(other)).rejects.toMatchObject({ code: 'unknown_channel' });
    expect(taken).toHaveLength(1);
    await expect(handlers[method]!({ contract_id: 5 })).rejects.toMatchObject({ code: 'protocol' });
  },
);

it('a job that breaks the terms is refused to the maker, with the code', async () => {
  const { handlers } = taking(true);
  const params = codecsOf('work.job').params.print({ ...OWN, job: makeJob(5) });
  await expect(handlers['work.job']!(params)).rejects.toMatchObject({ code: 'work_refused' });
});

it('asks for jobs and sends solutions under the own contract and process', async () => {
  const asked: unknown[] = [];
  const answers: unknown[] = [{}, { outcome: 'accepted' }];
  const request = async (method: string, params: unknown): Promise<unknown> => {
    asked.push([method, params]);
    return answers.shift();
  };
  const link = workLink({ request, features: NO_FEATURES } as unknown as RpcPeer, OWN);
  expect(await link.subscribe()).toBe(undefined);
  const share = { extranonce2: new Uint8Array(8), ntime: 7, nonce: 8 };
  const job = { version: 0x2000_0001, versionMask: 0x6000, bought: { jobId: 5 } } as UpstreamJob;
  expect(await link.solve({ ...share, job, versionBits: 0x4000 })).toMatchObject({ outcome: 'accepted' });
  const solution = { ...share, id: 5, version: 0x2000_4001 };
  expect(asked).toEqual([
    ['work.subscribe', codecsOf('work.subscribe').params.print(OWN)],
    ['work.solution', codecsOf('work.solution').params.print({ ...OWN, ...solution })],
  ]);
});
