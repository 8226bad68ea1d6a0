import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import {
  Fence,
  fencedChain,
  fencedLadders,
  fencedLedger,
  fencedSigner,
  LAST_RESORT_BLOCKS,
} from '../../src/fleet/fenced.ts';
import type { Hold } from '../../src/fleet/owner.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { makerSigner } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { put } from '../ledger/suite.ts';

const LEASE = { resource: 'c', token: 4 };

/** Whether it is owned, as a test says. */
class Said implements Hold {
  fresh: Lease | undefined = LEASE;
  isOwned = true;
  readonly lostLeases: Lease[] = [];

  lost(lease: Lease): void {
    this.lostLeases.push(lease);
  }
}

async function codeOfPromise(work: Promise<unknown>): Promise<string> {
  return await work.then(() => 'done', codeOf);
}

describe('a ledger behind a fence', () => {
  it('carries the token in every append, and takes none without a fresh lease', async () => {
    const hold = new Said();
    const inner = new MemoryLedger();
    const ledger = fencedLedger(inner, new Fence(hold, () => undefined));
    await ledger.append([put('a', '1')]);
    expect(await inner.get('lease', 'c')).toBe('{"token":4}');
    hold.fresh = { ...LEASE, token: 6 };
    await ledger.appendNow([put('a', '2')]);
    expect([await ledger.get('lease', 'c'), await ledger.get('stream', 'a')]).toEqual(['{"token":6}', '2']);
    hold.fresh = undefined;
    expect(await codeOfPromise(ledger.append([put('a', '3')]))).toBe('lease_lost');
    expect(await codeOfPromise(ledger.appendNow([put('a', '3')]))).toBe('lease_lost');
    expect(await ledger.list('stream')).toEqual([{ id: 'a', body: '2' }]);
    expect(hold.lostLeases).toEqual([]);
  });

  it('tells of a refusal by the database, and of no other', async () => {
    const hold = new Said();
    const inner = new MemoryLedger();
    const codes = ['lease_lost', 'ledger_conflict', 'overload'] as const;
    for (const code of codes) {
      const append = (_entries: readonly LedgerEntry[]): Promise<void> =>
        Promise.reject(new CodedError(code, 'refused'));
      const ledger = fencedLedger(Object.assign(inner, { append }), new Fence(hold, () => undefined));
      expect(await codeOfPromise(ledger.append([put('a', '1')]))).toBe(code);
    }
    expect(hold.lostLeases).toEqual([LEASE]);
  });
});

describe('what leaves without a write', () => {
  const sent: string[] = [];
  const chain: ChainSource = {
    ...({} as ChainSource),
    tip: () => Promise.resolve({ height: 7, hash: '', timeSeconds: 0 }),
    broadcast: (hex) => Promise.resolve(`${sent.push(hex)}`),
    broadcastPackage: async (hexes) => void sent.push(...hexes),
  };

  it('leaves for an owner alone, or for the last one near the expiry', async () => {
    const hold = new Said();
    let left: number | undefined;
    const fenced = fencedChain(chain, new Fence(hold, () => left));
    const tries = async (): Promise<string[]> => [
      await codeOfPromise(fenced.broadcast('a')),
      await codeOfPromise(fenced.broadcastPackage(['b', 'c'])),
    ];
    expect(await tries()).toEqual(['done', 'done']);
    expect(sent.splice(0)).toEqual(['a', 'b', 'c']);
    hold.fresh = undefined;
    for (left of [undefined, LAST_RESORT_BLOCKS + 1])
      expect(await tries()).toEqual(['lease_lost', 'lease_lost']);
    left = LAST_RESORT_BLOCKS;
    expect(await tries()).toEqual(['done', 'done']);
    // Another is known to have it: he closes.
    hold.isOwned = false;
    sent.length = 0;
    expect(await tries()).toEqual(['lease_lost', 'lease_lost']);
    expect(sent).toEqual([]);
    expect((await fenced.tip()).height).toBe(7);
  });

  it('is not even signed', () => {
    const hold = new Said();
    const signer = fencedSigner(makerSigner, new Fence(hold, () => undefined));
    const digest = new Uint8Array(32).fill(1);
    const sign = [() => signer.signEcdsa('channel', digest), () => signer.signSchnorr('node', digest)];
    for (const each of sign) expect(each()).toHaveLength(64);
    hold.fresh = undefined;
    for (const each of sign) expect(each).toThrow(/lease_lost/);
    expect(signer.publicKey('channel')).toEqual(makerSigner.publicKey('channel'));
  });

  it('and no ladder file of a folder that is shared is touched', async () => {
    const hold = new Said();
    const files = new Map<string, string>();
    const ladders = fencedLadders(
      {
        read: async (path) => files.get(path) ?? '',
        replace: async (path, text) => void files.set(path, text),
        remove: async (path) => void files.delete(path),
      },
      new Fence(hold, () => undefined),
    );
    await ladders.replace('a', '1');
    hold.fresh = undefined;
    expect(await codeOfPromise(ladders.replace('a', '2'))).toBe('lease_lost');
    expect(await codeOfPromise(ladders.remove('a'))).toBe('lease_lost');
    expect(await ladders.read('a')).toBe('1');
  });
});
