import * as net from 'node:net';
import { describe, expect, it } from 'vitest';
import type { LimitHits } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { Places } from '../../src/peer/places.ts';
import { connectPeer, DEFAULT_TRANSPORT, type PeerLink, PeerServer } from '../../src/peer/transport.ts';
import { until } from '../maker/world.ts';
import { random } from './tls-pair.ts';

function placesOf(connections: number, perAddress = 100, newcomersPerAddress = 100) {
  const hits: LimitHits = {};
  return {
    hits,
    places: new Places<{ name: string }>({ connections, perAddress, newcomersPerAddress }, hits),
  };
}
const named = (name: string): { name: string } => ({ name });

describe('places of connections', () => {
  it('are taken from the oldest newcomer of the address that has most', () => {
    const { places, hits } = placesOf(4);
    const [honest, one, two, three] = ['honest', 'one', 'two', 'three'].map(named);
    expect(places.take(honest!, '192.0.2.1')).toBe(undefined);
    for (const each of [one!, two!, three!]) expect(places.take(each, '192.0.2.2')).toBe(undefined);
    expect(places.take(named('four'), '192.0.2.3')).toBe(one);
    expect(places.take(named('five'), '192.0.2.3')).toBe(two);
    expect(hits).toEqual({ peerConnections: 2 });
  });

  it('of those who proved a key are never taken', () => {
    const { places } = placesOf(2);
    const [one, two] = [named('one'), named('two')];
    places.take(one, '192.0.2.1');
    places.keep(one);
    places.take(two, '192.0.2.2');
    const three = named('three');
    expect(places.take(three, '192.0.2.2')).toBe(two);
    places.keep(three);
    expect(places.take(named('four'), '192.0.2.4')).toBe('refused');
    places.leave(one);
    expect(places.take(named('five'), '192.0.2.4')).toBe(undefined);
  });

  it('are few for newcomers of one address, and for all of it', () => {
    const { places, hits } = placesOf(100, 3, 2);
    const [one, two, three] = ['one', 'two', 'three'].map(named);
    places.take(one!, '::ffff:192.0.2.1');
    places.take(two!, '192.0.2.1');
    expect(places.take(three!, '192.0.2.1')).toBe(one);
    expect(hits).toEqual({ peerNewcomersPerAddress: 1 });
    for (const each of [two!, three!]) places.keep(each);
    const four = named('four');
    expect(places.take(four, '192.0.2.1')).toBe(undefined);
    places.keep(four);
    expect(places.take(named('five'), '192.0.2.1')).toBe('refused');
    expect(hits).toEqual({ peerNewcomersPerAddress: 1, peerConnectionsPerAddress: 1 });
    expect(places.take(named('six'), '2001:db8:1:2::1')).toBe(undefined);
    places.take(named('seven'), '2001:db8:1:2::2');
    expect(places.take(named('eight'), '2001:db8:1:2:3::1')).toEqual(named('six'));
  });
});

describe('a server of peers', () => {
  it('is reached through any number of sockets that say nothing, and keeps who has proven a key', async () => {
    const limitHits: LimitHits = {};
    const links: PeerLink[] = [];
    const server = new PeerServer(
      {
        ...{ ...DEFAULT_TRANSPORT, host: '127.0.0.1', port: 0, maxConnections: 8 },
        tls: createTlsIdentity({ random, nowMs: Date.now() }),
      },
      { log: silentLogger, timers: systemTimers, limitHits, onConnection: (link) => links.push(link) },
    );
    const port = await server.listen();
    const connect = (): Promise<PeerLink> =>
      connectPeer(
        { ...DEFAULT_TRANSPORT, host: '127.0.0.1', port, connectTimeoutMs: 3_000 },
        { timers: systemTimers },
      );
    const first = await connect();
    await until('accepted', () => links.length === 1);
    links[0]!.keepPlace();
    let ended: string | undefined;
    first.listen({ onLine: () => {}, onClose: ({ code }) => (ended = code) });
    const silent: net.Socket[] = [];
    for (let made = 0; made < 100; made += 1) {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('connect', resolve));
      silent.push(socket);
    }
    const second = await connect();
    expect(second.closed).toBe(false);
    expect(ended).toBe(undefined);
    expect(limitHits['peerConnections']).toBeGreaterThan(90);
    for (const socket of silent) socket.destroy();
    await server.close();
  });
});
