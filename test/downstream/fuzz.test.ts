import fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { paramsOf, stopServers, submitOf, withWork } from './harness.ts';

afterEach(stopServers);

const METHODS = [
  'mining.configure',
  'mining.subscribe',
  'mining.authorize',
  'mining.submit',
  'mining.suggest_difficulty',
  'mining.suggest_target',
  'mining.multi_version',
  'mining.get_transactions',
  'mining.capabilities',
  'mining.suggest_difficulty(1e999)',
];

/** A line with a method we know and parameters of any shape. */
const oddRequest = fc
  .record({
    id: fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.integer()),
    method: fc.constantFrom(...METHODS),
    params: fc.oneof(
      fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 7 }),
      fc.constant([['version-rolling', '__proto__', 'constructor'], { 'version-rolling.mask': 'zz' }]),
      fc.jsonValue({ maxDepth: 2 }),
    ),
  })
  .map((request) => Buffer.from(`${JSON.stringify(request)}\n`));

const piece = fc.oneof(
  { weight: 5, arbitrary: oddRequest },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.json().map((text) => Buffer.from(`{"id":1,"x":${text}}\n`)) },
  { weight: 1, arbitrary: fc.nat({ max: 3000 }).map((size) => Buffer.alloc(size, '[')) },
);

it('no bytes of a miner harm the server or its neighbours', async () => {
  const test = await withWork({ options: { lineBytes: 2048 }, verdict: () => 'accepted' });
  const neighbour = test.miner();
  const { lines } = await neighbour.start();
  const job = paramsOf(lines.at(-1))[0] as string;
  let nonce = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 12 }), async (pieces) => {
      const miner = test.miner();
      miner.raw('{"id":1,"method":"mining.subscribe","params":[]}\n');
      for (const bytes of pieces) miner.raw(bytes);
      nonce += 1;
      neighbour.send(submitOf(nonce, job, { nonce: nonce.toString(16) }));
      expect(await neighbour.next()).toEqual({ id: nonce, result: true, error: null });
      miner.raw('\n{"id":"end","method":"mining.ping"}\n');
      for (;;) {
        const line = await miner.next().catch(() => undefined);
        if (line === undefined || line['id'] === 'end') break;
      }
      miner.destroy();
      await miner.closed;
    }),
    { numRuns: 150 },
  );
  expect(test.server.stats.sharesAccepted).toBeGreaterThanOrEqual(nonce);
});
