import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { targetOfCompact } from '../../src/bitcoin/target.ts';
import { type BraidpoolNode, startBraidpoolNode } from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { type DevnetPool, type DevnetPoolOptions, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BeadWatch, beadPayoutAddress } from '../../src/upstream/bead-watch.ts';
import { BraidpoolRpc } from '../../src/upstream/braidpool-rpc.ts';
import type { DestinationListener } from '../../src/upstream/destination.ts';
import { PoolDestination, type PoolDestinationOptions } from '../../src/upstream/pool-destination.ts';
import type { UpstreamShare } from '../../src/upstream/upstream-share.ts';
import { until } from './fake-pool.ts';
import { hashOfShare, shareOf } from './work.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const deps = { clock: systemClock, log: silentLogger, random: systemRandom };

async function poolOf(options: DevnetPoolOptions = {}): Promise<{ pool: DevnetPool; chain: DevnetChain }> {
  const chain = new DevnetChain({ bits: 0x1f00ffff }, { clock: systemClock });
  const pool = await startDevnetPool({ difficulty: 2 ** -28, ...options }, { chain, ...deps });
  closers.push(() => pool.close());
  return { pool, chain };
}

function destinationTo(
  port: number,
  options: Partial<PoolDestinationOptions> = {},
  listener: DestinationListener = {},
): PoolDestination {
  const destination = new PoolDestination(
    {
      ...{ name: 'there', host: '127.0.0.1', port, worker: 'bcrt1qmaker.proxy', password: '' },
      ...{
        userAgent: 'test',
        profile: 'generic',
        backoff: { baseMs: 20, maxMs: 50 },
        timeouts: { tickMs: 5 },
      },
      ...options,
    },
    { timers: systemTimers, ...deps, listener },
  );
  closers.push(() => destination.stop());
  destination.start();
  return destination;
}

let nonces = 0;

/** The next share of a job that meets its target and is no block, which would make the next one stale. */
function mined(job: UpstreamJob): UpstreamShare {
  const blockTarget = targetOfCompact(job.bits);
  for (;;) {
    nonces += 1;
    const share = shareOf(job, { nonce: nonces });
    const hash = BigInt(`0x${hashOfShare(share)}`);
    if (hash <= job.target && hash > blockTarget) return share;
  }
}

describe('what real ones write', () => {
  it.each([
    ['clean_jobs as 0 and 1, difficulty as text', { cleanJobs: 'number', difficulty: 'text' }],
    ['no clean_jobs', { cleanJobs: 'missing' }],
  ] as const)('%s: every job is given out, and shares are taken', async (_what, writes) => {
    const { pool } = await poolOf({ writes });
    const destination = destinationTo(pool.port);
    await until(() => destination.lastJob !== undefined);
    expect(destination.client.difficulty).toBe(2 ** -28);
    const { jobs } = destination.client.stats;
    pool.announce(true);
    await until(() => destination.client.stats.jobs > jobs);
    let outcome = '';
    destination.submit(mined(destination.lastJob!), (verdict) => {
      ({ outcome } = verdict);
    });
    await until(() => outcome !== '');
    expect(outcome).toBe('accepted');
    expect(destination.client.stats).toMatchObject({ garbageLines: 0, unknownMethods: 0 });
  });

  it('a Braidpool node of 2025: the mask in decimal rolls the bits it stands for', async () => {
    const chain = new DevnetChain({ bits: 0x1f00ffff }, { clock: systemClock });
    const node = await startBraidpoolNode({ profile: 'of2025' }, { chain, ...deps });
    closers.push(() => node.close());
    const destination = destinationTo(node.port, { profile: 'braidpool' });
    await until(() => destination.lastJob !== undefined);
    expect(destination.client.versionMask).toBe(0x1fffe000);
    expect(destination.mode).toBe('per_session');
    expect(destination.lastJob?.versionMask).not.toBe(0);
  });
});

