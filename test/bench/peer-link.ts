import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import type { TipTracker } from '../../src/chain/tip-tracker.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import type { Job } from '../../src/jobs/job.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BatchVerifier, DEFAULT_BATCH_VERIFIER_OPTIONS } from '../../src/maker/batch-verifier.ts';
import { coinbaseBinding } from '../../src/maker/job-binding.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { MinerFeed } from '../../src/miner/miner-feed.ts';
import { handler } from '../../src/peer/calls.ts';
import type { FeatureSet } from '../../src/peer/features.ts';
import { DEFAULT_RPC, RpcPeer } from '../../src/peer/rpc-peer.ts';
import type { PeerLink } from '../../src/peer/transport.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { NOTHING_DELIVERED } from '../../src/settlement/records.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { type AcceptedShare, shareTargetOf } from '../../src/shares/share.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { Meters } from '../../src/work/meters.ts';
import { MAKER_SCRIPT_HEX, World } from '../maker/world.ts';
import { ShareFinder } from '../shares/share-finder.ts';
import { sampleJob } from '../work/samples.ts';
import { median } from './median.ts';
import { type PartCosts, PartProfiler, type Profile, perShare, spread } from './part-profiler.ts';

const SHARE = shareTargetOf(2 ** -31);
const BRANCHES = 12;
/** What a feed sends at once, where there is as much. */
const BATCH = LIMITS.peerBatchShares;
const CONTRACT = 'ab'.repeat(32);

/** What one share of a contract costs on the way from the proxy's ledger to that of the maker. */
export type PeerLinkRow = {
  readonly format: 'packed' | 'listed';
  readonly batchShares: number;
  /** CPU of the proxy: read from its ledger, printed, sent. */
  readonly sendMicros: number;
  /** CPU of the maker: parsed, verified, credited in its ledger, answered. */
  readonly verifyMicros: number;
  /** The same without what other threads take, which is the writer of the ledger; over the bare kernel. */
  readonly judgeMicros: number;
  readonly judgeTimesKernel: number;
  /** CPU of the bare kernel for the same shares, in the same run. */
  readonly kernelMicros: number;
  readonly bytes: number;
};

/** A link whose other end is a function. */
class Wire implements Pick<PeerLink, 'send' | 'listen' | 'close'> {
  readonly remoteAddress = 'bench';
  readonly exporter = new Uint8Array(32);
  readonly closed = new Promise<never>(() => {});
  bytes = 0;
  onSent: (line: string) => void = () => {};
  deliver: (line: string) => void = () => {};
  #onClose: (reason: CodedError) => void = () => {};

  send(text: string): void {
    this.bytes += Buffer.byteLength(text) + 1;
    this.onSent(text);
  }
  listen({ onLine, onClose }: Parameters<PeerLink['listen']>[0]): void {
    this.deliver = onLine;
    this.#onClose = onClose;
  }
  close(): void {
    this.#onClose(new CodedError('peer_closed'));
  }
}

function peerOf(wire: Wire, features: FeatureSet): RpcPeer {
  const options = { ...DEFAULT_RPC, requestTimeoutMs: 600_000, pingIntervalMs: 600_000 };
  const peer = new RpcPeer(wire as unknown as PeerLink, options, {
    log: silentLogger,
    timers: systemTimers,
  });
  peer.features = features;
  return peer;
}

const kernel = createKernel(1024);
const finder = new ShareFinder(kernel);

/** Shares of one job, which pays the maker; each with an extranonce of its own, as sessions have. */
function mined(job: Job, count: number): AcceptedShare[] {
  return finder.find(job, count, SHARE, (share) => {
    const extranonce = new Uint8Array(job.extranonceSize);
    new DataView(extranonce.buffer).setUint32(4, share.nonce);
    return { ...share, extranonce };
  });
}

function jobOf(): Job {
  const outputs = [{ script: fromHex(MAKER_SCRIPT_HEX), valueSat: 312_500_000n }];
  const coinbase = buildCoinbase({ height: 900_000, extranonceSize: 8, tag: new Uint8Array(60), outputs });
  const branches = Array.from({ length: BRANCHES }, (_, index) => new Uint8Array(32).fill(index));
  const time = Math.floor(systemClock.nowMs() / 1000);
  return sampleJob(1, CONTRACT, { ...coinbase, branches, time, bits: 0x1d00ffff, versionMask: 0x1fffe000 });
}

