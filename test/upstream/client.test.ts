import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { Random } from '../../src/base/clock.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { targetOfCompact } from '../../src/bitcoin/target.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { UpstreamClient, type UpstreamClientOptions } from '../../src/upstream/client.ts';
import type { UpstreamVerdict } from '../../src/upstream/upstream-share.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { braidpoolNode, FakePool, type Handler, ok, plainPool, settle, until } from './fake-pool.ts';
import { call, notify, shareOf } from './work.ts';

const pools: FakePool[] = [];
const clients: UpstreamClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.stop();
  for (const pool of pools.splice(0)) await pool.close();
});

async function poolOf(
  handler?: Handler,
  secure?: Parameters<typeof FakePool.listen>[1],
): Promise<FakePool> {
  const pool = await FakePool.listen(handler, secure);
  pools.push(pool);
  return pool;
}

const zeroRandom: Random = { bytes: (size) => new Uint8Array(size) };

/** A client on a clock moved by hand, and what it told. */
class Watched {
  readonly clock = new ManualClock();
  readonly client: UpstreamClient;
  readonly jobs: UpstreamJob[] = [];
  readonly verdicts: UpstreamVerdict[] = [];
  readonly difficulties: number[] = [];
  readonly rtts: number[] = [];
  readonly told: string[] = [];

  constructor(port: number, options: Partial<UpstreamClientOptions> = {}, log: Logger = silentLogger) {
    this.client = new UpstreamClient(
      {
        name: 'test',
        host: '127.0.0.1',
        port,
        worker: 'me.1',
        password: 'x',
        userAgent: 'test/1',
        profile: 'generic',
        backoff: { baseMs: 1_000, maxMs: 60_000 },
        ...options,
        timeouts: { tickMs: 5, ...options.timeouts },
      },
      {
        timers: systemTimers,
        clock: this.clock,
        random: zeroRandom,
        log,
        listener: {
          onUp: () => this.told.push('up'),
          onDown: (code, detail) => this.told.push(`down ${code}: ${detail}`),
          onJob: (job) => this.jobs.push(job),
          onVerdict: (verdict) => this.verdicts.push(verdict),
          onDifficulty: (difficulty) => this.difficulties.push(difficulty),
          onRtt: (rttMs) => this.rtts.push(rttMs),
        },
      },
    );
    clients.push(this.client);
    this.client.start();
  }

  get job(): UpstreamJob {
    return this.jobs.at(-1)!;
  }

  /** Up and with one job. */
  async working(pool: FakePool): Promise<this> {
    await until(() => this.client.up, 'the client to be up');
    const jobs = this.jobs.length;
    pool.peer.send(notify({ jobId: `w${jobs}` }));
    await until(() => this.jobs.length > jobs, 'a job');
    return this;
  }
}

