import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { code } from '../channel/fixtures.ts';
import { seededRandom } from '../seed.ts';
import { poisson } from './delivery-miners.ts';
import { FIRST_HEIGHT, MINUTES, type Minute, TwoLogs } from './minutes-stand.ts';

const honest =
  (random = seededRandom()) =>
  // One in some 160,000 would have none by chance, and is then a silent one, which is no honest day's.
  (): Minute => ({ shares: Math.max(1, poisson(random, 12)) });
const away = (): Minute => ({ shares: 0, miner: 'down', isLinked: false });

describe('delivery by both logs', () => {
  it('of honest days is live at both, over starts of either', () => {
    const logs = new TwoLogs();
    const of = honest();
    for (let day = 0; day < 3; day += 1) {
      logs.run(1440, of);
      logs.restart(day % 2 === 0 ? 'miner' : 'maker');
    }
    const live = { agreed: 'live', own: 'live' };
    expect([logs.statusOf('miner'), logs.statusOf('maker')]).toEqual([live, live]);
    const { minutes } = logs.sides.maker.agreed;
    expect(Object.keys(minutes).filter((owner) => !['none', 'miner_slow'].includes(owner))).toEqual([]);
    // Not the minutes that chance explains.
    expect(minutes.miner_slow ?? 0).toBeLessThan(30);
  });

  it.each<[what: string, slack: Minute]>([
    ['that says it is idle', { shares: 0, miner: 'idle' }],
    ['that sends nothing', { shares: 0 }],
    ['that sends a third', { shares: 4 }],
  ])('of a miner %s is in cure and then in default, at both in the same minute', (_what, slack) => {
    const logs = new TwoLogs();
    logs.run(200, honest());
    const seen = new Map<string, number>();
    for (let minute = 0; minute < 600; minute += 1) {
      logs.pass(slack);
      const [miner, maker] = [logs.statusOf('miner'), logs.statusOf('maker')];
      expect(miner.agreed).toBe(maker.agreed);
      if (!seen.has(maker.agreed)) seen.set(maker.agreed, minute);
    }
    expect([...seen.keys()].slice(-2)).toEqual(['cure', 'default']);
    // 24 blocks of cure.
    expect(seen.get('default')! - seen.get('cure')!).toBeGreaterThanOrEqual(230);
    expect(seen.get('default')! - seen.get('cure')!).toBeLessThanOrEqual(241);
  });

  it('that is made up within the cure is live again', () => {
    const logs = new TwoLogs();
    logs.run(200, () => ({ shares: 12 }));
    logs.run(30, () => ({ shares: 0, miner: 'idle' }));
    expect(logs.statusOf('maker').agreed).toBe('cure');
    logs.run(90, () => ({ shares: 18 }));
    expect(logs.statusOf('miner')).toEqual({ agreed: 'live', own: 'live' });
    expect(logs.statusOf('maker')).toEqual({ agreed: 'live', own: 'live' });
  });

  it.each<[what: string, minute: Minute, owner: string]>([
    ['has no work', { shares: 0, miner: 'no_work', maker: 'work_down' }, 'maker_work_down'],
    ['is down', { shares: 0, maker: 'down', isLinked: false }, 'maker_silent'],
    ['stands still', { shares: 0, maker: 'suspended' }, 'maker_silent'],
    ['and the miner agreed to a pause', { shares: 0, miner: 'paused', maker: 'paused' }, 'agreed_pause'],
  ])('owes nothing while the maker %s (I27)', (_what, minute, owner) => {
    const logs = new TwoLogs();
    logs.run(100, () => ({ shares: 12 }));
    logs.run(2000, () => minute);
    logs.run(10, () => ({ shares: 12 }));
    const live = { agreed: 'live', own: 'live' };
    expect([logs.statusOf('miner'), logs.statusOf('maker')]).toEqual([live, live]);
    expect((logs.sides.miner.agreed.minutes as Record<string, number>)[owner]).toBeGreaterThan(1990);
  });

  it('of a link that is down is the network once both have said so, and nobody is in default', () => {
    const logs = new TwoLogs();
    logs.run(100, () => ({ shares: 12 }));
    logs.run(1000, () => ({ shares: 12, isLinked: false }));
    // Each goes by its own view meanwhile; what both agreed on stands where it stood.
    expect(logs.statusOf('miner')).toEqual({ agreed: 'live', own: 'live' });
    expect(logs.statusOf('maker')).toEqual({ agreed: 'live', own: 'default' });
    logs.run(10, () => ({ shares: 12 }));
    expect(logs.statusOf('miner').agreed).toBe('live');
    expect(logs.statusOf('maker').agreed).toBe('live');
    expect(logs.sides.maker.agreed.minutes.network).toBeGreaterThan(990);
  });

  it('of a miner that is gone for good is in default in the view of the maker alone', () => {
    const logs = new TwoLogs();
    logs.run(100, () => ({ shares: 12 }));
    logs.run(400, away);
    expect(logs.statusOf('maker')).toEqual({ agreed: 'live', own: 'default' });
  });

  it.each(['miner', 'maker'] as const)('gives a %s that was away for days all that it missed', (side) => {
    const logs = new TwoLogs();
    logs.run(100, () => ({ shares: 12 }));
    logs.run(3000, () => ({ shares: 0, [side]: 'down', isLinked: false }));
    logs.run(10, () => ({ shares: 12 }));
    for (const whose of ['miner', 'maker'] as const)
      expect(logs.sides.miner.head(whose)).toEqual(logs.sides.maker.head(whose));
    expect(logs.statusOf('miner').agreed).toBe(logs.statusOf('maker').agreed);
  });

  it('is curtailed by a notice that the maker heard, and by no other', () => {
    const notice = { fromHeight: FIRST_HEIGHT + 12, blocks: 60 };
    for (const isLinked of [true, false]) {
      const logs = new TwoLogs();
      logs.run(100, () => ({ shares: 12 }));
      // Late by some minutes: then nobody was told in time.
      logs.pass({ shares: 12, isLinked, notice });
      logs.run(5, () => ({ shares: 12, isLinked }));
      logs.run(14, () => ({ shares: 12 }));
      logs.run(590, () => ({ shares: 0, miner: 'idle' }));
      expect(logs.statusOf('maker').agreed).toBe(isLinked ? 'live' : 'default');
      expect(logs.statusOf('miner').agreed).toBe(logs.statusOf('maker').agreed);
    }
  });

  it('marks the minutes of a notice as agreed, and those of a pause without one as the miner’s (I28)', () => {
    const notice = { fromHeight: FIRST_HEIGHT + 12, blocks: 60 };
    for (const isNoticed of [true, false]) {
      const logs = new TwoLogs();
      logs.run(100, () => ({ shares: 12 }));
      logs.pass({ shares: 12, ...(isNoticed ? { notice } : {}) });
      logs.run(19, () => ({ shares: 12 }));
      logs.run(600, () => ({ shares: 0, miner: 'paused' }));
      const { minutes, delivery } = logs.sides.maker.agreed;
      expect(delivery.status).toBe(isNoticed ? 'live' : 'default');
      expect([minutes.agreed_pause ?? 0, minutes.miner_offline ?? 0]).toEqual(
        isNoticed ? [597, 0] : [0, 597],
      );
      expect(logs.sides.miner.agreed).toEqual(logs.sides.maker.agreed);
    }
  });

  it('comes to the same at both, whatever happens and whoever starts anew (I46)', () => {
    const anyStretch = fc.record({
      kind: fc.constantFrom(...MINUTES),
      minutes: fc.integer({ min: 1, max: 60 }),
      restart: fc.constantFrom('miner' as const, 'maker' as const, undefined),
    });
    fc.assert(
      fc.property(fc.array(anyStretch, { minLength: 1, maxLength: 20 }), (stretches) => {
        const logs = new TwoLogs();
        logs.pass({ shares: 12 });
        for (const { kind, minutes, restart } of stretches) {
          logs.run(minutes, () => kind);
          if (restart !== undefined) logs.restart(restart);
        }
        logs.run(4, () => ({ shares: 12 }));
        expect(logs.sides.miner.agreed).toEqual(logs.sides.maker.agreed);
        const before = logs.sides.maker.agreed;
        logs.restart('maker');
        expect(logs.sides.maker.agreed).toEqual(before);
        // Whoever has both logs: an auditor, say.
        logs.restart('miner');
        expect(logs.sides.miner.agreed).toEqual(before);
      }),
      { numRuns: 25 },
    );
  });

  it('refuses reports that do not follow', () => {
    const logs = new TwoLogs();
    logs.run(3, () => ({ shares: 12 }));
    const last = logs.sides.maker.last('maker')!;
    const later = { ...last, minute: last.minute + 1 };
    expect(code(() => logs.sides.miner.follow('maker', [last]))).toBe('protocol');
    expect(code(() => logs.sides.miner.follow('maker', [{ ...later, workHashes: 1n }]))).toBe('protocol');
    expect(code(() => logs.sides.miner.follow('maker', [later, later]))).toBe('protocol');
    expect(logs.sides.miner.follow('maker', [later])).toHaveLength(1);
  });
});
