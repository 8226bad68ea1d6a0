import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import type { BraidpoolNodeOptions } from '../../src/devnet/braidpool/braidpool-node.ts';
import { BraidpoolRpc, kindOf } from '../../src/upstream/braidpool-rpc.ts';
import { startNode } from './braid-node.ts';
import { until } from './fake-pool.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function nodeWithBeads(quirks: BraidpoolNodeOptions['quirks'] = {}) {
  const { node } = await startNode({ tipIntervalMs: 5, peerBeadsPerTip: 2, quirks });
  closers.push(() => node.close());
  const rpc = new BraidpoolRpc({ url: node.rpcUrl }, { timers: systemTimers });
  closers.push(() => rpc.close());
  await until(() => node.beads().length >= 8, 'beads');
  return { node, rpc };
}

/** A server that answers every request with these bytes. */
async function serverOf(
  answer: (body: string, response: http.ServerResponse) => void,
  timeoutMs = 10_000,
): Promise<BraidpoolRpc> {
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => answer(Buffer.concat(chunks).toString(), response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const rpc = new BraidpoolRpc(
    {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      timeoutMs,
    },
    { timers: systemTimers },
  );
  closers.push(() => {
    rpc.close();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return rpc;
}

const answerOf = (result: unknown) =>
  serverOf((_body, response) => {
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result }));
  });

