import * as net from 'node:net';
import * as tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { connectPeer, DEFAULT_TRANSPORT, type PeerLink, PeerServer } from '../../src/peer/transport.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { createTlsPair, random } from './tls-pair.ts';

function collect(connection: PeerLink, count: number): Promise<string[]> {
  const lines: string[] = [];
  return new Promise((resolve, reject) => {
    connection.listen({
      onLine: (line) => {
        lines.push(line);
        if (lines.length === count) resolve(lines);
      },
      onClose: reject,
    });
  });
}

function closeReason(connection: PeerLink): Promise<string> {
  return new Promise((resolve) => {
    connection.listen({ onLine: () => {}, onClose: (reason) => resolve(reason.code) });
  });
}

describe('the line transport', () => {
  it('carries lines both ways, whole, in order, whatever their size', async () => {
    const pair = await createTlsPair();
    const long = 'é'.repeat(200_000);
    const atServer = collect(pair.server, 3);
    const atClient = collect(pair.client, 1);
    for (const line of ['a', long, 'c']) pair.client.send(line);
    pair.server.send('back');
    expect(await atServer).toEqual(['a', long, 'c']);
    expect(await atClient).toEqual(['back']);
    await pair.close();
  });

  it('gives both ends the same exporter, and another one on another connection', async () => {
    const [one, two] = [await createTlsPair(), await createTlsPair()];
    expect(toHex(one.client.exporter)).toBe(toHex(one.server.exporter));
    expect(one.client.exporter).toHaveLength(32);
    expect(toHex(one.client.exporter)).not.toBe(toHex(two.client.exporter));
    await Promise.all([one.close(), two.close()]);
  });

  it('ends a connection that sends a line over the limit', async () => {
    const pair = await createTlsPair();
    const reason = closeReason(pair.server);
    const piece = 'x'.repeat(1000 * 1000);
    const socket = pair.client;
    socket.send(piece);
    expect(socket.closed).toBe(false);
    socket.send('y'.repeat(LIMITS.peerLineBytes));
    expect(socket.closed).toBe(true);
    expect(await reason).toBe('peer_closed');
    await pair.close();
  });

  it('refuses a megabyte without a newline, and bytes that are not UTF-8', async () => {
    const codes: string[] = [];
    const reasons: Promise<void>[] = [];
    const server = new PeerServer(
      {
        ...DEFAULT_TRANSPORT,
        host: '127.0.0.1',
        port: 0,
        maxConnections: 4,
        tls: createTlsIdentity({ random, nowMs: Date.now() }),
      },
      {
        log: silentLogger,
        timers: systemTimers,
        onConnection: (connection) => {
          reasons.push(closeReason(connection).then((code) => void codes.push(code)));
        },
      },
    );
    const port = await server.listen();
    for (const bytes of [Buffer.alloc(LIMITS.peerLineBytes + 1, 0x20), Buffer.from([0xff, 0xfe, 0x0a])]) {
      const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
      socket.on('error', () => {});
      socket.on('secureConnect', () => socket.write(bytes));
      socket.resume();
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await Promise.all(reasons);
    expect(codes).toEqual(['line_too_long', 'malformed']);
    await server.close();
  });

  it('refuses TLS 1.2', async () => {
    const pair = await createTlsPair();
    const port = Number(pair.client.remoteAddress.split(':').at(-1));
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
    });
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve));
    expect(error.message).toMatch(/protocol version|alert/);
    await pair.close();
  });

  it('ends a silent connection with peer_timeout', async () => {
    const pair = await createTlsPair({ idleTimeoutMs: 100 }, {});
    expect(await closeReason(pair.server)).toBe('peer_timeout');
    await pair.close();
  });

  it('takes what it writes itself for no sign of life, and every byte of the peer for one', async () => {
    const time = new VirtualTime();
    const pair = await createTlsPair({ idleTimeoutMs: 1_000 }, {}, time.timers);
    const heard = Promise.withResolvers<void>();
    let reason: string | undefined;
    pair.server.listen({ onLine: () => heard.resolve(), onClose: ({ code }) => (reason = code) });
    await time.advance(900);
    pair.client.send('here');
    await heard.promise;
    await time.advance(900);
    expect(reason).toBeUndefined();
    pair.server.send('here too');
    await time.advance(100);
    expect(reason).toBe('peer_timeout');
    await pair.close();
  });

  it('ends a connection whose reader does not read', async () => {
    const pair = await createTlsPair({ writeBytes: 64 * 1024 });
    for (let sent = 0; sent < 64 && !pair.server.closed; sent += 1) pair.server.send('z'.repeat(900_000));
    expect(await closeReason(pair.server)).toBe('slow_reader');
    await pair.close();
  });

  it('says that nobody listens', async () => {
    const pair = await createTlsPair();
    const port = Number(pair.client.remoteAddress.split(':').at(-1));
    await pair.close();
    const options = { ...DEFAULT_TRANSPORT, host: '127.0.0.1', port, connectTimeoutMs: 2_000 };
    await expect(connectPeer(options, { timers: systemTimers })).rejects.toMatchObject({
      code: 'peer_closed',
    });
    await expect(
      connectPeer({ ...options, signal: AbortSignal.abort() }, { timers: systemTimers }),
    ).rejects.toMatchObject({
      code: 'peer_closed',
    });
  });

  it('ends soon, whatever its clients do', async () => {
    const listener = new PeerServer(
      {
        ...{ ...DEFAULT_TRANSPORT, host: '127.0.0.1', port: 0, maxConnections: 8 },
        tls: createTlsIdentity({ random, nowMs: Date.now() }),
      },
      { log: silentLogger, timers: systemTimers, onConnection: () => {} },
    );
    const silent = net.connect(await listener.listen(), '127.0.0.1');
    silent.on('error', () => {});
    const gone = new Promise((resolve) => silent.once('close', resolve));
    await new Promise((resolve) => silent.once('connect', resolve));
    await listener.close();
    await gone;
    expect(silent.destroyed).toBe(true);
  });
});
