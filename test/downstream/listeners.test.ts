import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { ListenerOptions } from '../../src/downstream/server/listeners.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { random } from '../peer/tls-pair.ts';
import {
  DIFFICULTY,
  paramsOf,
  stopServers,
  submitOf,
  type TestServer,
  until,
  withWork,
} from './harness.ts';

afterEach(stopServers);

const PLAIN: ListenerOptions = { host: '127.0.0.1', port: 0, difficulty: DIFFICULTY };
const tls = createTlsIdentity({ random, nowMs: Date.now() });
const V2_FROM_IPV6 = Buffer.from(
  `0d0a0d0a000d0a515549540a21210024${'20010db8'.padEnd(31, '0')}7${'20010db8'.padEnd(32, '0')}dc0401bb`,
  'hex',
);

const withListeners = (...listeners: ListenerOptions[]): Promise<TestServer> =>
  withWork({ options: { listeners }, verdict: () => 'accepted' });

/** A connection that a balancer opens, with what it says first. */
function behind(test: TestServer, header: string | Uint8Array, listener = 0) {
  const miner = test.miner(listener);
  miner.raw(header);
  return miner;
}

describe('TLS', () => {
  it('is served beside plain TCP, and ends in both directions', async () => {
    const test = await withListeners(PLAIN, { ...PLAIN, tls });
    const port = test.server.addresses()[1]!.port;
    const miner = test.miner(connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }));
    const { lines } = await miner.start();
    miner.send(submitOf(7, paramsOf(lines.at(-1))[0] as string));
    expect(await miner.next()).toEqual({ id: 7, result: true, error: null });
    await test.miner(0).start();
    expect(test.server.sessions().map(({ listener, address }) => [listener, address])).toEqual([
      [1, '127.0.0.1'],
      [0, '127.0.0.1'],
    ]);
    miner.destroy();
    await until(() => test.server.sessionCount === 1);
    const other = test.miner(connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }));
    await other.start();
    await test.server.close();
    await other.closed;
  });

  it('survives who does not speak it, or stops in the middle of it', async () => {
    const test = await withListeners({ ...PLAIN, tls });
    for (const bytes of [
      '{"id":1,"method":"mining.subscribe","params":[]}\n',
      '\x16\x03\x01\x00\xff',
      'GET /',
    ]) {
      const stranger = test.miner();
      stranger.raw(bytes);
      if (bytes.startsWith('\x16')) {
        await until(() => test.server.sessionCount > 0);
        stranger.destroy();
      }
      await stranger.closed;
    }
    await until(() => test.server.sessionCount === 0);
    const mute = test.miner();
    await until(() => test.server.sessionCount === 1);
    test.clock.advance(16_000);
    test.server.tick();
    await mute.closed;
    expect(test.server.sessionCount).toBe(0);
  });

  it('refuses what is no certificate', async () => {
    const broken = { ...PLAIN, tls: { cert: 'nothing', key: tls.key } };
    await expect(withListeners(PLAIN, broken)).rejects.toThrow(/config_invalid/);
  });
});

