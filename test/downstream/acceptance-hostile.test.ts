import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { HARD, type TestMiner, until } from './harness.ts';
import { codeOf, codesOf, everyShare, SHARE_DIFFICULTY, Stand, stopStands } from './stand.ts';

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

let stand: Stand;
let honest: TestMiner;
let shares: string[][];
const sockets: Socket[] = [];

beforeEach(async () => {
  stand = await Stand.start();
  stand.give(plainWork(1, HARD));
  honest = stand.miner();
  const { lines, extranonce1 } = await honest.start();
  shares = everyShare(
    lines.at(-1)!,
    extranonce1,
    { target: targetOfDifficulty(SHARE_DIFFICULTY) },
    2 ** 16,
  );
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await stopStands();
});

/** The neighbour still mines. */
async function expectUnharmed(): Promise<void> {
  const [share] = shares.splice(0, 1);
  expect(await codesOf(honest, [share!])).toEqual([0]);
}

/** A connection that reads nothing unless told so. */
async function open(): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: stand.server.addresses()[0]!.port });
  socket.on('error', () => {});
  sockets.push(socket);
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

function closedOf(socket: Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())));
}

/** Bytes of the heap and beside it, without garbage. */
function memory(): number {
  collectGarbage();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

const MIB = 1024 * 1024;
const ping = '{"id":1,"method":"mining.ping","params":["PAD"]}';

describe('acceptance case 8: hostile input', () => {
  it.each([1024, 16 * 1024, 16 * 1024 + 1, 64 * 1024])('a line of %d bytes', async (size) => {
    const miner = stand.miner();
    miner.send(ping.replace('PAD', 'x'.repeat(size - ping.length + 3)));
    const answer = await miner.next();
    if (size <= 16 * 1024) expect(answer).toEqual({ id: 1, result: 'pong', error: null });
    else {
      expect(answer).toEqual({ id: null, result: null, error: [20, 'line too long', null] });
      await miner.closed;
    }
    await expectUnharmed();
  });

  it('a line that never ends, on many connections', async () => {
    const before = memory();
    const open64 = await Promise.all(Array.from({ length: 64 }, () => open()));
    for (const socket of open64) socket.write(`{"id":1,"method":"${'x'.repeat(16_000)}`);
    await until(() => stand.server.sessionCount === 65);
    await expectUnharmed();
    expect(memory() - before).toBeLessThan(64 * 128 * 1024);
    for (const socket of open64) socket.write('x'.repeat(4 * MIB));
    await Promise.all(open64.map(closedOf));
    expect(stand.server.stats.closed.line_too_long).toBe(64);
    await expectUnharmed();
  });

  it('a line that comes byte by byte until the time is over', async () => {
    const socket = await open();
    for (let count = 0; count < 100; count += 1) {
      socket.write('{');
      stand.clock.advance(200);
      stand.server.tick();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await closedOf(socket);
    expect(stand.server.stats.closed.idle_timeout).toBe(1);
    await expectUnharmed();
  });

  it('readers that do not read what they ask for', async () => {
    const before = memory();
    const slow = await Promise.all(Array.from({ length: 8 }, () => open()));
    const many = `${ping.replace('PAD', '')}\n`.repeat(1000);
    for (const socket of slow) {
      socket.pause();
      socket.write(`{"id":1,"method":"mining.subscribe","params":[]}\n`);
    }
    for (let round = 0; round < 400 && stand.server.sessionCount > 1; round += 1) {
      for (const socket of slow) if (!socket.destroyed) socket.write(many);
      if (round % 20 === 0) await expectUnharmed();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await until(() => stand.server.stats.closed.slow_reader === 8);
    expect(memory() - before).toBeLessThan(64 * MIB);
    await expectUnharmed();
  });

  it('connections by the thousand, as fast as they come', async () => {
    const { port } = stand.server.addresses()[0]!;
    let closed = 0;
    for (let wave = 0; wave < 10; wave += 1) {
      for (let count = 0; count < 300; count += 1) {
        const socket = connect({ host: '127.0.0.1', port });
        socket.on('error', () => {});
        socket.on('close', () => {
          closed += 1;
        });
        socket.on('connect', () => socket.destroy());
      }
      await expectUnharmed();
    }
    await until(() => closed === 3000 && stand.server.sessionCount === 1);
    await expectUnharmed();
  });

  const bodies: readonly [what: string, line: string, code: number | undefined][] = [
    ['short hex', submit('["rig.1","100000000","0","6","f"]'), 20],
    ['no hex', submit('["rig.1","100000000","zzzzzzzz","zzzzzzzz","zzzzzzzz"]'), 20],
    ['no fields', submit('[]'), 20],
    ['nulls', submit('[null,null,null,null,null,null]'), 20],
    ['numbers', submit('[1,2,3,4,5]'), 20],
    ['lists', submit('[[],{},[[]],"",""]'), 20],
    ['params that are none', submit('{"length":5}'), 20],
    ['a thousand params', submit(`[${'"x",'.repeat(999)}"x"]`), 20],
    [
      'deep lists',
      `{"id":1,"method":"mining.subscribe","params":${'['.repeat(7000)}${']'.repeat(7000)}}`,
      undefined,
    ],
    ['deep objects', `${'{"a":'.repeat(2500)}1${'}'.repeat(2500)}`, 20],
    ['lists that are left open', '['.repeat(16_000), 20],
    ['a key twice', '{"id":1,"id":2,"method":"mining.ping","method":"mining.submit","params":[]}', 20],
    ['__proto__', '{"id":1,"__proto__":{"method":"mining.ping"},"params":[]}', 20],
    ['__proto__ as options', configure('{"__proto__":{"version-rolling.mask":"ffffffff"}}'), undefined],
    [
      '__proto__ as an extension',
      '{"id":1,"method":"mining.configure","params":[["__proto__","toString"],{}]}',
      undefined,
    ],
    ['numbers beyond all bounds', '{"id":1e400,"method":"mining.suggest_difficulty","params":[1e400]}', 20],
    ['a difficulty of minus nothing', '{"id":1,"method":"mining.suggest_difficulty","params":[-0]}', 20],
    [
      'a difficulty next to nothing',
      '{"id":1,"method":"mining.suggest_difficulty","params":[5e-324]}',
      undefined,
    ],
    ['a target of nothing', `{"id":1,"method":"mining.suggest_target","params":["${'0'.repeat(64)}"]}`, 20],
    ['half a surrogate', '{"id":"\\ud800","method":"mining.ping","params":[]}', undefined],
    ['bytes that are no text', '{"id":1,"method":"\xff\xfe\xc0\x80","params":[]}', 20],
    ['a null byte', '{"id":1,"method":"mining.ping\\u0000"}', 20],
    ['an id that is too long', `{"id":"${'x'.repeat(5000)}","method":"mining.ping"}`, 20],
    ['an id that is a list', '{"id":[1],"method":"mining.ping"}', 20],
    [
      'a name of control characters',
      '{"id":1,"method":"mining.authorize","params":["\\u001b[2J\\n","x"]}',
      24,
    ],
    [
      'a name that is too long',
      `{"id":1,"method":"mining.authorize","params":["${'x'.repeat(9000)}","x"]}`,
      24,
    ],
  ];
  it.each(bodies)('%s', async (_what, line, code) => {
    const miner = stand.miner();
    await miner.start();
    miner.raw(Buffer.from(`${line}\n`, 'latin1'));
    const answer = await miner.next();
    if (code === undefined) expect(answer['error']).toBeNull();
    else expect(codeOf(answer)).toBe(code);
    expect(await miner.settled()).toEqual([]);
    expect(({} as { [key: string]: unknown })['version-rolling.mask']).toBeUndefined();
    await expectUnharmed();
  });

  it('the longest handshake there may be', async () => {
    const miner = stand.miner();
    await miner.start();
    for (let worker = 0; worker < 400; worker += 1) {
      miner.send({ id: worker, method: 'mining.authorize', params: [`w${worker}`, 'x'] });
    }
    await miner.until('id', 399);
    const [, session] = stand.server.sessions();
    expect(session!.workers.length).toBeLessThanOrEqual(256);
    miner.send({ id: 'again', method: 'mining.subscribe', params: ['x'.repeat(7000), 'y'.repeat(7000)] });
    expect(await miner.next()).toMatchObject({ id: 'again', error: null });
    expect(stand.server.sessions()[1]!.userAgent.length).toBeLessThanOrEqual(128);
    await expectUnharmed();
  });
});

function submit(params: string): string {
  return `{"id":1,"method":"mining.submit","params":${params}}`;
}

function configure(options: string): string {
  return `{"id":1,"method":"mining.configure","params":[["version-rolling"],${options}]}`;
}
