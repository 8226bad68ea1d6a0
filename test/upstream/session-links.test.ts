import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { concat, toHex } from '../../src/base/bytes.ts';
import { sha256d } from '../../src/base/hash.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { displayHash, headerHash } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import type { Job } from '../../src/jobs/job.ts';
import { JobTable } from '../../src/jobs/job-table.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { upstreamExtranonce2 } from '../../src/upstream/destination.ts';
import {
  destinationOfLink,
  linkMode,
  linkName,
  type SessionLink,
  SessionLinks,
  type SessionLinksOptions,
} from '../../src/upstream/session-links.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { FakePool, type Handler, ok, plainPool, settle, until } from './fake-pool.ts';
import { call, hashOfShare, notify, shareOf } from './work.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/**
 * As a node in audit mode: another long extranonce1 to each, one byte of extranonce2, work after
 * authorize.
 */
function auditPool(): Handler {
  let prefix = 0;
  return (request, peer) => {
    if (request.method === 'mining.subscribe') {
      prefix += 1;
      return ok(request, [[], `aabbccdd${prefix.toString(16).padStart(4, '0')}0102030405`, 1]);
    }
    if (request.method === 'mining.authorize') {
      peer.send(ok(request, true), notify({ jobId: 'first' }));
      return undefined;
    }
    return plainPool(request, peer);
  };
}

async function setup(
  options: Partial<SessionLinksOptions> = {},
  handler: Handler = auditPool(),
  log: Logger = silentLogger,
) {
  const clock = new ManualClock();
  const pool = await FakePool.listen(handler);
  const told: string[] = [];
  const links = new SessionLinks(
    {
      client: {
        ...{ name: 'audit', host: '127.0.0.1', port: pool.port, worker: 'w', password: '' },
        ...{ userAgent: 'test', profile: 'braidpool', timeouts: { tickMs: 5 } },
      },
      tickMs: 5,
      ...options,
    },
    {
      timers: systemTimers,
      ...{ clock, random: systemRandom, log },
      listener: {
        onReady: (link) => told.push(`ready ${link.session}`),
        onJob: (link, job) =>
          told.push(
            `job ${link.session} ${job.upstreamJobId} ${toHex(link.extranonceOf(job).extranonce1)}`,
          ),
        onDown: (link) => told.push(`down ${link.session}`),
        onClosed: (session, code) => told.push(`closed ${session} ${code}`),
        onVerdict: (link, verdict) => told.push(`${verdict.outcome} ${link.name}`),
      },
    },
  );
  closers.push(
    () => pool.close(),
    () => links.stop(),
  );
  links.start();
  return { clock, pool, told, links };
}

describe('the decision', () => {
  it('to share or not follows from the size', () => {
    const sizes = { sessionIdSize: 4, minerExtranonce2Size: 4 };
    expect([1, 4, 7, 8, 12].map((size) => linkMode(size, sizes))).toEqual([
      ...['per_session', 'per_session', 'per_session', 'shared', 'shared'],
    ]);
  });

  it('the name of a link leads back to the destination', () => {
    expect(destinationOfLink(linkName('pool#1', 7))).toBe('pool#1');
    expect(destinationOfLink('plain')).toBe('plain');
  });
});