describe('a connection', () => {
  it('handshakes, works, submits', async () => {
    const pool = await poolOf();
    const watched = await new Watched(pool.port).working(pool);
    expect(pool.methods).toEqual(['mining.configure', 'mining.subscribe', 'mining.authorize']);
    expect(watched.client.extranonce).toEqual({
      extranonce1: Uint8Array.of(10, 11, 12, 13),
      extranonce2Size: 8,
    });
    expect(watched.client.versionMask).toBe(0x1fffe000);
    let inside = true;
    let verdict: UpstreamVerdict | undefined;
    watched.client.submit(shareOf(watched.job, { nonce: 0xab }), (given) => {
      expect(inside).toBe(false);
      verdict = given;
    });
    inside = false;
    await until(() => verdict !== undefined);
    expect(verdict?.outcome).toBe('accepted');
    expect(watched.verdicts).toEqual([verdict]);
    expect(pool.peer.requests.at(-1)).toMatchObject({
      method: 'mining.submit',
      params: ['me.1', 'w0', '00'.repeat(8), '65000000', '000000ab', '00000000'],
    });
    expect(watched.client.stats).toMatchObject({ connects: 1, accepted: 1, jobs: 1, garbageLines: 0 });
  });

  it('meets a Braidpool node as it is', async () => {
    let solved = false;
    const work = notify({ jobId: '41', bits: '1b0404cb' });
    const pool = await poolOf(braidpoolNode({ work, solves: () => solved }));
    const watched = new Watched(pool.port, { profile: 'braidpool' });
    await until(() => watched.jobs.length === 1);
    expect(watched.job).toMatchObject({ clean: true, versionMask: 0x1fffe000, extranonce2Size: 8 });
    expect(watched.job.target).toBe(targetOfCompact(0x1b0404cb));
    watched.client.submit(shareOf(watched.job, { versionBits: 0x2000 }));
    await until(() => watched.verdicts.length === 1);
    solved = true;
    watched.client.submit(shareOf(watched.job));
    await until(() => watched.verdicts.length === 2);
    expect(watched.verdicts.map((verdict) => verdict.outcome)).toEqual(['refused', 'accepted']);
    expect(pool.peer.requests.every((request) => Number.isInteger(request.id))).toBe(true);
    pool.peer.send(work);
    await settle();
    expect(watched.jobs).toHaveLength(1);
  });

  it('keeps a Braidpool node without version rolling when configure is refused', async () => {
    const pool = await poolOf(braidpoolNode({ work: notify(), solves: () => true }));
    const watched = new Watched(pool.port, { profile: 'generic' });
    await until(() => watched.jobs.length === 1);
    expect(watched.client.versionMask).toBeUndefined();
    watched.client.submit(shareOf(watched.job));
    await until(() => watched.verdicts.length === 1);
    expect(pool.peer.requests.at(-1)?.params).toHaveLength(5);
    expect(watched.client.stats.accepted).toBe(1);
  });

  it('takes lines however they are cut', async () => {
    const pool = await poolOf();
    const watched = await new Watched(pool.port).working(pool);
    const text = `${call('mining.set_difficulty', [32])}\n${notify({ jobId: 'cut' })}\n`;
    for (const byte of Buffer.from(text)) {
      pool.peer.raw(Uint8Array.of(byte));
      if (byte === 10) await settle(1);
    }
    await until(() => watched.jobs.length === 2);
    expect(watched.difficulties).toEqual([32]);
    expect(watched.job.upstreamJobId).toBe('cut');
  });

  it('resolves silence as time-outs', async () => {
    const pool = await poolOf((request, peer) =>
      request.method === 'mining.submit' ? undefined : plainPool(request, peer),
    );
    const watched = await new Watched(pool.port).working(pool);
    watched.client.submit(shareOf(watched.job));
    await until(() => pool.methods.includes('mining.submit'));
    watched.clock.advance(29_999);
    await settle();
    expect(watched.verdicts).toEqual([]);
    watched.clock.advance(1);
    await until(() => watched.verdicts.length === 1);
    expect(watched.verdicts).toEqual([
      { outcome: 'timeout', code: undefined, reason: 'upstream_timeout', rttMs: undefined },
    ]);
    expect(watched.client.up).toBe(true);
  });

  it('resolves shares in flight as lost when the connection ends', async () => {
    const pool = await poolOf((request, peer) =>
      request.method === 'mining.submit' ? undefined : plainPool(request, peer),
    );
    const watched = await new Watched(pool.port, { resume: false }).working(pool);
    for (let nonce = 0; nonce < 3; nonce += 1) watched.client.submit(shareOf(watched.job, { nonce }));
    await until(() => pool.methods.filter((method) => method === 'mining.submit').length === 3);
    pool.peer.drop();
    await until(() => watched.told.length === 2);
    expect(watched.client.stats).toMatchObject({
      lost: 3,
      accepted: 0,
      disconnects: { upstream_closed: 1 },
    });
    expect(watched.told[1]).toMatch(/^down upstream_closed/);
    watched.client.submit(shareOf(watched.job));
    expect(watched.client.stats.lost).toBe(4);
    await until(() => watched.verdicts.length === 4);
  });

  it('does not take the work of the last connection for its own', async () => {
    let connection = 0;
    const pool = await poolOf((request, peer) =>
      request.method === 'mining.subscribe'
        ? ok(request, [[], `0${connection++}`, 8])
        : plainPool(request, peer),
    );
    const watched = await new Watched(pool.port).working(pool);
    pool.peer.drop();
    await until(() => !watched.client.up);
    watched.clock.advance(60_000);
    await watched.working(pool);
    expect(watched.job.clean).toBe(true);
    watched.client.submit(shareOf(watched.jobs[0]!));
    expect(watched.verdicts).toEqual([]);
    await until(() => watched.verdicts.length === 1);
    expect(watched.verdicts[0]).toMatchObject({ outcome: 'lost' });
    expect(pool.methods).not.toContain('mining.submit');
  });

  it('speaks TLS and checks the certificate', async ({ skip }) => {
    const directory = mkdtempSync(join(tmpdir(), 'upstream-'));
    try {
      const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
      try {
        execFileSync(
          'openssl',
          [
            ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
            ...['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=pool.test'],
            ...['-addext', 'subjectAltName=DNS:pool.test'],
          ],
          { stdio: 'ignore' },
        );
      } catch {
        return skip('openssl is not installed (apt-get install openssl)');
      }
      const certificate = readFileSync(cert, 'utf8');
      const pool = await poolOf(plainPool, { key: readFileSync(key), cert: certificate });
      const trusting = new Watched(pool.port, { tls: { caPem: certificate, serverName: 'pool.test' } });
      await until(() => trusting.client.up);
      const careless = new Watched(pool.port, { tls: { verify: false } });
      await until(() => careless.client.up);
      for (const secure of [{}, { caPem: certificate, serverName: 'other.test' }]) {
        const strict = new Watched(pool.port, { tls: secure });
        await until(() => strict.client.lastFailure !== undefined);
        expect(strict.client.lastFailure).toMatch(/self-signed|altnames/);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('what an upstream sends and we drop', () => {
  it('is logged with a sample, a few lines a connection, and counted', async () => {
    const pool = await poolOf();
    const warned: unknown[] = [];
    const log: Logger = { ...silentLogger, warn: (fields) => warned.push(fields), child: () => log };
    const watched = await new Watched(pool.port, {}, log).working(pool);
    for (let at = 0; at < 12; at += 1) pool.peer.send('{"method":"mining.notify","params":[7]}');
    await until(() => watched.client.stats.garbageLines === 12);
    expect(warned).toHaveLength(8);
    expect(warned[0]).toMatchObject({
      code: 'upstream_protocol',
      why: expect.stringContaining('job id') as string,
      sample: '{"method":"mining.notify","params":[7]}',
    });
  });

  it('is no reason to hash without version rolling in silence', async () => {
    const pool = await poolOf((request, peer) =>
      request.method === 'mining.configure' ? ok(request, {}) : plainPool(request, peer),
    );
    const warned: string[] = [];
    const log: Logger = { ...silentLogger, warn: (_fields, text) => warned.push(text), child: () => log };
    const watched = new Watched(pool.port, {}, log);
    await until(() => watched.client.up);
    expect(warned).toEqual(['the upstream grants no version rolling']);
  });
});

it('a host whose IPv6 address refuses is connected to, and one that refuses by name says which', async () => {
  const pool = await poolOf();
  const watched = new Watched(pool.port, { host: 'localhost' });
  await until(() => watched.client.up);
  const nobody = new Watched(1, { host: 'localhost' });
  await until(() => nobody.client.lastFailure !== undefined);
  expect(nobody.client.lastFailure).toMatch(/^upstream_closed: .*ECONNREFUSED 127\.0\.0\.1:1/);
});

describe('a session taken up again', () => {
  /** Answers no submit on the first connection. */
  const forgetful = (extranonces: readonly string[]): Handler => {
    let connections = 0;
    return (request, peer) => {
      if (request.method === 'mining.subscribe') {
        const extranonce1 = extranonces[Math.min(connections, extranonces.length - 1)];
        connections += 1;
        return ok(request, [[['mining.notify', 's1']], extranonce1, 8]);
      }
      if (request.method === 'mining.submit' && connections === 1) return undefined;
      return plainPool(request, peer);
    };
  };

  it('sends again what was in flight and what was made meanwhile', async () => {
    const pool = await poolOf(forgetful(['aa', 'aa']));
    const watched = await new Watched(pool.port).working(pool);
    watched.client.submit(shareOf(watched.job, { nonce: 1 }));
    await until(() => pool.methods.includes('mining.submit'));
    pool.peer.drop();
    await until(() => !watched.client.up);
    watched.client.submit(shareOf(watched.job, { nonce: 2 }));
    expect(watched.client.sharesInFlight).toBe(2);
    expect(watched.verdicts).toEqual([]);
    watched.clock.advance(60_000);
    await until(() => watched.verdicts.length === 2);
    expect(watched.verdicts.map((verdict) => verdict.outcome)).toEqual(['accepted', 'accepted']);
    expect(pool.peer.requests[1]?.params).toEqual(['test/1', 's1']);
    expect(watched.client.stats).toMatchObject({ resumed: 1, resent: 2, lost: 0 });
  });

  it('loses them with another extranonce1, after too long, and when it is stopped', async () => {
    const cut = async (extranonce1: string): Promise<[FakePool, Watched]> => {
      const pool = await poolOf(forgetful(['aa', extranonce1]));
      const watched = await new Watched(pool.port).working(pool);
      watched.client.submit(shareOf(watched.job));
      await until(() => pool.methods.includes('mining.submit'));
      pool.accepting = false;
      pool.peer.drop();
      await until(() => !watched.client.up);
      return [pool, watched];
    };
    const [pool, other] = await cut('bb');
    pool.accepting = true;
    other.clock.advance(60_000);
    await until(() => other.verdicts.length === 1);
    const [, waiting] = await cut('aa');
    waiting.clock.advance(120_001);
    await until(() => waiting.verdicts.length === 1);
    const [, stopped] = await cut('aa');
    stopped.client.stop();
    for (const { verdicts, client } of [other, waiting, stopped]) {
      expect(verdicts).toMatchObject([{ outcome: 'lost' }]);
      expect(client.stats).toMatchObject({ lost: 1, resent: 0 });
    }
  });
});

describe('reconnecting', () => {
  it('backs off while a node drops every connection, and comes up when it stops', async () => {
    const pool = await poolOf();
    pool.accepting = false;
    const watched = new Watched(pool.port);
    for (const [attempt, delayMs] of [500, 1_000, 2_000, 4_000].entries()) {
      await until(() => watched.client.stats.disconnects.upstream_closed === attempt + 1);
      watched.clock.advance(delayMs - 1);
      await settle(20);
      expect(watched.client.stats.connects).toBe(attempt + 1);
      watched.clock.advance(1);
      await until(() => watched.client.stats.connects === attempt + 2);
    }
    expect(watched.told).toEqual([]);
    await until(() => watched.client.stats.disconnects.upstream_closed === 5);
    pool.accepting = true;
    watched.clock.advance(60_000);
    await until(() => watched.told.length === 1);
    expect(watched.told).toEqual(['up']);
  });

  it('starts over with short delays only after a stable connection', async () => {
    const pool = await poolOf();
    const watched = new Watched(pool.port);
    const dropAfter = async (ms: number): Promise<void> => {
      await until(() => watched.client.up);
      watched.clock.advance(ms);
      pool.peer.drop();
      await until(() => !watched.client.up);
    };
    await dropAfter(10);
    watched.clock.advance(500);
    await dropAfter(10);
    watched.clock.advance(500);
    await settle();
    expect(watched.client.up).toBe(false);
    watched.clock.advance(500);
    await dropAfter(60_000);
    watched.clock.advance(500);
    await until(() => watched.client.up);
  });

  it('gives up an attempt that is never completed', async () => {
    const mute = net.createServer();
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    try {
      const connected = new Promise<net.Socket>((resolve) => mute.once('connection', resolve));
      const watched = new Watched((mute.address() as net.AddressInfo).port, { tls: { verify: false } });
      const socket = await connected;
      watched.clock.advance(9_999);
      await settle();
      expect(watched.client.lastFailure).toBeUndefined();
      watched.clock.advance(1);
      await until(() => watched.client.lastFailure === 'upstream_timeout: no connection');
      socket.destroy();
    } finally {
      mute.close();
    }
  });

  it('counts a refused worker', async () => {
    const pool = await poolOf((request, peer) =>
      request.method === 'mining.authorize' ? ok(request, false) : plainPool(request, peer),
    );
    const watched = new Watched(pool.port);
    await until(() => watched.client.stats.disconnects.upstream_refused === 1);
    expect(watched.told).toEqual([]);
    expect(watched.client.lastFailure).toMatch(/^upstream_refused/);
  });

  it('follows client.reconnect to the same host only', async () => {
    const [pool, second, hijacker] = [await poolOf(), await poolOf(), await poolOf()];
    const watched = await new Watched(pool.port).working(pool);
    pool.peer.send(call('client.reconnect', ['localhost', hijacker.port, 0]));
    await until(() => watched.client.stats.redirectsRefused === 1);
    expect(watched.client.up).toBe(true);
    pool.peer.send(call('client.reconnect', ['127.0.0.1', second.port, 3]));
    await until(() => !watched.client.up);
    watched.clock.advance(2_999);
    await settle();
    expect(second.peers).toHaveLength(0);
    watched.clock.advance(1);
    await until(() => watched.client.up);
    expect(second.peers).toHaveLength(1);
    second.peer.drop();
    await until(() => !watched.client.up);
    watched.clock.advance(60_000);
    await until(() => watched.client.up);
    expect([pool.peers.length, second.peers.length, hijacker.peers.length]).toEqual([2, 1, 0]);
  });

  it('follows client.reconnect elsewhere when that is allowed', async () => {
    const [pool, second] = [await poolOf(), await poolOf()];
    const watched = await new Watched(pool.port, { allowRedirect: true }).working(pool);
    pool.peer.send(call('client.reconnect', ['localhost', String(second.port)]));
    await until(() => !watched.client.up);
    watched.clock.advance(60_000);
    await until(() => second.peers.length === 1);
    expect(watched.client.stats.connects).toBe(2);
  });

  it('stops for good', async () => {
    const pool = await poolOf();
    const watched = await new Watched(pool.port).working(pool);
    watched.client.stop();
    watched.client.stop();
    expect(watched.told.at(-1)).toBe('down upstream_closed: stopped');
    watched.clock.advance(600_000);
    await settle();
    expect(watched.client.stats.connects).toBe(1);
    expect(watched.client.up).toBe(false);
  });
});

describe('a hostile upstream', () => {
  it('is left after a line without end, with bounded memory', async () => {
    const pool = await poolOf();
    const watched = await new Watched(pool.port).working(pool);
    const chunk = new Uint8Array(64 * 1024).fill(0x5b);
    for (let sent = 0; sent < LIMITS.upstreamLineBytes + chunk.length; sent += chunk.length)
      pool.peer.raw(chunk);
    await until(() => watched.client.stats.disconnects.upstream_protocol === 1);
    expect(watched.client.stats.bytesIn).toBeLessThan(LIMITS.upstreamLineBytes + 4 * chunk.length);
  });

  it('is left when it reads nothing', async () => {
    const pool = await poolOf();
    const watched = await new Watched(pool.port).working(pool);
    pool.peer.pause();
    const share = shareOf(watched.job);
    for (let turn = 0; turn < 2_000 && watched.client.up; turn += 1) {
      for (let count = 0; count < 100; count += 1) watched.client.submit(share);
      await new Promise((resolve) => setImmediate(resolve));
      expect(watched.client.sharesInFlight).toBeLessThanOrEqual(LIMITS.upstreamSharesInFlight);
    }
    expect(watched.told.at(-1)).toBe('down upstream_timeout: does not read what it is sent');
    await settle(1);
    const { accepted, refused, timeout, lost } = watched.client.stats;
    expect(accepted + refused + timeout).toBe(0);
    expect(watched.verdicts).toHaveLength(lost);
  });

  it('never crashes the client, whatever bytes it sends', async () => {
    const pool = await poolOf();
    const watched = new Watched(pool.port);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.json().map((text) => Buffer.from(`${text}\n`)),
      fc
        .record({
          id: fc.option(fc.nat({ max: 9 })),
          method: fc.constant('mining.notify'),
          params: fc.jsonValue(),
        })
        .map((value) => Buffer.from(`${JSON.stringify(value)}\n`)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { minLength: 1, maxLength: 20 }), async (chunks) => {
        await until(() => watched.client.up, 'the client to be up again');
        const connects = watched.client.stats.connects;
        for (const chunk of chunks) pool.peer.raw(chunk);
        pool.peer.raw('\n');
        pool.peer.drop();
        await until(() => !watched.client.up, 'the end of the connection');
        watched.clock.advance(120_000);
        await until(() => watched.client.stats.connects > connects);
      }),
      { numRuns: 40 },
    );
    await watched.working(pool);
    expect(watched.client.stats.garbageLines).toBeGreaterThan(0);
  });
});
