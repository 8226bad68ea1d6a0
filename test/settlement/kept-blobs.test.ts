import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemRandom } from '../../src/base/random.ts';
import { signState } from '../../src/channel/states.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { blobOf, leaveBlob, openBlob } from '../../src/settlement/peer-blob.ts';
import { blobFilesIn, blobsInMemory, PeerBlobs } from '../../src/settlement/peer-blobs.ts';
import type { StoredContract } from '../../src/settlement/records.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { countedTimers } from '../chain/fake-node.ts';
import { recorder } from '../chain/log-recorder.ts';
import { makeParams, makerSigner, minerSigner } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const folder = mkdtempSync(join(tmpdir(), 'kept-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const ID = 'cd'.repeat(32);

describe('the files of blobs', () => {
  it('are read unless they are missing or too long, and any other trouble is told', async () => {
    const own = join(mkdtempSync(join(folder, 'case-')), 'files');
    const files = blobFilesIn(own);
    expect(await files.read(ID)).toBeUndefined();
    await files.remove(ID);
    await files.replace(ID, 'AAAA');
    expect(await files.read(ID)).toBe('AAAA');
    const path = join(own, `${ID}.blob`);
    writeFileSync(path, 'A'.repeat(LIMITS.peerBlobChars));
    expect(await files.read(ID)).toHaveLength(LIMITS.peerBlobChars);
    writeFileSync(path, 'A'.repeat(LIMITS.peerBlobChars + 1));
    expect(await files.read(ID)).toBeUndefined();
    await files.remove(ID);
    expect(await files.read(ID)).toBeUndefined();
    await expect(blobFilesIn(path).read(ID)).resolves.toBeUndefined();
    writeFileSync(path, '');
    await expect(blobFilesIn(path).read(ID)).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});

describe('the blobs of peers', () => {
  function setUp(files = blobsInMemory()) {
    const time = new VirtualTime();
    const { lines, log } = recorder();
    const ledger = new MemoryLedger();
    const blobs = new PeerBlobs({ files, ledger, clock: time.clock, log });
    const put = (contractId = ID): Promise<string> =>
      blobs.put(contractId, 'AAAA').then(() => 'kept', codeOf);
    return { time, lines, ledger, files, blobs, put };
  }

  it('may be replaced once a minute, each by itself, and one at a time', async () => {
    const writing = Promise.withResolvers<void>();
    const { time, put } = setUp({ ...blobsInMemory(), replace: () => writing.promise });
    const first = put();
    await time.advance(120_000);
    expect(await put()).toBe('too_often');
    const other = put('ee'.repeat(32));
    writing.resolve();
    expect([await first, await other]).toEqual(['kept', 'kept']);
    expect(await put()).toBe('kept');
    expect(await put()).toBe('too_often');
    await time.advance(60_000);
    expect(await put()).toBe('kept');
  });

  it('of a contract that is over are removed, and none is taken any more', async () => {
    const { blobs, put, files, lines } = setUp();
    await put();
    await blobs.drop(ID);
    expect(await files.read(ID)).toBeUndefined();
    expect(await put()).toBe('unknown_channel');
    let removals = 0;
    const remove = async (): Promise<never> => {
      removals += 1;
      throw new Error('EIO');
    };
    Object.assign(files, { remove });
    await blobs.drop(ID);
    expect([removals, lines.length]).toEqual([0, 0]);
    await blobs.drop('ee'.repeat(32));
    const fields = { contract: 'ee'.repeat(32), error: 'Error: EIO' };
    expect(lines).toEqual([['warn', fields, 'a blob of the peer cannot be removed']]);
  });

  it('that the disk refuses are not kept, and may be tried again', async () => {
    let fails = true;
    const memory = blobsInMemory();
    const replace = async (contractId: string, sealed: string): Promise<void> => {
      if (fails) throw new CodedError('ledger_io', 'full');
      await memory.replace(contractId, sealed);
    };
    const { time, put, lines } = setUp({ ...memory, replace });
    expect(await put()).toBe('overload');
    expect(lines).toEqual([
      ['warn', { contract: ID, error: 'CodedError: ledger_io: full' }, 'a blob of the peer cannot be kept'],
    ]);
    fails = false;
    await time.advance(60_000);
    expect(await put()).toBe('kept');
  });

  it('that cannot be read are as none, but for those of an earlier version', async () => {
    const read = (): Promise<never> => Promise.reject(new Error('EIO'));
    const { blobs, ledger, lines } = setUp({ ...blobsInMemory(), read });
    expect(await blobs.get(ID)).toBeUndefined();
    expect(lines).toEqual([
      ['warn', { contract: ID, error: 'Error: EIO' }, 'a blob of the peer cannot be read'],
    ]);
    await ledger.append([{ type: 'put', kind: 'blob', id: ID, body: 'OLD=' }]);
    expect(await blobs.get(ID)).toBe('OLD=');
  });
});

describe('the own blob', () => {
  const stored = {
    contract: { role: 'miner' },
    opening: { accept: {} },
    last: signState(makeParams(), 0, 0n, makerSigner),
  } as unknown as StoredContract;

  it('is there once both halves of the opening are', () => {
    expect(blobOf(stored)).toMatchObject({ version: 1, role: 'miner' });
    expect(blobOf(stored)).not.toHaveProperty('fundingTx');
    expect(blobOf({ ...stored, fundingTx: '00' })).toHaveProperty('fundingTx', '00');
    expect(blobOf(undefined)).toBeUndefined();
    for (const missing of [{ contract: undefined }, { opening: undefined }, { last: undefined }])
      expect(blobOf({ ...stored, ...missing } as never)).toBeUndefined();
    const half = { accept: undefined } as never;
    expect(blobOf({ ...stored, opening: half })).toBeUndefined();
  });

  it('is refused where it is too short to be one', () => {
    for (const size of [0, 27, 28, 29]) {
      const open = (): unknown => openBlob(ID, 'miner', Buffer.alloc(size).toString('base64'), minerSigner);
      expect(open).toThrow(size < 28 ? 'bad_blob: too short' : 'bad_blob: it does not open');
    }
  });

  it('of a contract without one is not left with anybody', async () => {
    const time = new VirtualTime();
    const timers = countedTimers(time.timers);
    const asked: string[] = [];
    const peer = { request: async (method: string) => void asked.push(method) } as unknown as RpcPeer;
    const { log } = recorder();
    const deps = { ledger: new MemoryLedger(), signer: minerSigner, random: systemRandom, timers, log };
    await leaveBlob(peer, ID, deps);
    expect([asked.length, timers.pending]).toEqual([0, 0]);
  });
});
