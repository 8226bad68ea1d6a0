import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { authenticate } from '../../src/peer/handshake.ts';
import { connectPeer, DEFAULT_TRANSPORT, type PeerLink, PeerServer } from '../../src/peer/transport.ts';
import { identityOf, RPC, random, rpcOver } from './tls-pair.ts';

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** @param onLink what the listening side does with a connection */
async function listen(onLink: (link: PeerLink) => void): Promise<number> {
  const options = { ...DEFAULT_TRANSPORT, host: '127.0.0.1', port: 0, maxConnections: 64 };
  const server = new PeerServer(
    { ...options, tls: createTlsIdentity({ random, nowMs: Date.now() }) },
    { log: silentLogger, timers: systemTimers, onConnection: onLink },
  );
  closers.push(() => server.close());
  return server.listen();
}

const proving = (link: PeerLink): void => {
  authenticate(rpcOver(link), 'server', {
    timers: systemTimers,
    identity: identityOf('maker'),
    genesisHash: NETWORKS.regtest.genesisHash,
    features: [],
    isKnown: () => true,
    random,
    timeoutMs: 5_000,
  }).catch(() => {});
};

const proven = (link: PeerLink): void =>
  rpcOver(link).serve(
    { ping: async () => ({}), echo: async (params: unknown) => params as string },
    'unknown_method',
  );

const METHODS = ['ping', 'echo', 'session.hello', 'session.auth', 'work.batch', '__proto__', 'toString'];
const request = fc
  .record({
    jsonrpc: fc.constantFrom('2.0', '1.0', 2),
    id: fc.oneof(fc.integer(), fc.string(), fc.jsonValue({ maxDepth: 1 })),
    method: fc.oneof(fc.constantFrom(...METHODS), fc.jsonValue({ maxDepth: 1 })),
    params: fc.jsonValue({ maxDepth: 3 }),
  })
  .map((value) => Buffer.from(`${JSON.stringify(value)}\n`));
const piece = fc.oneof(
  { weight: 4, arbitrary: request },
  { weight: 1, arbitrary: fc.json().map((text) => Buffer.from(`${text}\n`)) },
  {
    weight: 1,
    arbitrary: fc.json().map((text) => Buffer.from(`{"jsonrpc":"2.0","id":1,"result":${text}}\n`)),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 60 }).map((text) => Buffer.from(`${text}\n`)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.nat({ max: 5000 }).map((size) => Buffer.alloc(size, '[')) },
);
const END = '\n{"jsonrpc":"2.0","id":"end","method":"ping","params":{}}\n';

type Answer = {
  jsonrpc: unknown;
  id?: unknown;
  method?: unknown;
  error?: { code: unknown; message: unknown };
};

/** Says all that, and what came back until the connection ended or the last request was answered. */
function say(port: number, pieces: readonly Uint8Array[]): Promise<Answer[]> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  let text = '';
  const answers: Answer[] = [];
  socket.on('error', () => {});
  socket.on('secureConnect', () => {
    for (const bytes of pieces) socket.write(bytes);
    socket.write(END);
  });
  socket.on('data', (chunk: Buffer) => {
    const lines = (text + chunk.toString()).split('\n');
    text = lines.pop()!;
    answers.push(...lines.map((line) => JSON.parse(line) as Answer));
    if (answers.some(({ id }) => id === 'end')) socket.destroy();
  });
  return new Promise((resolve) => socket.once('close', () => resolve(answers)));
}

/** Requests of its own, answers, and errors with a number and a code that says what to fix. */
function expectReadable({ jsonrpc, method, error }: Answer): void {
  expect(jsonrpc).toBe('2.0');
  if (method !== undefined || error === undefined) return;
  expect(Number.isInteger(error.code)).toBe(true);
  expect(error.message).toMatch(/^[a-z_]+/);
}

function memory(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const SIDES: readonly [who: string, onLink: (link: PeerLink) => void][] = [
  ['that has proven nothing', proving],
  ['that has proven its key', proven],
];

describe.each(SIDES)('whatever bytes a peer sends %s', (_who, onLink) => {
  it('it is answered with a code or closed, others are served, and nothing grows', async () => {
    const port = await listen(onLink);
    const good = await listen(proven);
    const options = { ...DEFAULT_TRANSPORT, host: '127.0.0.1', port: good, connectTimeoutMs: 5_000 };
    const link = await connectPeer(options, { timers: systemTimers });
    const neighbour = rpcOver(link, RPC);
    neighbour.serve({}, 'unknown_method');
    closers.push(() => link.close());
    const attack = (numRuns: number): Promise<void> =>
      fc.assert(
        fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 10 }), async (pieces) => {
          for (const answer of await say(port, pieces)) expectReadable(answer);
          expect(await neighbour.request('echo', 'well')).toBe('well');
        }),
        { numRuns },
      );
    await attack(40);
    const before = memory();
    await attack(120);
    expect(memory() - before).toBeLessThan(8 * 1024 * 1024);
  });
});

it('bytes that are no TLS end the connection, and peers are served after it', async () => {
  const port = await listen(proven);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 400 }), async (bytes) => {
      const socket = connectTcp({ host: '127.0.0.1', port });
      socket.on('error', () => {});
      socket.on('data', () => {});
      socket.end(bytes);
      await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    }),
    { numRuns: 60 },
  );
  const [answer] = await say(port, []);
  expect(answer).toMatchObject({ id: 'end', result: {} });
});

it('a line without end is cut off at the limit', async () => {
  const port = await listen(proving);
  const before = memory();
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const endless = Array.from({ length: (4 * LIMITS.peerLineBytes) / chunk.length }, () => chunk);
  expect(await say(port, endless)).toEqual([]);
  expect(memory() - before).toBeLessThan(8 * 1024 * 1024);
});
