import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { fleetView, handOver, type KnownInstance } from '../../src/fleet/fleet-view.ts';
import {
  type ContractNews,
  DROPPED_MS,
  GONE_MS,
  type InstanceNews,
  parseNews,
  printNews,
} from '../../src/fleet/instance-news.ts';
import type { LeaseRow } from '../../src/ledger/lease.ts';
import { TOLD_BYTES } from '../../src/ledger/postgres/instances.ts';
import '../seed.ts';

const RESOURCE = 'contract/one';
const contract: ContractNews = {
  ...{ name: 'one', resource: RESOURCE, isOwner: false, leaseMs: 5_000 },
  ...{ grantedHashes: 1_000n, doneHashes: 900n },
};
const news: InstanceNews = {
  ...{ site: 'hall-3', software: '1.2.3', sessions: 7, hashesPerSecond: 1e12, queuedWrites: 2, lagMs: 30 },
  ...{ contracts: [contract], ownContracts: 1, extranonceRange: 5 },
};
const known = (instance: string, more: Partial<KnownInstance> = {}): KnownInstance => ({
  ...{ instance, news, agoMs: 100, isDrained: false },
  ...more,
});
const lease = (owner: string, leftMs = 3_000): LeaseRow => ({
  ...{ resource: RESOURCE, token: 4, owner, leftMs, home: owner, wanted: undefined },
});

describe('instances of a ledger', () => {
  it('are here, drained, gone or silent, and after a day they are left out', () => {
    const all = [
      known('a'),
      known('b', { isDrained: true }),
      known('c', { agoMs: GONE_MS + 1, isDrained: true }),
      known('d', { news: undefined }),
      known('e', { agoMs: DROPPED_MS + 1 }),
    ];
    expect(fleetView(all, []).map(({ instance, state }) => [instance, state])).toEqual([
      ['a', 'here'],
      ['b', 'drained'],
      ['c', 'gone'],
      ['d', 'silent'],
    ]);
  });

  it('tell who takes over from each, within what time, and what is lost at most', () => {
    const all = [
      known('a'),
      known('b'),
      known('c', { isDrained: true }),
      known('d', { agoMs: GONE_MS + 1 }),
    ];
    const [a, b] = fleetView(all, [lease('a')]);
    expect(a).toMatchObject({
      leases: [{ resource: RESOURCE }],
      // What is left of the lease, and a fifth of one until another asks.
      ifDead: [{ withinMs: 4_000, takers: ['b'], atRiskHashes: 100n }],
    });
    expect(b).toMatchObject({
      leases: [],
      ifDead: [{ withinMs: undefined, takers: ['a'], atRiskHashes: 100n }],
    });
    // A lease that is over is nobody's.
    expect(fleetView(all, [lease('a', 0)])[0]).toMatchObject({
      leases: [],
      ifDead: [{ withinMs: undefined }],
    });
  });

  it('are handed a channel where they are there and serve the contract, too', () => {
    const other = { ...news, contracts: [] };
    const all = [known('a'), known('b'), known('c', { isDrained: true }), known('d', { news: other })];
    expect(handOver('one', 'b', all, [lease('a')])).toEqual(lease('a'));
    const codeFor = (name: string, instance: string, leases: readonly LeaseRow[]): string => {
      try {
        handOver(name, instance, all, leases);
        return 'done';
      } catch (error) {
        return codeOf(error);
      }
    };
    expect(codeFor('two', 'b', [lease('a')])).toBe('not_found');
    expect(codeFor('one', 'b', [])).toBe('not_found');
    expect(codeFor('one', 'z', [lease('a')])).toBe('not_found');
    expect(codeFor('one', 'c', [lease('a')])).toBe('wrong_status');
    expect(codeFor('one', 'd', [lease('a')])).toBe('wrong_status');
  });
});

describe('the news of an instance', () => {
  it('are read as they were told', () => {
    expect(parseNews(printNews(news))).toEqual(news);
    const none = { ...news, extranonceRange: undefined, contracts: [] };
    expect(parseNews(printNews(none))).toEqual(none);
  });

  it('have a bound, whatever they are about', () => {
    const name = 'n'.repeat(300);
    const huge = { ...contract, name, resource: name, grantedHashes: 2n ** 190n, doneHashes: 2n ** 190n };
    const text = printNews({ ...news, site: 's'.repeat(64), contracts: Array(1_000).fill(huge) });
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(TOLD_BYTES);
    expect(parseNews(text)?.contracts.length).toBeGreaterThan(5);
  });

  it('of another program are shown as none, and never thrown over', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseNews(text)).toBeUndefined();
      }),
    );
    const later = JSON.stringify({ ...JSON.parse(printNews(news)), version: 2 });
    expect(parseNews(later)).toBeUndefined();
    const odd = JSON.stringify({ ...JSON.parse(printNews(news)), sessions: 'many', contracts: [1, {}] });
    expect(parseNews(odd)).toMatchObject({ sessions: 0, contracts: [] });
  });
});