describe('SessionLinks', () => {
  it('answers from a ready link, and has the next one ready', async () => {
    const { links, pool } = await setup();
    await until(() => links.spare === 2, 'two spare links');
    const first = links.attach(1)!;
    const second = links.attach(2)!;
    expect([first.ready, second.ready]).toEqual([true, true]);
    expect(first.lastExtranonce).toMatchObject({ extranonce2Size: 1 });
    expect(toHex(first.lastExtranonce!.extranonce1)).not.toBe(toHex(second.lastExtranonce!.extranonce1));
    expect([links.of(1), links.byName(first.name)]).toEqual([first, first]);
    await until(() => links.spare === 2);
    expect([links.size, links.attached, pool.peers.length]).toEqual([4, 2, 4]);
  });

  it('tells when a link is ready that was not', async () => {
    const { links, told } = await setup({ spareLinks: 0 });
    const link = links.attach(7)!;
    expect(link.ready).toBe(false);
    await until(() => told.length === 1);
    expect(told).toEqual(['ready 7']);
    expect(link.lastJob?.upstreamJobId).toBe('first');
  });

  it('passes jobs on with the extranonce of each', async () => {
    const { links, pool, told } = await setup({ spareLinks: 0 });
    links.attach(1);
    await until(() => told.length === 1);
    pool.peer.send(notify({ jobId: '2' }));
    pool.peer.send(call('mining.set_extranonce', ['aabbccdd00010908070605', 1]), notify({ jobId: '3' }));
    await until(() => told.length === 3);
    expect(told).toEqual(['ready 1', 'job 1 2 aabbccdd00010102030405', 'job 1 3 aabbccdd00010908070605']);
    expect(links.stats.extranonceChanges).toBe(1);
  });

  it('keeps changes of the extranonce from miners that have an empty one', async () => {
    const { links, pool, told } = await setup({ spareLinks: 0 });
    const link = links.attach(1, true)!;
    await until(() => told.length === 1);
    expect(link.lastExtranonce).toEqual({ extranonce1: new Uint8Array(0), extranonce2Size: 1 });
    pool.peer.send(call('mining.set_extranonce', ['aabbccdd00010908070605', 1]), notify({ jobId: '3' }));
    await until(() => told.length === 2);
    expect(told[1]).toBe('job 1 3 ');
    expect(links.stats.extranonceChanges).toBe(0);
  });

  it('is bounded, and refuses sessions beyond that', async () => {
    const { links } = await setup({ maxLinks: 3, spareLinks: 2 });
    expect([1, 2, 3, 4].map((session) => links.attach(session) !== undefined)).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(links.stats.refused).toBe(1);
    expect(links.full).toBe(true);
    links.detach(2);
    expect(links.attach(4)).toBeDefined();
    expect(links.size).toBe(3);
  });

  it('opens no more connections at once than allowed, and those with a session first', async () => {
    const { links, pool } = await setup({ spareLinks: 3, opening: 2, maxLinks: 10 }, () => undefined);
    await until(() => pool.peers.length === 2);
    links.attach(1);
    links.attach(2);
    await settle();
    expect(pool.peers.length).toBe(2);
    expect(links.size).toBeGreaterThan(2);
  });

  it('never uses a link for a second session', async () => {
    const { links } = await setup({ spareLinks: 1 });
    await until(() => links.spare === 1);
    const first = links.attach(1)!;
    links.detach(1);
    expect(first.ended).toBe(true);
    expect(links.attach(2)).not.toBe(first);
    expect(links.byName(first.name)).toBeUndefined();
  });

  it('waits for the answers to the shares of a session that is gone, but not for ever', async () => {
    let answer = false;
    const pool = auditPool();
    const { links, clock, told } = await setup({ spareLinks: 0 }, (request, peer) =>
      request.method === 'mining.submit' && !answer ? undefined : pool(request, peer),
    );
    const gone = async (session: number): Promise<SessionLink> => {
      const link = links.attach(session)!;
      await until(() => link.ready);
      link.submit(shareOf(link.lastJob!));
      links.detach(session);
      expect(links.byName(link.name)).toBe(link);
      return link;
    };
    const silent = await gone(1);
    clock.advance(5_000);
    await until(() => silent.ended);
    answer = true;
    const answered = await gone(2);
    await until(() => answered.ended);
    expect(told.filter((text) => text.includes('audit#'))).toEqual([
      `lost ${silent.name}`,
      `accepted ${answered.name}`,
    ]);
  });

  it('closes links that idle or never get ready, and says so', async () => {
    const mute = await setup({ spareLinks: 0, readyMs: 1_000 }, () => undefined);
    mute.links.attach(1);
    mute.clock.advance(1_000);
    await until(() => mute.told.length === 1);
    expect(mute.told).toEqual(['closed 1 upstream_timeout']);
    const idle = await setup({ spareLinks: 0, idleMs: 60_000 });
    const link = idle.links.attach(2)!;
    await until(() => link.ready);
    idle.clock.advance(40_000);
    link.submit(shareOf(link.lastJob!));
    await until(() => idle.told.length === 2);
    idle.clock.advance(40_000);
    await settle();
    expect(idle.links.attached).toBe(1);
    idle.clock.advance(20_000);
    await until(() => idle.told.at(-1) === 'closed 2 idle_timeout');
    expect(idle.links.stats.closed).toEqual({ idle_timeout: 1 });
    expect(idle.links.size).toBe(0);
  });

  it('outlives its connection: down, then another extranonce and a job', async () => {
    const { links, pool, clock, told } = await setup({ spareLinks: 0, readyMs: 120_000 });
    links.attach(1);
    await until(() => told.length === 1);
    pool.peer.drop();
    await until(() => told.length === 2);
    clock.advance(60_000);
    await until(() => told.length === 3);
    expect(told.map((text) => text.split(' ')[0])).toEqual(['ready', 'down', 'job']);
    expect(links.stats.extranonceChanges).toBe(1);
  });

  it('sees that an upstream gives the same extranonce1 to all', async () => {
    const { links, pool } = await setup({ spareLinks: 2 }, (request, peer) => {
      if (request.method !== 'mining.authorize') return plainPool(request, peer);
      peer.send(ok(request, true), notify({ jobId: 'first' }));
      return undefined;
    });
    await until(() => links.spare === 2);
    expect(links.stats.sameExtranonces).toBe(1);
    for (const peer of pool.peers) peer.send(notify({ jobId: 'second' }));
    await settle();
    expect(links.stats.sameExtranonces).toBe(1);
    const apart = await setup({ spareLinks: 3 });
    await until(() => apart.links.spare === 3);
    expect(apart.links.stats.sameExtranonces).toBe(0);
  });

  it('leaves it to the destination to say what befalls the upstream', async () => {
    const said: string[] = [];
    const say = (level: string) => (_fields: unknown, message: string) =>
      void said.push(`${level} ${message}`);
    const log: Logger = {
      ...{ debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
      child: () => log,
    };
    const { pool, links } = await setup({ spareLinks: 1 }, auditPool(), log);
    await until(() => links.spare === 1);
    pool.peer.drop();
    await until(() => said.length >= 2);
    expect(said).toEqual(['debug upstream is up', 'debug upstream is down']);
  });

  it('holds its bounds for any history of sessions', async () => {
    const { links, clock } = await setup({ maxLinks: 6, spareLinks: 2 });
    const step = fc.record({
      session: fc.nat({ max: 8 }),
      what: fc.constantFrom('attach', 'detach', 'time'),
    });
    const used = new Set<SessionLink>();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        for (const { session, what } of steps) {
          if (what === 'time') clock.advance(1_000);
          else if (what === 'detach') links.detach(session);
          else if (links.of(session) === undefined) {
            const link = links.attach(session);
            if (link === undefined) expect(links.size).toBe(6);
            else {
              expect(used.has(link)).toBe(false);
              used.add(link);
              expect(links.of(session)).toBe(link);
            }
          }
          expect(links.size).toBeLessThanOrEqual(6);
        }
        await settle(1);
      }),
      { numRuns: 20 },
    );
  });
});

