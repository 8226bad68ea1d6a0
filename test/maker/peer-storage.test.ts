import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Timer } from '../../src/base/clock.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { call } from '../../src/peer/calls.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { leaveBlob } from '../../src/settlement/peer-blob.ts';
import { blobFilesIn, blobsInMemory, PeerBlobs } from '../../src/settlement/peer-blobs.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { connectAsMiner, serveAsMaker } from './impostors.ts';
import { until, World } from './world.ts';

const directory = mkdtempSync(join(tmpdir(), 'blobs-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The answers to as many puts as are taken, and why there were no more. */
async function fill(peer: RpcPeer, contractId: string): Promise<{ codes: string[]; end: string }> {
  const codes: string[] = [];
  const blob = 'A'.repeat(LIMITS.peerBlobChars);
  while (!peer.isClosed && codes.length < 200) {
    codes.push(await call(peer, 'peer_storage.put', { contractId, blob }).then(() => 'kept', codeOf));
  }
  return { codes, end: peer.isClosed ? 'cut off' : 'served' };
}

describe('a peer that leaves blob after blob', () => {
  it('as a miner: writes one file a minute, nothing into the ledger, and is cut off', async () => {
    const world = new World();
    await world.open();
    await until('kept', async () => (await world.makerBlobs.read(world.contractId)) !== undefined);
    await world.miner.stop();
    const before = world.makerLedger.appends;
    const peer = await connectAsMiner(world);
    const { codes, end } = await fill(peer, world.contractId);
    expect(new Set(codes.slice(0, LIMITS.peerOverruns))).toEqual(new Set(['too_often']));
    expect(end).toBe('cut off');
    expect(codes.length).toBeLessThan(LIMITS.peerOverruns + 10);
    expect(world.makerLedger.appends).toBe(before);
    expect(world.maker.stats.limitHits['peerBlobsPerMinute']).toBeGreaterThanOrEqual(LIMITS.peerOverruns);
    expect(world.maker.stats.limitHits['peerOverruns']).toBeGreaterThanOrEqual(1);
    await world.stop();
  });

  it('as a maker: the same', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await until('state 1', () => world.miner.status.signed?.n === 1);
    await world.maker.close();
    const before = world.minerLedger.appends;
    const seen = Promise.withResolvers<RpcPeer>();
    const end = await serveAsMaker(
      world,
      {
        'channel.reestablish': async () => ({
          n: 1,
          state: null,
          next_seq: 4,
          verified_work: world.miner.status.judgedWorkHashes.toString(),
        }),
        'peer_storage.put': async () => ({}),
      },
      seen.resolve,
    );
    await world.miner.stop();
    await world.startMiner();
    const peer = await seen.promise;
    await until('connected', () => world.miner.status.connected);
    const result = await fill(peer, world.contractId);
    expect(result.end).toBe('cut off');
    expect(result.codes.filter((code) => code === 'kept').length).toBeLessThanOrEqual(1);
    expect(world.minerLedger.appends).toBe(before);
    expect(world.miner.stats.limitHits['peerBlobsPerMinute']).toBeGreaterThanOrEqual(LIMITS.peerOverruns);
    await world.stop();
    await end();
  });

  it('of a contract that is only proposed, has nothing kept', async () => {
    const world = new World();
    await world.startMaker();
    const peer = await connectAsMiner(world);
    const { codes } = await fill(peer, world.contractId);
    expect(new Set(codes)).toEqual(new Set(['unknown_channel']));
    peer.close();
    await world.stop();
  });
});

describe('blobs of peers', () => {
  const contractId = 'ab'.repeat(32);
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const ledger = new MemoryLedger();
  const shelf = (files = blobFilesIn(join(directory, 'kept'))): PeerBlobs =>
    new PeerBlobs({ files, ledger, clock, log: silentLogger });
  const put = (blobs: PeerBlobs, sealed: string): Promise<string> =>
    blobs.put(contractId, sealed).then(() => 'kept', codeOf);

  it('lie one in a file, are replaced whole, readable by their owner alone', async () => {
    const blobs = shelf();
    expect(await put(blobs, 'AAAA')).toBe('kept');
    expect(await put(blobs, 'BBBB')).toBe('too_often');
    nowMs += 59_999;
    expect(await put(blobs, 'BBBB')).toBe('too_often');
    nowMs += 1;
    expect(await put(blobs, 'CCCC')).toBe('kept');
    const folder = join(directory, 'kept');
    expect(readdirSync(folder)).toEqual([`${contractId}.blob`]);
    expect(readFileSync(join(folder, `${contractId}.blob`), 'utf8')).toBe('CCCC');
    expect(statSync(join(folder, `${contractId}.blob`)).mode & 0o777).toBe(0o600);
    expect(await shelf().get(contractId)).toBe('CCCC');
  });

  it('that an earlier version kept in the ledger are given back until there is a newer one', async () => {
    const blobs = shelf(blobsInMemory());
    await ledger.append([{ type: 'put', kind: 'blob', id: contractId, body: 'OLD=' }]);
    expect(await blobs.get(contractId)).toBe('OLD=');
    nowMs += 60_000;
    expect(await put(blobs, 'NEW=')).toBe('kept');
    expect(await blobs.get(contractId)).toBe('NEW=');
  });

  it('that a disk refuses harm nothing else', async () => {
    const fails = async (): Promise<never> => {
      throw new Error('ENOSPC');
    };
    const blobs = shelf({ read: fails, replace: fails, remove: fails });
    expect(await put(blobs, 'AAAA')).toBe('overload');
    expect(await blobs.get(contractId)).toBe('OLD=');
  });
});

it('what is left again a minute later is not, once the connection has ended: no timer outlives it', async () => {
  const world = new World();
  await world.open();
  const closed = Promise.withResolvers<void>();
  const peer = {
    closed: closed.promise,
    request: () => Promise.reject(new CodedError('too_often')),
  } as unknown as RpcPeer;
  const waiting = new Set<object>();
  const after = (): Timer => {
    const timer = { cancel: () => void waiting.delete(timer) };
    waiting.add(timer);
    return timer;
  };
  await leaveBlob(peer, world.contractId, {
    ledger: world.minerStore,
    signer: world.minerSigner,
    random: systemRandom,
    timers: { ...systemTimers, after },
    log: silentLogger,
  });
  expect(waiting.size).toBe(1);
  closed.resolve();
  await until('cancelled', () => waiting.size === 0);
  await world.stop();
});