describe('a simulated pool', () => {
  it('resumes the session, and takes a share that was made while it was gone', async () => {
    const { pool } = await poolOf();
    const destination = destinationTo(pool.port);
    await until(() => destination.lastJob !== undefined);
    const job = destination.lastJob!;
    const outcomes: string[] = [];
    const tell = ({ outcome }: { outcome: string }): void => void outcomes.push(outcome);
    destination.submit(mined(job), tell);
    await until(() => outcomes.length === 1);
    pool.disconnectAll();
    await until(() => !destination.client.up);
    destination.submit(mined(job), tell);
    await until(() => outcomes.length === 2);
    expect(outcomes).toEqual(['accepted', 'accepted']);
    expect(destination.client.stats).toMatchObject({ resumed: 1, resent: 1, lost: 0 });
  });

  it('starts a new session when it forgot the old one', async () => {
    const { pool } = await poolOf({ resumeMs: 0 });
    const destination = destinationTo(pool.port);
    await until(() => destination.lastJob !== undefined);
    const job = destination.lastJob!;
    pool.disconnectAll();
    await until(() => !destination.client.up);
    let outcome = '';
    destination.submit(mined(job), (verdict) => {
      outcome = verdict.outcome;
    });
    await until(() => outcome !== '');
    expect(outcome).toBe('lost');
    await until(() => destination.client.up);
    expect(destination.client.stats).toMatchObject({ resumed: 0, resent: 0 });
  });
});

describe('a simulated node in audit mode', () => {
  async function audit(listener: DestinationListener = {}): Promise<{
    pool: DevnetPool;
    chain: DevnetChain;
    node: BraidpoolNode;
    destination: PoolDestination;
  }> {
    const { pool, chain } = await poolOf();
    const node = await startBraidpoolNode(
      {
        audit: { upstream: { host: '127.0.0.1', port: pool.port, username: 'bcrt1qnode' } },
        profile: 'asIs',
      },
      { chain, ...deps },
    );
    closers.push(() => node.close());
    const destination = destinationTo(node.port, { profile: 'braidpool', links: { tickMs: 5 } }, listener);
    return { pool, chain, node, destination };
  }

  it('gets a connection for each session, and shares of each are beads that pay the right address', async () => {
    const { node, destination } = await audit();
    await until(() => destination.links.spare === 2, 'spare links');
    expect(destination.mode).toBe('per_session');
    const links = [destination.links.attach(1)!, destination.links.attach(2)!];
    const rpc = new BraidpoolRpc({ url: node.rpcUrl }, { timers: systemTimers });
    const watch = new BeadWatch(
      { tickMs: 5 },
      { timers: systemTimers, ...deps, getBead: (hash) => rpc.getBead(hash) },
    );
    closers.push(
      () => watch.stop(),
      () => rpc.close(),
    );
    watch.start();
    const extranonces = links.map((link) => toHex(link.lastExtranonce!.extranonce1));
    expect(new Set(extranonces).size).toBe(2);
    expect(links.map((link) => link.lastExtranonce!.extranonce2Size)).toEqual([1, 1]);
    for (const link of links) {
      const share = mined(link.lastJob!);
      const token = {};
      destination.submit(
        share,
        ({ outcome }) => {
          if (outcome === 'accepted')
            watch.forwarded(hashOfShare(share), beadPayoutAddress('bcrt1qmaker.proxy', 'audit'));
        },
        token,
        link,
      );
      destination.judged(token, true);
    }
    await until(() => watch.stats.confirmed === 2, 'two beads');
    expect(destination.figures.verdicts).toMatchObject({ weAcceptedTheyAccepted: 2 });
    expect(destination.health.verdicts).toBe(2);
    expect(node.audit!.records()).toHaveLength(2);
  });

  it('moves every session to a new extranonce1 with the next generation', async () => {
    const told: string[] = [];
    const { node, pool, chain, destination } = await audit({
      links: {
        onJob: (link) => told.push(`job ${link.session}`),
      },
    });
    await until(() => destination.links.spare === 2, 'spare links');
    const link = destination.links.attach(5)!;
    const before = link.lastExtranonce!;
    let outcome = '';
    const submit = async (): Promise<string> => {
      outcome = '';
      destination.submit(
        mined(link.lastJob!),
        (verdict) => {
          outcome = verdict.outcome;
        },
        undefined,
        link,
      );
      await until(() => outcome !== '');
      return outcome;
    };
    expect(await submit()).toBe('accepted');
    expect(pool.host).toBe('127.0.0.1');
    chain.generate(1);
    await until(() => told.includes('job 5'));
    expect(destination.links.stats.extranonceChanges).toBe(1);
    const [old, now] = [toHex(before.extranonce1), toHex(link.lastExtranonce!.extranonce1)];
    expect(now).not.toBe(old);
    expect(now.slice(0, -10)).toBe(old.slice(0, -10));
    expect(now.slice(-10)).toBe(node.audit!.commitment);
    expect(await submit()).toBe('accepted');
  });
});