describe('the PROXY protocol', () => {
  const BALANCED: ListenerOptions = { ...PLAIN, proxies: ['127.0.0.0/8'] };

  it.each([
    ['version 1', 'PROXY TCP4 192.0.2.9 198.51.100.1 4000 3333\r\n', '192.0.2.9'],
    ['version 2', V2_FROM_IPV6, '2001:db8::7'],
    ['of a balancer about itself', 'PROXY UNKNOWN\r\n', '127.0.0.1'],
  ])('%s names the miner', async (_what, header, address) => {
    const test = await withListeners(BALANCED);
    await behind(test, header).start();
    expect(test.server.sessions()[0]!.address).toBe(address);
  });

  it('is read whatever the pieces, and nothing behind it is lost', async () => {
    const test = await withListeners(BALANCED);
    const line = '{"id":1,"method":"mining.subscribe","params":[]}\n';
    const bytes = Buffer.from(`PROXY TCP4 192.0.2.9 198.51.100.1 4000 3333\r\n${line}`);
    const whole = test.miner();
    whole.raw(bytes);
    expect(await whole.next()).toMatchObject({ id: 1, error: null });
    const slow = test.miner();
    for (const byte of bytes) {
      slow.raw(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await slow.next()).toMatchObject({ id: 1, error: null });
  });

  it('goes before TLS', async () => {
    const test = await withListeners({ ...BALANCED, tls });
    const socket = connect({ host: '127.0.0.1', port: test.server.addresses()[0]!.port });
    socket.write('PROXY TCP4 192.0.2.9 198.51.100.1 4000 3333\r\n');
    await test.miner(connectTls({ socket, rejectUnauthorized: false })).start();
    expect(test.server.sessions()[0]!.address).toBe('192.0.2.9');
  });

  it('is demanded of balancers, within a time', async () => {
    const test = await withListeners(BALANCED);
    await behind(test, '{"id":1,"method":"mining.subscribe","params":[]}\n').closed;
    await behind(test, 'PROXY TCP4 nonsense\r\n').closed;
    const mute = behind(test, 'PROXY TCP4 192.0.2.9');
    await until(() => test.server.stats.connections === 3);
    await new Promise((resolve) => setTimeout(resolve, 20));
    test.server.tick();
    test.clock.advance(6000);
    test.server.tick();
    await mute.closed;
    expect(test.server.sessionCount).toBe(0);
  });

  it('is believed of nobody else', async () => {
    const test = await withListeners({ ...PLAIN, proxies: ['192.0.2.0/24'] });
    await behind(test, 'PROXY TCP4 192.0.2.9 198.51.100.1 4000 3333\r\n').closed;
    expect(test.server.stats.closed.not_stratum).toBe(1);
    await test.miner().start();
    expect(test.server.sessions()[0]!.address).toBe('127.0.0.1');
  });

  it('lets limits and lists act on the miner, not on the balancer', async () => {
    const options = { listeners: [BALANCED], deny: ['192.0.2.0/24'], sessionsPerAddress: 1 };
    const test = await withWork({ options });
    await behind(test, 'PROXY TCP4 192.0.2.9 198.51.100.1 4000 3333\r\n').closed;
    await behind(test, 'PROXY TCP4 198.51.100.7 198.51.100.1 4000 3333\r\n').start();
    await behind(test, 'PROXY TCP4 198.51.100.7 198.51.100.1 4001 3333\r\n').closed;
    await behind(test, 'PROXY TCP4 198.51.100.8 198.51.100.1 4001 3333\r\n').start();
    expect(test.server.stats).toMatchObject({
      connections: 4,
      connectionsRefused: 2,
      refusedByAddress: { denied: 1, banned: 0 },
      limitHits: { sessionsPerAddress: 1 },
    });
  });
});

describe('addresses', () => {
  it('of both families are served, on one port if need be', async () => {
    const test = await withListeners(PLAIN);
    const { port } = test.server.addresses()[0]!;
    await stopServers();
    const both = await withListeners({ ...PLAIN, port, host: '0.0.0.0' }, { ...PLAIN, port, host: '::' });
    await both.miner(connect({ host: '127.0.0.1', port })).start();
    await both.miner(connect({ host: '::1', port })).start();
    expect(both.server.sessions().map(({ listener, address }) => [listener, address])).toEqual([
      [0, '127.0.0.1'],
      [1, '::1'],
    ]);
  });

  it('of IPv4 are themselves on a listener for both', async () => {
    const test = await withListeners({ ...PLAIN, host: '::' });
    await test.miner().start();
    expect(test.server.sessions()[0]!.address).toBe('127.0.0.1');
  });

  it('may be listed', async () => {
    const allowed = await withWork({ options: { allow: ['127.0.0.1'] } });
    await allowed.miner().start();
    const others = await withWork({ options: { allow: ['10.0.0.0/8'] } });
    await others.miner().closed;
    const denied = await withWork({ options: { allow: ['127.0.0.1'], deny: ['127.0.0.0/8'] } });
    await denied.miner().closed;
    expect(denied.server.stats.refusedByAddress.denied).toBe(1);
    await expect(withWork({ options: { deny: ['nobody'] } })).rejects.toThrow(/config_invalid/);
  });
});