/** A maker's half of one contract: what answers the lines of a proxy. */
async function makerOf(ledger: Ledger, wire: Wire, job: Job): Promise<BatchVerifier> {
  const world = new World();
  const terms: ContractTerms = {
    ...{ ...world.terms, maxTargetHex: targetToHex(SHARE.target) },
    ...{ workTotalHashes: 10n ** 15n, stepHashes: 10n ** 9n },
  };
  const signer = new SeedSigner({ seed: new Uint8Array(32).fill(1), network: 'regtest' });
  const parts = { clock: systemClock, timers: systemTimers };
  const deps = { ...parts, ledger, log: silentLogger, signer, blobFiles: blobsInMemory() };
  const signatures = { minerSignature: '00'.repeat(64), makerSignature: '00'.repeat(64) };
  const contract = { version: 1, role: 'maker' as const, terms, ...signatures, channelIndex: 0 };
  const store = MakerStore.create(CONTRACT, contract as never, deps as never);
  const standing = { status: 'current', height: 10, bits: 1 } as const;
  const verifier = new BatchVerifier(
    store,
    { ...DEFAULT_BATCH_VERIFIER_OPTIONS, fixedTarget: true },
    {
      ...{ ...parts, verifier: new ShareVerifier({ kernel }), restored: { heightFor: () => 0 } },
      view: { standing: async () => standing } as unknown as TipTracker,
      binding: coinbaseBinding(terms),
    },
  );
  await verifier.announce(jobRecordOf(job));
  peerOf(wire, new Set()).serve(
    { 'work.batch': handler('work.batch', (batch) => verifier.take(batch)) },
    'unknown_method',
  );
  return verifier;
}

type Cpu = { readonly all: NodeJS.CpuUsage; readonly own: NodeJS.CpuUsage };

function cpuNow(): Cpu {
  return { all: process.cpuUsage(), own: process.threadCpuUsage() };
}

/** CPU time since, in microseconds: of all threads, and of this one. */
function cpuMicros(since: Cpu): { readonly all: number; readonly own: number } {
  const sum = ({ user, system }: NodeJS.CpuUsage): number => user + system;
  return { all: sum(process.cpuUsage(since.all)), own: sum(process.threadCpuUsage(since.own)) };
}

/** A proxy's ledger that has these shares. */
async function creditedLedger(shares: readonly AcceptedShare[], folder: string): Promise<Ledger> {
  const ledger = await openSqliteLedger({ path: join(folder, 'proxy') }, { log: silentLogger });
  const meters = new Meters();
  for (let first = 0; first < shares.length; first += BATCH)
    await meters.commit(ledger, shares.slice(first, first + BATCH));
  return ledger;
}

