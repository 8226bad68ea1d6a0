import * as net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Timers } from '../../src/base/clock.ts';
import { type DialOutcome, dial, type Lookup } from '../../src/base/dial.ts';
import { systemTimers } from '../../src/base/system-timers.ts';

/** A name server, a network and a clock, moved by hand. */
class Net {
  readonly opened: string[] = [];
  readonly sockets = new Map<string, net.Socket>();
  readonly outcomes: DialOutcome[] = [];
  readonly #found = new Map<number, Parameters<Lookup>[2]>();
  #due: { atMs: number; run: () => void }[] = [];
  #nowMs = 0;
  readonly cancel: () => void;

  constructor(host = 'pool.example') {
    const timers: Pick<Timers, 'after'> = {
      after: (ms, run) => {
        const timer = { atMs: this.#nowMs + ms, run };
        this.#due.push(timer);
        return { cancel: () => (this.#due = this.#due.filter((other) => other !== timer)) };
      },
    };
    this.cancel = dial(
      { host, port: 3333 },
      {
        timers,
        lookup: (_host, family, done) => this.#found.set(family, done),
        open: ({ host: address }) => {
          const socket = new net.Socket();
          this.opened.push(address);
          this.sockets.set(address, socket);
          return socket;
        },
      },
      (outcome) => this.outcomes.push(outcome),
    );
  }

  found(family: 4 | 6, ...addresses: readonly string[]): this {
    this.#found.get(family)!(null, addresses);
    return this;
  }

  unknown(family: 4 | 6): this {
    this.#found.get(family)!(new Error('getaddrinfo ENOTFOUND pool.example'), []);
    return this;
  }

  after(ms: number): this {
    this.#nowMs += ms;
    const due = this.#due.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#due = this.#due.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { run } of due) run();
    return this;
  }

  connects(address: string): this {
    this.sockets.get(address)!.emit('connect');
    return this;
  }

  fails(address: string, code: string): this {
    this.sockets.get(address)!.emit('error', Object.assign(new Error(''), { code }));
    return this;
  }
}

describe('dial', () => {
  it('connects where IPv6 is broken and IPv4 takes longer than a quarter of a second', () => {
    const world = new Net().found(4, '192.0.2.1').found(6, '2001:db8::1');
    expect(world.opened).toEqual(['2001:db8::1']);
    world.after(249);
    expect(world.opened).toHaveLength(1);
    world.after(1);
    expect(world.opened).toEqual(['2001:db8::1', '192.0.2.1']);
    world.after(3_000).connects('192.0.2.1');
    expect(world.outcomes).toEqual([{ socket: world.sockets.get('192.0.2.1') }]);
    expect(world.sockets.get('2001:db8::1')!.destroyed).toBe(true);
    expect(world.sockets.get('192.0.2.1')!.destroyed).toBe(false);
  });

  it('still takes a slow IPv6 after IPv4 has failed', () => {
    const world = new Net().found(6, '2001:db8::1').found(4, '192.0.2.1').after(250);
    world.fails('192.0.2.1', 'ECONNREFUSED').after(5_000).connects('2001:db8::1');
    expect(world.outcomes).toEqual([{ socket: world.sockets.get('2001:db8::1') }]);
  });

  it('tries both families in turn, and the next at once when one fails', () => {
    const world = new Net().found(6, '2001:db8::1', '2001:db8::2').found(4, '192.0.2.1', '192.0.2.2');
    world.fails('2001:db8::1', 'ENETUNREACH').fails('192.0.2.1', 'EHOSTUNREACH');
    expect(world.opened).toEqual(['2001:db8::1', '192.0.2.1', '2001:db8::2']);
    world.fails('2001:db8::2', 'ENETUNREACH').fails('192.0.2.2', 'ECONNREFUSED');
    expect(world.outcomes.map(({ error }) => error?.message)).toEqual([
      'ENETUNREACH [2001:db8::1]:3333, EHOSTUNREACH 192.0.2.1:3333, ENETUNREACH [2001:db8::2]:3333, ' +
        'ECONNREFUSED 192.0.2.2:3333',
    ]);
  });

  it('does not wait for a name server that never answers for IPv6', () => {
    const world = new Net().found(4, '192.0.2.1');
    expect(world.opened).toEqual([]);
    world.after(50);
    expect(world.opened).toEqual(['192.0.2.1']);
    world.after(250).connects('192.0.2.1').found(6, '2001:db8::1');
    expect(world.outcomes).toHaveLength(1);
    expect(world.opened).toHaveLength(1);
  });

  it('goes on with addresses that are found late', () => {
    const world = new Net().found(6, '2001:db8::1').fails('2001:db8::1', 'ENETUNREACH');
    expect(world.outcomes).toEqual([]);
    world.found(4, '192.0.2.1').connects('192.0.2.1');
    expect(world.outcomes).toEqual([{ socket: world.sockets.get('192.0.2.1') }]);
  });

  it('tries what is found late beside an attempt that hangs', () => {
    const world = new Net().found(6, '2001:db8::1').after(10_000).found(4, '192.0.2.1');
    expect(world.opened).toEqual(['2001:db8::1', '192.0.2.1']);
  });

  it('says why a name is not known, once, and ends after a bounded number of attempts', () => {
    const unknown = new Net().unknown(6);
    expect(unknown.outcomes).toEqual([]);
    unknown.unknown(4);
    expect(unknown.outcomes.map(({ error }) => error?.message)).toEqual([
      'getaddrinfo ENOTFOUND pool.example',
    ]);
    const empty = new Net().found(6).found(4);
    expect(empty.outcomes.map(({ error }) => error?.message)).toEqual(['pool.example has no address']);
    const many = new Net().found(4).found(6, ...Array.from({ length: 40 }, (_, at) => `2001:db8::${at}`));
    for (let at = 0; at < 40 && many.outcomes.length === 0; at += 1) many.fails(`2001:db8::${at}`, 'EIO');
    expect(many.opened).toHaveLength(16);
    expect(many.outcomes).toHaveLength(1);
  });

  it('tells nothing after a cancel', () => {
    const world = new Net().found(6, '2001:db8::1').found(4, '192.0.2.1').after(250);
    world.cancel();
    expect([...world.sockets.values()].every(({ destroyed }) => destroyed)).toBe(true);
    world.after(1_000);
    expect(world.opened).toHaveLength(2);
    expect(world.outcomes).toEqual([]);
  });
});

describe('over TCP', () => {
  const servers: net.Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function dialed(target: { host: string; port: number }, lookup?: Lookup): Promise<DialOutcome> {
    const deps = { timers: systemTimers, ...(lookup === undefined ? {} : { lookup }) };
    return new Promise((resolve) => void dial(target, deps, resolve));
  }

  it('connects to a name whose IPv6 address refuses, and to an address', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    servers.push(server);
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as net.AddressInfo;
    const lookup: Lookup = (_host, family, done) => done(null, [family === 6 ? '::1' : '127.0.0.1']);
    for (const outcome of [
      await dialed({ host: 'pool.example', port }, lookup),
      await dialed({ host: '127.0.0.1', port }),
      await dialed({ host: 'localhost', port }),
    ]) {
      expect(outcome.socket?.remoteAddress).toBe('127.0.0.1');
      outcome.socket?.destroy();
    }
  });

  it('names the address that refuses', async () => {
    const { error } = await dialed({ host: '127.0.0.1', port: 1 });
    expect(error?.message).toBe('ECONNREFUSED 127.0.0.1:1');
  });
});