async function failure(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (value) => expect.fail(`resolved with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
}

describe('a simulated node', () => {
  it.each([false, true])('tells beads, counts, cohorts, relations (as text: %s)', async (textResults) => {
    const { node, rpc } = await nodeWithBeads({ textResults });
    const { hash } = node.beads().at(-3)!;
    const bead = await rpc.getBead(hash.toUpperCase());
    expect(bead).toMatchObject({
      hash,
      payoutAddress: node.bead(hash)!.bead.committed_metadata.payout_address,
    });
    const exact = node.bead(hash)!.bead.uncommitted_metadata;
    expect([bead!.extranonce1, bead!.extranonce2]).toEqual([exact.extra_nonce_1, exact.extra_nonce_2]);
    expect(await rpc.getParents(hash)).toEqual(bead!.parents);
    for (const parent of bead!.parents) expect(await rpc.getChildren(parent)).toContain(hash);
    const info = await rpc.getBraidInfo();
    expect(info.beadCount).toBeGreaterThanOrEqual(9);
    expect(info.totalWork).toBeGreaterThanOrEqual(9n);
    expect(info.genesisBeads).toEqual([await rpc.getGenesis()]);
    expect(await rpc.getCohortById(0)).toEqual(info.genesisBeads);
    expect(await rpc.getCohortCount()).toBeGreaterThan(1);
    expect(await rpc.getBeadCount()).toBeGreaterThanOrEqual(info.beadCount);
    expect((await rpc.getTips()).length).toBeGreaterThan(0);
    expect((await rpc.getHighestWorkPath(3)).length).toBeGreaterThan(0);
    expect(await rpc.getMinerInfo()).toEqual([]);
  });

  it('says what it does not know', async () => {
    const { rpc } = await nodeWithBeads();
    expect(await rpc.getBead('00'.repeat(32))).toBeUndefined();
    expect(kindOf(await failure(rpc.getCohortById(1_000_000)))).toBe('not_found');
    expect(kindOf(await failure(rpc.getBead('xy')))).toBe('bad_input');
    expect(kindOf(await failure(rpc.call('nosuchmethod', [])))).toBe('unknown_method');
    expect(kindOf(await failure(rpc.call('bitcoinproxy', ['getblockcount', []])))).toBeDefined();
    expect(rpc.stats.errors).toBe(5);
  });

  it('may be silent, slow or gone', async () => {
    const { node, rpc } = await nodeWithBeads();
    const hasty = new BraidpoolRpc({ url: node.rpcUrl, timeoutMs: 100 }, { timers: systemTimers });
    node.rpcFaults.silent = true;
    expect(codeOf(await failure(hasty.getTips()))).toBe('braidpool_unreachable');
    node.rpcFaults.silent = false;
    expect((await rpc.getTips()).length).toBeGreaterThan(0);
    await node.close();
    expect(codeOf(await failure(rpc.getTips()))).toBe('braidpool_unreachable');
    expect(rpc.stats).toEqual({ requests: 2, unreachable: 1, errors: 0 });
    expect(hasty.stats).toEqual({ requests: 1, unreachable: 1, errors: 0 });
  });
});

describe('another node', () => {
  it('may be older: results as text', async () => {
    const hash = 'ab'.repeat(32);
    expect(await (await answerOf(`["${hash}"]`)).getTips()).toEqual([hash]);
    expect(await (await answerOf('42')).getBeadCount()).toBe(42);
    const info = '{"bead_count":5,"cohort_count":5,"total_work":"21475164165"}';
    expect(await (await answerOf(info)).getBraidInfo()).toEqual({
      ...{ beadCount: 5, cohortCount: 5, orphanCount: 0, tips: [], genesisBeads: [] },
      totalWork: 21475164165n,
    });
  });

  it('may not answer with another bead than the one asked for', async () => {
    const { node } = await nodeWithBeads();
    const { hash } = node.beads()[0]!;
    const real = new BraidpoolRpc({ url: node.rpcUrl }, { timers: systemTimers });
    const other = await real.call('getbead', [hash]);
    const text = JSON.stringify(other, (_key, value: unknown) => (typeof value === 'bigint' ? 1 : value));
    const lying = await answerOf(JSON.parse(text));
    expect(codeOf(await failure(lying.getBead('cd'.repeat(32))))).toBe('braidpool_rpc');
    expect((await lying.getBead(hash))?.hash).toBe(hash);
  });

  it.each([
    ['no JSON', 'hello'],
    ['no object', '[]'],
    ['neither result nor error', '{}'],
    ['deep nesting', `${'['.repeat(200_000)}`],
  ])('may answer with %s', async (_what, body) => {
    const rpc = await serverOf((_body, response) => response.end(body));
    expect(codeOf(await failure(rpc.getTips()))).toBe('braidpool_unreachable');
  });

  it('may send without end, but is not read without end', async () => {
    const rpc = await serverOf((_body, response) => {
      const chunk = Buffer.alloc(256 * 1024, 0x20);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
        response.once('drain', more);
      };
      more();
    });
    expect(String(await failure(rpc.getTips()))).toContain(`${LIMITS.braidpoolReplyBytes} bytes`);
  });

  it('is asked a bounded number of questions at once', async () => {
    const held: http.ServerResponse[] = [];
    const rpc = await serverOf((_body, response) => void held.push(response), 500);
    const calls = Array.from({ length: LIMITS.braidpoolRequestsInFlight }, () => failure(rpc.getTips()));
    expect(String(await failure(rpc.getTips()))).toContain('too many');
    await Promise.all(calls);
    expect(codeOf(await failure(rpc.getTips()))).toBe('braidpool_unreachable');
  });

  it('never makes a method throw anything without a code', async () => {
    let body = '';
    const rpc = await serverOf((_body, response) => response.end(body));
    const results = fc.oneof(
      fc.json(),
      fc.jsonValue().map((result) => JSON.stringify({ id: 1, result })),
      fc.jsonValue().map((error) => JSON.stringify({ id: 1, error })),
    );
    await fc.assert(
      fc.asyncProperty(results, fc.nat({ max: 3 }), async (answer, which) => {
        body = answer;
        const calls = [
          () => rpc.getBead('ab'.repeat(32)),
          () => rpc.getTips(),
          () => rpc.getBraidInfo(),
          () => rpc.getBeadCount(),
        ];
        const outcome: unknown = await calls[which]!().catch((error: unknown) => error);
        if (outcome instanceof Error) expect(codeOf(outcome)).toMatch(/^braidpool_/);
      }),
      { numRuns: 150 },
    );
  });
});