/** The lines in which a proxy sends all shares of its ledger, which is closed then, and the CPU that took. */
async function sent(
  ledger: Ledger,
  total: number,
  features: FeatureSet,
): Promise<{ readonly lines: readonly string[]; readonly micros: number; readonly bytes: number }> {
  const wire = new Wire();
  const lines: string[] = [];
  const ended = Promise.withResolvers<void>();
  let judged = 0;
  wire.onSent = (line) => {
    const { id, method, params } = JSON.parse(line.replace(/"packed":"[^"]*"/, '"packed":""')) as Request;
    const count = method === 'work.batch' ? Math.min(BATCH, total - params.first_seq) : 0;
    if (count > 0) lines.push(line);
    const result =
      count === 0 ? {} : { next_seq: params.first_seq + count, verified_work: '0', refused: [] };
    setImmediate(() => wire.deliver(JSON.stringify({ jsonrpc: '2.0', id, result })));
  };
  const peer = peerOf(wire, features);
  peer.serve({ ping: async () => ({}) }, 'unknown_method');
  const feed = new MinerFeed(
    peer,
    { contractId: CONTRACT, batchWindow: 4, batchIntervalMs: 0 },
    {
      ...{ ledger, clock: systemClock, timers: systemTimers, durableSeq: () => total },
      onJudged: ({
        shares: {
          rows: { length },
        },
      }) => {
        judged += length;
        if (judged === total) ended.resolve();
      },
    },
  );
  await feed.seek(0, NOTHING_DELIVERED);
  const begun = cpuNow();
  const run = feed.run();
  await ended.promise;
  const micros = cpuMicros(begun).all;
  feed.stop();
  await run;
  wire.close();
  await ledger.close();
  return { lines, micros, bytes: wire.bytes };
}

type Request = {
  readonly id: number;
  readonly method: string;
  readonly params: { readonly first_seq: number };
};

async function verified(
  lines: readonly string[],
  job: Job,
  shares: number,
  folder: string,
): Promise<{ readonly all: number; readonly own: number }> {
  const ledger = await openSqliteLedger({ path: join(folder, 'maker') }, { log: silentLogger });
  const wire = new Wire();
  const verifier = await makerOf(ledger, wire, job);
  const begun = cpuNow();
  for (const line of lines) {
    const answered = Promise.withResolvers<string>();
    wire.onSent = answered.resolve;
    wire.deliver(line);
    const answer = await answered.promise;
    if (answer.includes('"error"')) throw new Error(answer.slice(0, 300));
  }
  const micros = cpuMicros(begun);
  if (verifier.stats.sharesCredited !== shares)
    throw new Error(
      `${verifier.stats.sharesCredited} of ${shares}: ${JSON.stringify(verifier.stats.refused)}`,
    );
  wire.close();
  await ledger.close();
  return micros;
}

function hashed(shares: readonly AcceptedShare[], job: Job): number {
  const handle = kernel.addJob(job);
  const begun = cpuNow();
  for (let first = 0; first < shares.length; first += 1024) {
    const part = shares.slice(first, first + 1024);
    for (const [slot, { submission }] of part.entries()) {
      const { extranonce, ntime, nonce: found, version } = submission;
      kernel.setShare(slot, handle, extranonce, ntime, found, version);
    }
    kernel.run(part.length);
  }
  const micros = cpuMicros(begun).own;
  kernel.removeJob(handle);
  return micros;
}

/** CPU time by part, in microseconds, of what runs meanwhile. */
async function partsOf(run: () => Promise<void>): Promise<Profile> {
  const profiler = new PartProfiler();
  await profiler.start();
  const begun = cpuNow();
  await run();
  const { own, all } = cpuMicros(begun);
  return { ...spread(await profiler.stop(), own), 'ledger thread': all - own };
}

/** Both ends of the link by part, packed, after a first round that compiles the code. */
export async function profilePeerLink(count = 65_536): Promise<PartCosts[]> {
  let costs: PartCosts[] = [];
  for (let round = 0; round < 2; round += 1) {
    const job = jobOf();
    const shares = mined(job, count);
    const folder = mkdtempSync(join(tmpdir(), 'peer-link-'));
    try {
      let lines: readonly string[] = [];
      const ledger = await creditedLedger(shares, folder);
      const proxy = await partsOf(async () => {
        ({ lines } = await sent(ledger, shares.length, new Set(['packed_shares'])));
      });
      const maker = await partsOf(async () => void (await verified(lines, job, count, folder)));
      costs = [
        { what: 'link, proxy', micros: perShare(proxy, count) },
        { what: 'link, maker', micros: perShare(maker, count) },
      ];
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return costs;
}

/** Medians over rounds in which the formats and the kernel take turns. */
export async function measurePeerLink(
  options: { readonly shares?: number; readonly rounds?: number } = {},
): Promise<PeerLinkRow[]> {
  const { shares: count = 65_536, rounds = 5 } = options;
  const batchShares = Math.min(count, BATCH);
  const formats = [
    { format: 'packed', features: new Set(['packed_shares']) as FeatureSet },
    { format: 'listed', features: new Set() as FeatureSet },
  ] as const;
  const seen = formats.map(() => ({
    send: [] as number[],
    all: [] as number[],
    own: [] as number[],
    bytes: 0,
  }));
  const bare: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const job = jobOf();
    const shares = mined(job, count);
    for (const [index, { features }] of formats.entries()) {
      const folder = mkdtempSync(join(tmpdir(), 'peer-link-'));
      try {
        const ledger = await creditedLedger(shares, folder);
        const { lines, micros, bytes } = await sent(ledger, count, features);
        seen[index]!.send.push(micros / count);
        seen[index]!.bytes = bytes / count;
        const { all, own } = await verified(lines, job, count, folder);
        seen[index]!.all.push(all / count);
        seen[index]!.own.push(own / count);
      } finally {
        rmSync(folder, { recursive: true });
      }
      bare.push(hashed(shares, job) / count);
    }
  }
  return formats.map(({ format }, index) => ({
    ...{ format, batchShares, bytes: seen[index]!.bytes, kernelMicros: median(bare) },
    sendMicros: median(seen[index]!.send),
    verifyMicros: median(seen[index]!.all),
    judgeMicros: median(seen[index]!.own),
    judgeTimesKernel: median(
      seen[index]!.own.map((own, round) => own / bare[round * formats.length + index]!),
    ),
  }));
}

export function peerLinkTable(rows: readonly PeerLinkRow[]): string {
  const lines = rows.map(
    (row) =>
      `${row.format.padEnd(8)} ${String(row.batchShares).padStart(6)} ${row.sendMicros.toFixed(2).padStart(14)} ` +
      `${row.verifyMicros.toFixed(2).padStart(15)} ${row.judgeMicros.toFixed(2).padStart(14)} ` +
      `${row.kernelMicros.toFixed(2).padStart(10)} ${row.judgeTimesKernel.toFixed(2).padStart(12)} ` +
      `${row.bytes.toFixed(1).padStart(12)}`,
  );
  return [
    'shares    batch  proxy us/share  maker us/share  before ledger  kernel us  times kernel  bytes/share',
    ...lines,
    '',
  ].join('\n');
}

if (import.meta.main) process.stdout.write(peerLinkTable(await measurePeerLink()));
