import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import type { Json } from '../../src/base/json.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import type { Logger } from '../../src/log/logger.ts';
import type { MakerDeps } from '../../src/maker/maker-options.ts';
import { LOOK_MS, LOOKS_AT_ONCE } from '../../src/maker/sample-turns.ts';
import { call } from '../../src/peer/calls.ts';
import type { MethodName, Params, WireShare } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { type PeerLink, PeerServer } from '../../src/peer/transport.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { type JobRecord, jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { connectAsMiner } from './impostors.ts';
import { SecondMiner } from './second-miner.ts';
import { type MortalLedger, SHARE, until, World } from './world.ts';

/** What is done in one turn of the event loop, the most of it, and all of it. */
const counter = vi.hoisted(() => {
  const nothing = { signatures: 0, hashed: 0, readBytes: 0, ledgerBytes: 0, lines: 0, said: 0 };
  const [turn, most, all] = [{ ...nothing }, { ...nothing }, { ...nothing }];
  let isOpen = false;
  return {
    ...{ most, all },
    add(what: keyof typeof nothing, by = 1): void {
      if (!isOpen) {
        isOpen = true;
        setImmediate(() => {
          isOpen = false;
          Object.assign(turn, nothing);
        });
      }
      turn[what] += by;
      all[what] += by;
      most[what] = Math.max(most[what], turn[what]);
    },
    clear: (): void => {
      for (const each of [turn, most, all]) Object.assign(each, nothing);
    },
  };
});

vi.mock('tiny-secp256k1', async (original) => {
  const real = await original<Record<string, (...words: unknown[]) => unknown>>();
  const counted = ['sign', 'signSchnorr', 'verify', 'verifySchnorr'].map((name) => [
    name,
    (...words: unknown[]) => {
      counter.add('signatures');
      return real[name]!(...words);
    },
  ]);
  return { ...real, ...Object.fromEntries(counted) };
});

/** A kernel that counts the shares that it hashes. */
function countingKernel(): MakerDeps['kernel'] {
  const kernel = createPortableKernel(64);
  const { run } = kernel;
  kernel.run = (count) => {
    counter.add('hashed', count);
    run.call(kernel, count);
  };
  return kernel;
}

/** A listener that counts what is read. */
const countingServer: MakerDeps['openServer'] = (options, deps) =>
  new PeerServer(options, {
    ...deps,
    onConnection: (link: PeerLink) => {
      const { listen } = link;
      link.listen = (handlers) =>
        listen.call(link, {
          ...handlers,
          onLine: (line) => {
            counter.add('readBytes', line.length);
            counter.add('lines');
            handlers.onLine(line);
          },
        });
      deps.onConnection(link);
    },
  });

const said = (): void => counter.add('said');
const countingLog: Logger = {
  ...{ debug: () => {}, info: said, warn: said, error: said },
  child: () => countingLog,
};

