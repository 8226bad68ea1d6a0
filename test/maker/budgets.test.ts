import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { call } from '../../src/peer/calls.ts';
import type { MethodName, Params, WireShare } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { loadContract } from '../../src/settlement/records.ts';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { type JobRecord, jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { connectAsMiner, serveAsMaker } from './impostors.ts';
import { MAKER_SCRIPT_HEX, SHARE, until, World } from './world.ts';

/** The codes of the answers, until the connection ends or so many were sent at once, window by window. */
async function flood<M extends MethodName>(
  peer: RpcPeer,
  method: M,
  paramsOf: (sent: number) => Params<M>,
  count: number,
  window = 50,
): Promise<string[]> {
  const codes: string[] = [];
  for (let sent = 0; sent < count && !peer.isClosed; sent += window) {
    const asked = Array.from({ length: window }, (_, index) =>
      call(peer, method, paramsOf(sent + index)).then(() => 'answered', codeOf),
    );
    codes.push(...(await Promise.all(asked)));
  }
  return codes;
}

const count = (codes: readonly string[], code: string): number =>
  codes.filter((each) => each === code).length;

describe('an allowed miner that means harm', () => {
  const world = new World();
  const { contractId } = world;
  let nextSeq = 0;

  /** Reestablished, as the miner of this world. */
  async function attach(): Promise<RpcPeer> {
    const peer = await connectAsMiner(world, world.minerSigner);
    const { last } = (await loadContract(world.minerStore, contractId))!;
    const { n } = last!;
    const answer = await call(peer, 'channel.reestablish', { contractId, n, state: last!, nextSeq });
    nextSeq = answer.nextSeq;
    return peer;
  }
  const hits = (limit: keyof typeof LIMITS): number => world.maker.stats.limitHits[limit] ?? 0;
  const jobOf = (id: number, bytes: number): JobRecord => {
    const job = jobRecordOf(world.job());
    return { ...job, id, wireId: id.toString(16), coinb2: new Uint8Array(bytes).fill(1) };
  };
  const shareOf = (jobId: number, nonce: number): WireShare => ({
    ...{ jobId, difficulty: SHARE.difficulty, ntime: 1, nonce, version: 1 },
    ...{ extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(8) },
  });

  beforeAll(async () => {
    await world.open();
    await world.work(4);
    await until('state 1', () => world.maker.status[0]?.ackedN === 1);
    await world.miner.stop();
  });
  afterAll(() => world.stop());

  it('has no more of its jobs remembered than fit a budget of bytes', async () => {
    const peer = await attach();
    const bytes = 32_000;
    const most = Math.ceil(LIMITS.peerJobBytes / bytes);
    const codes = await flood(
      peer,
      'job.announce',
      (sent) => ({ contractId, job: jobOf(sent + 1000, bytes) }),
      most + 100,
      10,
    );
    expect(count(codes, 'answered')).toBeGreaterThan(most);
    expect(hits('peerJobBytes')).toBeGreaterThanOrEqual(50);
    peer.close();
  });

  it('has a bounded number of junk shares hashed, and is cut off when it goes on', async () => {
    const peer = await attach();
    const job = jobRecordOf(world.job());
    await call(peer, 'job.announce', { contractId, job });
    const shares = Array.from({ length: 256 }, (_, index) => shareOf(job.id, index));
    let codes: string[] = [];
    while (!peer.isClosed && codes.length < 200) {
      const batch = { contractId, firstSeq: nextSeq, shares: ShareRows.of(shares), workTotal: 0n };
      const answer = await call(peer, 'work.batch', batch).then((result) => {
        nextSeq = result.nextSeq;
        return 'answered';
      }, codeOf);
      codes = [...codes, answer];
    }
    expect(count(codes, 'answered')).toBeLessThanOrEqual(LIMITS.peerJunkShares / 256 + 3);
    expect(hits('peerJunkShares')).toBeGreaterThanOrEqual(LIMITS.peerOverruns);
    expect(peer.isClosed).toBe(true);
  });

  it('has few requests served that cost signatures, over all of its connections, and others go on', async () => {
    const { last } = (await loadContract(world.minerStore, contractId))!;
    const shown = { ...last!, receiptSignature: '11'.repeat(64) };
    const asked: Params<'channel.reestablish'> = { contractId, n: last!.n, state: shown, nextSeq };
    const codes: string[] = [];
    for (let connections = 0; connections < 3; connections += 1) {
      const peer = await connectAsMiner(world);
      codes.push(...(await flood(peer, 'channel.reestablish', () => asked, 500)));
      expect(peer.isClosed).toBe(true);
    }
    expect(count(codes, 'bad_signature')).toBeLessThan(4 * LIMITS.peerCostlyRequests);
    expect(hits('peerCostlyRequests')).toBeGreaterThanOrEqual(3 * LIMITS.peerOverruns);
  });
});

/** A kernel that counts what it hashes of coinbases and branches in one turn of the event loop. */
function countingKernel(): { kernel: ShareKernel; most: { bytes: number; shares: number } } {
  const kernel = createPortableKernel(64);
  const sizes = new Map<number, number>();
  const most = { bytes: 0, shares: 0 };
  let turn = { bytes: 0 };
  const { addJob, setShare, run } = kernel;
  kernel.addJob = (job) => {
    const handle = addJob.call(kernel, job);
    const { coinb1, coinb2, branches, extranonceSize } = job;
    sizes.set(handle, coinb1.length + coinb2.length + extranonceSize + 32 * branches.length);
    return handle;
  };
  kernel.setShare = (slot, handle, ...rest) => {
    if (turn.bytes === 0) {
      setImmediate(() => {
        turn = { bytes: 0 };
      });
    }
    turn.bytes += sizes.get(handle)!;
    most.bytes = Math.max(most.bytes, turn.bytes);
    setShare.call(kernel, slot, handle, ...rest);
  };
  kernel.run = (count) => {
    most.shares += count;
    run.call(kernel, count);
  };
  return { kernel, most };
}

describe('a miner that has as much hashed as it can', () => {
  it('costs so many bytes a turn and so many shares, writes nothing, and others are answered', async () => {
    const world = new World();
    const { kernel, most } = countingKernel();
    await world.startMaker({}, { kernel });
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('maker open', () => world.maker.status[0]?.channel === 'open' && world.miner.status.live);
    await world.miner.stop();
    const { contractId } = world;
    const { last } = (await loadContract(world.minerStore, contractId))!;
    const peer = await connectAsMiner(world, world.minerSigner);
    await call(peer, 'channel.reestablish', { contractId, n: 0, state: last!, nextSeq: 0 });
    const other = await connectAsMiner(world);
    // The largest job that is good: a second output of thirty thousand bytes.
    const plain = jobRecordOf(world.job());
    const output = { script: fromHex(MAKER_SCRIPT_HEX), valueSat: 1n };
    const ballast = { script: new Uint8Array(30_000).fill(0x51), valueSat: 0n };
    const { coinb1, coinb2 } = buildCoinbase({
      ...{ height: world.chain.height + 1, extranonceSize: plain.extranonceSize, tag: new Uint8Array(4) },
      outputs: [output, ballast],
    });
    const job = { ...plain, coinb1, coinb2 };
    await call(peer, 'job.announce', { contractId, job });
    const appends = world.makerLedger.appends;
    const target = shareTargetOf(2 ** 40).difficulty;
    let nextSeq = 0;
    let asked = 0;
    let answered = 0;
    while (!peer.isClosed && asked < 40) {
      const shares = Array.from({ length: LIMITS.peerBatchShares }, (_, nonce) => ({
        ...{ jobId: job.id, difficulty: target, ntime: job.time, version: job.version },
        ...{ nonce: nonce + asked * LIMITS.peerBatchShares, extranonce1: new Uint8Array(4) },
        extranonce2: new Uint8Array(job.extranonceSize - 4),
      }));
      asked += 1;
      const batch = call(peer, 'work.batch', {
        contractId,
        firstSeq: nextSeq,
        shares: ShareRows.of(shares),
        workTotal: 0n,
      });
      const pong = other.request('ping', {}).then(() => {
        answered += 1;
      });
      nextSeq = await batch.then(
        (result) => result.nextSeq,
        () => nextSeq,
      );
      await pong;
    }
    expect(peer.isClosed).toBe(true);
    expect(answered).toBe(asked);
    expect(most.bytes).toBeLessThanOrEqual(LIMITS.peerHashBytesPerTurn);
    expect(most.shares).toBeLessThanOrEqual(LIMITS.peerJunkShares + 2 * LIMITS.peerBatchShares);
    expect(most.shares).toBeGreaterThan(LIMITS.peerJunkShares / 2);
    // One small record for each batch that was judged: where the stream stands.
    expect(world.makerLedger.appends - appends).toBeLessThanOrEqual(asked);
    expect(await world.makerStore.list('job')).toEqual([]);
    other.close();
    await world.stop();
  });
});

describe('a maker that means harm', () => {
  it('has a state that is known taken without checks, and is cut off when it goes on', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await until('state 1', () => world.miner.status.signed?.n === 1);
    await world.maker.close();
    await world.miner.stop();
    const seen = Promise.withResolvers<RpcPeer>();
    const verifiedWork = (4n * SHARE.workHashes).toString();
    const end = await serveAsMaker(
      world,
      {
        'channel.reestablish': async () => ({
          n: 1,
          state: null,
          next_seq: 4,
          verified_work: verifiedWork,
        }),
        'peer_storage.put': async () => ({}),
      },
      seen.resolve,
    );
    await world.startMiner();
    const peer = await seen.promise;
    await until('connected', () => world.miner.status.connected);
    const { last } = (await loadContract(world.minerStore, world.contractId))!;
    const asked = { contractId: world.contractId, state: last! };
    const codes = await flood(peer, 'state.sign', () => asked, 1_000);
    expect(count(codes, 'answered')).toBeLessThan(2 * LIMITS.peerCostlyRequests);
    expect(peer.isClosed).toBe(true);
    expect(world.miner.stats.limitHits['peerCostlyRequests']).toBeGreaterThanOrEqual(LIMITS.peerOverruns);
    await world.stop();
    await end();
  });
});