describe('a job of one session', () => {
  const table = new JobTable({
    ...{ run: 1, sessionIdSize: 4, minerExtranonce2Size: 4, versionMask: 0, staleGraceMs: 0 },
  });

  /** The displayed hash of what a miner makes of `mining.notify`, its extranonce1 and extranonce2. */
  function minersHash(job: Job, extranonce1: Uint8Array, extranonce2: Uint8Array, nonce: number): string {
    const coinb1 = job.coinb1.subarray(0, job.coinb1.length - (job.minerExtranonce1Size ?? 0));
    const coinbase = concat(coinb1, extranonce1, extranonce2, job.coinb2);
    const { version, prevHash, bits, time } = job;
    const merkleRoot = merkleRootFromBranches(sha256d(coinbase), job.branches);
    return displayHash(headerHash({ version, prevHash, merkleRoot, time, bits, nonce }));
  }

  it.each([false, true])(
    'is the header the upstream builds (empty extranonce1: %s)',
    async (emptyExtranonce1) => {
      const { links } = await setup({ spareLinks: 0 });
      const link = links.attach(1, emptyExtranonce1)!;
      await until(() => link.ready);
      const upstream = link.lastJob!;
      const own = { minerExtranonce1Size: link.lastExtranonce!.extranonce1.length };
      const job = table.add(link.name, 's', upstream, 0, undefined, own);
      expect(job.extranonceSize).toBe(1);
      const extranonce2 = Uint8Array.of(0x5a);
      const share = shareOf(upstream, {
        extranonce2: upstreamExtranonce2(upstream, extranonce2),
        nonce: 99,
        versionBits: upstream.version & upstream.versionMask,
      });
      expect(minersHash(job, link.lastExtranonce!.extranonce1, extranonce2, 99)).toBe(hashOfShare(share));
      const again = table.refresh(link.name, 5_000)!;
      expect([again.extranonceSize, again.minerExtranonce1Size]).toEqual([1, job.minerExtranonce1Size]);
      expect(() => table.add('shared', 's', upstream, 0)).toThrow(/extranonce_too_small/);
    },
  );
});
