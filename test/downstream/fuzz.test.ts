import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { random } from '../peer/tls-pair.ts';
import { DIFFICULTY, type Line, paramsOf, stopServers, submitOf, withWork } from './harness.ts';

afterEach(stopServers);
setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

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

const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const piece = fc.oneof(
  { weight: 5, arbitrary: oddRequest },
  { weight: 1, arbitrary: anyBytes },
  { weight: 1, arbitrary: fc.json().map((text) => Buffer.from(`{"id":1,"x":${text}}\n`)) },
  { weight: 1, arbitrary: fc.nat({ max: 3000 }).map((size) => Buffer.alloc(size, '[')) },
);

/** Every line that leaves is one a miner can read: work, an answer, or an error with its number and text. */
function expectReadable(line: Line): void {
  if (typeof line['method'] === 'string') {
    expect(Array.isArray(line['params'])).toBe(true);
    return;
  }
  expect(Object.keys(line)).toEqual(['id', 'result', 'error']);
  const { error } = line as { error: unknown };
  if (error === null) return;
  expect(line['result']).toBeNull();
  expect(error).toEqual([expect.any(Number), expect.stringMatching(/^[a-z0-9 ]+$/), null]);
  expect([20, 21, 22, 23, 24, 25]).toContain((error as unknown[])[0]);
}

const NEVER = { resendAfter: 10 ** 9, reconnectAfter: 10 ** 9, banAfter: 10 ** 9 };

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
        if (line !== undefined) expectReadable(line);
        if (line === undefined || line['id'] === 'end') break;
      }
      miner.destroy();
      await miner.closed;
    }),
    { numRuns: 150 },
  );
  expect(test.server.stats.sharesAccepted).toBeGreaterThanOrEqual(nonce);
});

it('every line of any bytes is answered with a code, or the connection ends', async () => {
  const test = await withWork({
    options: { lineBytes: 2048, sanctions: NEVER },
    verdict: () => 'accepted',
  });
  const earning = test.miner();
  const job = paramsOf((await earning.start()).lines.at(-1))[0] as string;
  earning.send(submitOf(1, job));
  await earning.until('id', 1);
  const line = fc.oneof(
    anyBytes,
    fc.string({ maxLength: 100 }).map((text) => Buffer.from(text)),
    fc.nat({ max: 3000 }).map((size) => Buffer.alloc(size, 'x')),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 30, size: 'max' }),
      fc.nat({ max: 200 }),
      async (lines, cut) => {
        const whole = Buffer.concat(lines.flatMap((bytes) => [bytes, Buffer.from('\n')]));
        const sent = whole.toString('latin1').split('\n').slice(0, -1);
        const asked = sent.filter((text) => text.replace(/\r$/, '') !== '');
        const tooLong = asked.findIndex((text) => text.length > 2048) + 1;
        const last = Math.min(tooLong || Number.POSITIVE_INFINITY, LIMITS.downstreamGarbageLines);
        const miner = test.miner();
        await miner.start();
        miner.raw(whole.subarray(0, cut));
        miner.raw(whole.subarray(cut));
        const answers: Line[] = [];
        if (asked.length < last) answers.push(...(await miner.settled()));
        else for (let count = 0; count < last; count += 1) answers.push(await miner.next());
        for (const answer of answers) expectReadable(answer);
        expect(answers).toHaveLength(Math.min(asked.length, last));
        if (asked.length >= last) await miner.closed;
        miner.destroy();
        await miner.closed;
      },
    ),
    { numRuns: 100 },
  );
});

it('nothing that any bytes leave behind grows, on any kind of port', async () => {
  const plain = { host: '127.0.0.1', port: 0, difficulty: DIFFICULTY };
  const tls = createTlsIdentity({ random, nowMs: Date.now() });
  const listeners = [plain, { ...plain, tls }, { ...plain, proxies: ['127.0.0.1'] }];
  const test = await withWork({ options: { listeners, lineBytes: 2048, resumable: 8 } });
  const starts = [
    '',
    '{',
    'PROXY ',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n{',
    '\x16\x03\x01\x00\x05',
    '\r\n\r\nQUIT\n',
  ];
  const attack = async (runs: number): Promise<void> => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 2 }),
        fc.constantFrom(...starts),
        fc.array(piece, { maxLength: 6 }),
        async (listener, start, pieces) => {
          const miner = test.miner(listener);
          miner.raw(Buffer.from(start, 'latin1'));
          for (const bytes of pieces) miner.raw(bytes);
          await new Promise((resolve) => setImmediate(resolve));
          miner.destroy();
          await miner.closed;
        },
      ),
      { numRuns: runs },
    );
    while (test.server.sessionCount > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  const memory = (): number => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  await attack(150);
  const before = memory();
  await attack(450);
  expect(memory() - before).toBeLessThan(6 * 1024 * 1024);
  const { lines } = await test.miner(0).start();
  expect(lines.at(-1)!['method']).toBe('mining.notify');
});
