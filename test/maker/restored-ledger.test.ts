import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { MakerStore } from '../../src/maker/maker-store.ts';
import { positionFile, RestoredLedger } from '../../src/maker/restored-ledger.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { WORK } from '../miner/work-stand.ts';

const folder = mkdtempSync(join(tmpdir(), 'positions-'));
afterAll(() => rmSync(folder, { recursive: true }));

type Positions = Readonly<Record<string, number>>;

class Stand {
  readonly time = new VirtualTime();
  readonly ledger: MemoryLedger;
  /** Seqs of contracts; one that is over is negative. */
  contracts: Positions = {};
  positions: Positions | undefined;
  writes = 0;
  isDiskFull = false;
  restored = 0;
  readonly log = recorder();
  readonly subject: RestoredLedger;

  constructor(ledger = new MemoryLedger()) {
    this.ledger = ledger;
    this.subject = new RestoredLedger({
      ...{ ledger, timers: this.time.timers, log: this.log.log },
      positions: {
        read: () => this.positions,
        write: (positions) => {
          if (this.isDiskFull) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
          this.writes += 1;
          this.positions = positions;
        },
      },
      onRestored: () => {
        this.restored += 1;
      },
    });
  }

  readonly stores = (): MakerStore[] =>
    Object.entries(this.contracts).map(
      ([contractId, seq]) =>
        ({ contractId, isClosed: seq < 0, delivery: { nextSeq: Math.abs(seq) } }) as unknown as MakerStore,
    );

  async start(isSignerAhead = false): Promise<number> {
    await this.subject.start(this.stores, 500, isSignerAhead);
    return this.height;
  }

  get height(): number {
    return this.subject.heightFor(makeTermsV3());
  }

  get said(): readonly unknown[] {
    return this.log.lines.map(([level, fields]) => [level, fields['code']]);
  }
}

describe('a ledger that begins', () => {
  it.each<[string, Positions | undefined, Positions, boolean]>([
    ['there is nothing to compare', undefined, { a: 5 }, false],
    ['all is as far', { a: 5, b: 7 }, { a: 5, b: 8, c: 1 }, false],
    ['one contract is a share behind', { a: 5, b: 7 }, { a: 6, b: 6 }, true],
    ['one contract is not known', { a: 1 }, {}, true],
    ['one contract that is not known had no share', { a: 0 }, {}, false],
  ])('is an older copy or not, where %s', async (_, before, now, isOld) => {
    const stand = new Stand();
    stand.positions = before;
    stand.contracts = now;
    expect(await stand.start()).toBe(isOld ? 500 : 0);
    expect(stand.said).toEqual(isOld ? [['error', 'maker_restored']] : []);
    expect(stand.restored).toBe(0);
  });

  it('is one where a signer knows more, for contracts but those on jobs of the maker, and stays one', async () => {
    const stand = new Stand();
    expect(await stand.start(true)).toBe(500);
    expect(stand.subject.heightFor(makeTermsV3({ binding: WORK }))).toBe(0);
    const next = new Stand(stand.ledger);
    expect(await next.start()).toBe(500);
    expect(next.said).toEqual([]);
  });

  it('is one from the moment that a miner proves it, of which the highest counts', async () => {
    const stand = new Stand();
    await stand.start();
    for (const height of [600, 600, 599]) await stand.subject.proven(height);
    expect([stand.height, stand.restored]).toEqual([600, 1]);
    await stand.subject.proven(601);
    expect([stand.height, stand.restored]).toEqual([601, 2]);
  });
});

describe('positions beside a ledger', () => {
  it('are written when they change, every ten seconds, without what is over or has not begun', async () => {
    const stand = new Stand();
    stand.contracts = { a: 5, b: -9, c: 0 };
    await stand.start();
    expect([stand.positions, stand.writes]).toEqual([{ a: 5 }, 1]);
    await stand.time.advance(10_000);
    expect(stand.writes).toBe(1);
    stand.contracts = { a: 6, b: -9, c: 1 };
    await stand.time.advance(9_999);
    expect(stand.writes).toBe(1);
    await stand.time.advance(1);
    expect([stand.positions, stand.writes]).toEqual([{ a: 6, c: 1 }, 2]);
    stand.subject.stop();
    stand.contracts = {};
    await stand.time.advance(60_000);
    expect(stand.writes).toBe(2);
  });

  it('that cannot be written are said, and tried again', async () => {
    const stand = new Stand();
    stand.contracts = { a: 5 };
    stand.isDiskFull = true;
    await stand.start();
    expect(stand.said).toEqual([['warn', 'ENOSPC']]);
    stand.isDiskFull = false;
    await stand.time.advance(10_000);
    expect(stand.positions).toEqual({ a: 5 });
  });

  it('need not be', async () => {
    const { ledger, time, log } = new Stand();
    const store = { contractId: 'a', isClosed: false, delivery: { nextSeq: 5 } } as unknown as MakerStore;
    const alone = new RestoredLedger({ ledger, timers: time.timers, log: log.log, onRestored: () => {} });
    await alone.start(() => [store], 500, false);
    expect(alone.heightFor(makeTermsV3())).toBe(0);
    expect(log.lines).toEqual([]);
    alone.stop();
  });

  it('in a file are read as they were written; what is none of them says nothing', () => {
    const path = join(mkdtempSync(join(folder, 'a-')), 'positions.json');
    const file = positionFile(path);
    expect(file.read()).toBe(undefined);
    file.write({ a: 5, b: 7 });
    expect(positionFile(path).read()).toEqual({ a: 5, b: 7 });
    for (const [text, positions] of [
      ['{"a":5,"b":"7","c":1.5,"d":null}', { a: 5 }],
      ['[1]', undefined],
      ['5', undefined],
      ['{"a":', undefined],
    ] as const) {
      writeFileSync(path, text);
      expect(file.read(), text).toEqual(positions);
    }
  });
});