const retained = (): number => {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

/** The budgets are full again after so long. */
const REFILL_MS = 600_000;
const CONNECTIONS = 20;
/** One costly request of the hostile, and a state of the other with its ack. */
const TURN_SIGNATURES = 32;
/** What is no table of ours: buffers, compiled code, the other's records. */
const REST_BYTES = 16 * 1024 * 1024;
const AIMED = [
  ...(['peerJobBytes', 'peerReadBytes', 'peerJunkShares', 'peerRefusedBytes'] as const),
  ...(['peerBlobsPerMinute', 'peerCostlyRequests', 'peerOverruns'] as const),
];

/** What was done since the counter was cleared, so many seconds ago, is within the bounds. */
function expectBounds(seconds: number): void {
  const { most, all } = counter;
  expect(most.signatures).toBeLessThanOrEqual(TURN_SIGNATURES);
  expect(most.hashed).toBeLessThanOrEqual(LIMITS.peerBatchShares);
  expect(all.hashed).toBeLessThanOrEqual(LIMITS.peerJunkShares + 2 * LIMITS.peerBatchShares);
  expect(most.readBytes).toBeLessThanOrEqual(LIMITS.peerTurnBytes + LIMITS.peerLineBytes);
  const pace = LIMITS.peerReadBytes * (1 + seconds / 16);
  expect(all.readBytes + 512 * all.lines).toBeLessThanOrEqual(pace + LIMITS.peerTurnBytes);
  const refusedBytes = LIMITS.peerRefusedBytes * (1 + seconds / 64);
  expect(all.ledgerBytes).toBeLessThanOrEqual(refusedBytes + LIMITS.peerLineBytes);
  // Two lines for each request that may be served meanwhile.
  expect(all.said).toBeLessThanOrEqual(2 * LIMITS.peerCostlyRequests * (1 + seconds / 4));
}

/** All that this ledger is to write is counted. */
function countWrites(ledger: MortalLedger): void {
  const { append } = ledger;
  ledger.append = (entries: readonly LedgerEntry[]) => {
    counter.add(
      'ledgerBytes',
      entries.reduce((sum, { body }) => sum + body.length, 0),
    );
    return append.call(ledger, entries);
  };
}

const turnOver = (): Promise<void> => new Promise((resolve) => systemTimers.afterTurn(resolve));

describe('an allowed miner that does all it can, while another one is paid', () => {
  const world = new World();
  const { contractId } = world;
  const other = new SecondMiner();
  let peer!: RpcPeer;
  let nextSeq = 0;
  let before = 0;
  let skewMs = 0;
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + skewMs };
  const state = async () => (await loadContract(world.minerStore, contractId))!.last!;
  const hits = (limit: keyof typeof LIMITS): number => world.maker.stats.limitHits[limit] ?? 0;

  /** Connected and reestablished, however often it is cut off: once its budget has room again. */
  async function attach(): Promise<void> {
    peer?.close();
    for (;;) {
      peer = await connectAsMiner(world, world.minerSigner);
      const last = await state();
      const asked = { contractId, n: last.n, state: last, nextSeq };
      const answer = await call(peer, 'channel.reestablish', asked).catch(codeOf);
      if (typeof answer !== 'string') {
        nextSeq = answer.nextSeq;
        return;
      }
      peer.close();
    }
  }

  async function flood<M extends MethodName>(
    method: M,
    paramsOf: (sent: number) => Params<M>,
    count: number,
    window = 50,
  ): Promise<void> {
    for (let sent = 0; sent < count && !peer.isClosed; sent += window) {
      const asked = Array.from({ length: window }, (_, index) =>
        call(peer, method, paramsOf(sent + index)).catch(codeOf),
      );
      await Promise.all(asked);
    }
  }

  async function lines(count: number, line: Json): Promise<void> {
    for (let sent = 0; sent < count; sent += 1) peer.connection.send(JSON.stringify(line));
    await peer.request('ping', {}).catch(codeOf);
  }

  const shareOf = (job: JobRecord, nonce: number, difficulty = SHARE.difficulty): WireShare => ({
    ...{ jobId: job.id, difficulty, ntime: job.time, nonce, version: job.version },
    ...{ extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(8) },
  });
  const unknownJob: JobRecord = { ...jobRecordOf(world.job()), id: 999_999 };

  async function batch(shares: readonly WireShare[]): Promise<void> {
    const asked = { contractId, firstSeq: nextSeq, shares: ShareRows.of(shares), workTotal: 0n };
    const answer = await call(peer, 'work.batch', asked).catch(codeOf);
    if (typeof answer !== 'string') nextSeq = answer.nextSeq;
  }

  /** Two jobs whose shares are refused for two reasons and hashed for neither. */
  async function unpaidJobs(): Promise<readonly [JobRecord, JobRecord]> {
    const unbound = jobRecordOf(world.job({ payScriptHex: `0014${'cd'.repeat(20)}` }));
    await call(peer, 'job.announce', { contractId, job: unbound }).catch(codeOf);
    return [unbound, unknownJob];
  }

  const WAYS: Readonly<Record<string, () => Promise<void>>> = {
    jobs: () =>
      flood(
        'job.announce',
        (sent) => {
          const id = 100_000 + sent;
          const job = {
            ...unknownJob,
            id,
            wireId: id.toString(16),
            coinb2: new Uint8Array(32_000).fill(1),
          };
          return { contractId, job };
        },
        540,
        10,
      ),
    'junk shares': async () => {
      const job = jobRecordOf(world.job());
      await call(peer, 'job.announce', { contractId, job }).catch(codeOf);
      for (let sent = 0; sent < 40 && !peer.isClosed; sent += 1)
        await batch(Array.from({ length: 256 }, (_, at) => shareOf(job, sent * 256 + at, 2 ** 20)));
    },
    'shares of unknown jobs': async () => {
      for (let sent = 0; sent < 40 && !peer.isClosed; sent += 1)
        await batch(Array.from({ length: 256 }, (_, at) => shareOf(unknownJob, at)));
    },
    'shares that are refused in turn for two reasons': async () => {
      const jobs = await unpaidJobs();
      await batch(Array.from({ length: 1_000 }, (_, at) => shareOf(jobs[at % 2]!, at)));
      await batch(Array.from({ length: 1_000 }, (_, at) => shareOf(jobs[at % 2]!, at)));
      for (let sent = 0; sent < 400 && !peer.isClosed; sent += 1) await batch([shareOf(jobs[0], sent)]);
    },
    'a batch again and again': () =>
      flood(
        'work.batch',
        () => ({
          ...{ contractId, firstSeq: nextSeq + 1, workTotal: 0n },
          shares: ShareRows.of(
            Array.from({ length: LIMITS.peerBatchShares }, (_, at) => shareOf(unknownJob, at)),
          ),
        }),
        12,
        4,
      ),
    pings: async () => {
      for (let sent = 0; sent < 10; sent += 1)
        await Promise.all(Array.from({ length: 100 }, () => peer.request('ping', {}).catch(codeOf)));
    },
    'answers to nothing': () => lines(2_000, { jsonrpc: '2.0', id: 1, result: null }),
    'long lines': async () => {
      const line = { jsonrpc: '2.0', id: 1, result: 'z'.repeat(LIMITS.peerLineBytes / 2) };
      for (let sent = 0; sent < 400 && hits('peerReadBytes') === 0; sent += 4) await lines(4, line);
    },
    'errors that it reports': () =>
      lines(1_000, { jsonrpc: '2.0', method: 'error', params: { code: 'x', message: 'y'.repeat(400) } }),
    'methods that are none': async () => {
      for (let sent = 0; sent < 8; sent += 1)
        await Promise.all(Array.from({ length: 100 }, () => peer.request('no.such', {}).catch(codeOf)));
    },
    blobs: () =>
      flood('peer_storage.put', () => ({ contractId, blob: 'A'.repeat(LIMITS.peerBlobChars) }), 100, 10),
    proposals: () => flood('contract.propose', (sent) => PROPOSALS[sent % PROPOSALS.length]!, 300),
    quotes: () => flood('market.offer', () => ({}), 300),
    'a state of its own': async () => {
      const last = await state();
      const shown = { ...last, receiptSignature: '11'.repeat(64) };
      await flood('channel.reestablish', () => ({ contractId, n: last.n, state: shown, nextSeq }), 300);
    },
    'reestablishing again and again': async () => {
      const last = await state();
      await flood('channel.reestablish', () => ({ contractId, n: last.n, state: last, nextSeq }), 300, 1);
    },
    'ready again and again': () =>
      flood('channel.ready', () => ({ contractId, txid: 'ab'.repeat(32), height: 1 }), 300),
    'ends that are none': async () => {
      const { n } = await state();
      const asked = { contractId, n, feeSat: 500n, signature: '11'.repeat(64) };
      await flood('close.sig', () => asked, 300);
    },
    'connections again and again': async () => {
      for (let made = 0; made < CONNECTIONS; made += 1) {
        const each = await connectAsMiner(world, world.minerSigner);
        await call(each, 'channel.reestablish', { contractId, n: 0, state: await state(), nextSeq }).catch(
          codeOf,
        );
        each.close();
      }
    },
  };
  const PROPOSALS = Array.from({ length: 20 }, (_, at) => {
    const terms = { ...world.terms, nonceHex: at.toString(16).padStart(32, '0') };
    return { terms, signature: signTerms(terms, world.minerSigner) };
  });

  beforeAll(async () => {
    const policy = { ...world.policy, maxTotalBudgetSat: 4_000_000n };
    const allowedNodeIds = new Set([world.terms.minerNodeId, other.nodeId]);
    await world.startMaker(
      { allowedNodeIds, policy },
      { kernel: countingKernel(), openServer: countingServer!, log: countingLog, clock },
    );
    await world.startMiner();
    await until('funding', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await until('state 1', () => world.maker.status[0]?.ackedN === 1);
    await world.miner.stop();
    await other.open(world);
    before = retained();
    countWrites(world.makerLedger);
  });
  afterAll(async () => {
    peer?.close();
    await other.stop();
    await world.stop();
  });

  it.each(Object.keys(WAYS))('%s: within the bounds of a turn and of a budget', async (name) => {
    skewMs += REFILL_MS;
    await attach();
    await other.earn();
    counter.clear();
    const startMs = performance.now();
    const earned = other.earn();
    await WAYS[name]!();
    await turnOver();
    await earned;
    expectBounds((performance.now() - startMs) / 1000);
  });

  it('and was stopped at each bound by the way that aims at it', () => {
    for (const limit of AIMED) expect(hits(limit), limit).toBeGreaterThan(0);
  });

  it('keeps no more in memory than it may, and one blob', async () => {
    const { maxOpenContractsPerMiner } = world.policy;
    expect(world.maker.status.length).toBeLessThanOrEqual(2 + maxOpenContractsPerMiner);
    expect(retained() - before).toBeLessThanOrEqual(2 * LIMITS.peerJobBytes + REST_BYTES);
    expect((await world.makerBlobs.read(contractId))?.length ?? 0).toBeLessThanOrEqual(
      LIMITS.peerBlobChars,
    );
  });
});

/** Every job is drawn. */
const SAMPLED = { samplePpm: 1_000_000, sampleSeconds: 10 };
const DRAWN = 400;
const JUNK = 'ab'.repeat(LIMITS.peerLineBytes / 4);
const IDS = Array.from({ length: LIMITS.templateTransactions }, (_, at) =>
  at.toString(16).padStart(16, '0'),
);

describe('a miner that answers samples with all that it can, while another one is paid', () => {
  const world = new World({ isVersion3: true, binding: SAMPLED });
  const { contractId } = world;
  const other = new SecondMiner();
  const asked = { now: 0, most: 0, all: 0 };
  let peer!: RpcPeer;

  beforeAll(async () => {
    const { blocks } = world.source;
    const { mempoolTxids } = blocks!;
    Object.assign(blocks!, {
      mempoolTxids: async () => {
        asked.now += 1;
        asked.all += 1;
        asked.most = Math.max(asked.most, asked.now);
        // A node takes its time over a full mempool.
        await turnOver();
        return mempoolTxids().finally(() => {
          asked.now -= 1;
        });
      },
    });
    const allowedNodeIds = new Set([world.terms.minerNodeId, other.nodeId]);
    const policy = { ...world.policy, maxTotalBudgetSat: 4_000_000n };
    await world.startMaker(
      { allowedNodeIds, policy },
      { kernel: countingKernel(), openServer: countingServer!, log: countingLog },
    );
    await world.startMiner();
    await until('funding', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('live', () => world.miner.status.live);
    await world.miner.stop();
    await other.open(world);
    countWrites(world.makerLedger);
  });
  afterAll(async () => {
    peer?.close();
    await other.stop();
    await world.stop();
  });

  it('is asked for four jobs at once and eight a second, whatever it announces and answers', async () => {
    const { last } = (await loadContract(world.minerStore, contractId))!;
    let answered = 0;
    peer = await connectAsMiner(world, world.minerSigner, {
      'work.template': async () => {
        answered += 1;
        // A whole block of names first, then what costs the maker a question to its node as well.
        const named = IDS.slice(0, answered > LOOKS_AT_ONCE ? 1 : IDS.length);
        return { short_ids: Buffer.from(named.join(''), 'hex').toString('base64') };
      },
      'work.transactions': async () => ({ transactions: [JUNK] }),
    });
    await call(peer, 'channel.reestablish', { contractId, n: last!.n, state: last, nextSeq: 0 });
    await other.earn();
    const before = retained();
    counter.clear();
    const startMs = performance.now();
    const first = jobRecordOf(world.job());
    const announced = Array.from({ length: DRAWN }, (_, at) => {
      const job = { ...first, id: 200_000 + at, wireId: (200_000 + at).toString(16) };
      return call(peer, 'job.announce', { contractId, job }).catch(codeOf);
    });
    await Promise.all(announced);
    const { limitHits } = world.maker.stats;
    const isHeld = (): boolean => (limitHits['peerSamples'] ?? 0) > 0;
    await until('it is asked no faster', () => isHeld() || asked.most > LOOKS_AT_ONCE);
    for (let paid = 0; paid < 3; paid += 1) await other.earn();
    const seconds = (performance.now() - startMs) / 1000;
    expectBounds(seconds);
    expect(asked.most).toBeLessThanOrEqual(LOOKS_AT_ONCE);
    const mostLooks = LIMITS.peerSamples + (1000 / LOOK_MS) * seconds + 1;
    expect(Math.max(answered, asked.all)).toBeLessThanOrEqual(mostLooks);
    const most = LIMITS.peerJobBytes + LOOKS_AT_ONCE * 4 * LIMITS.templateBytes + REST_BYTES;
    expect(retained() - before).toBeLessThanOrEqual(most);
  });
});
