import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bondStep, type SealView, type SpendStatus, sealStep } from '../../src/chain/stake-watch.ts';

const AT = { height: 500, expiryHeight: 1_000, sealExpiryHeight: 3_016 };
const QUIET: SealView = { spent: 'no', isChannelMoving: false };
const spents = fc.constantFrom<SpendStatus>('no', 'in_mempool', 'in_block');
const views = fc.record({ spent: spents, isOwn: fc.boolean(), isChannelMoving: fc.boolean() });
const heights = fc.integer({ min: 0, max: 5_000 });

describe('the seal', () => {
  it('is claimed when the channel moves, when it moves itself, and at the expiry', () => {
    expect(sealStep('maker', QUIET, AT)).toBe('wait');
    expect(sealStep('maker', { ...QUIET, isChannelMoving: true }, AT)).toBe('publish_claim');
    expect(sealStep('maker', { ...QUIET, spent: 'in_mempool' }, AT)).toBe('publish_claim');
    expect(sealStep('maker', QUIET, { ...AT, height: 999 })).toBe('wait');
    expect(sealStep('maker', QUIET, { ...AT, height: 1_000 })).toBe('publish_claim');
    // A claim that waits is paid more for.
    const claimed: SealView = { spent: 'in_mempool', isChannelMoving: true };
    expect(sealStep('maker', claimed, AT)).toBe('publish_claim');
    expect(sealStep('maker', { ...claimed, spent: 'in_block' }, AT)).toBe('wait');
  });

  it('goes back to the miner at T_seal, not one block before', () => {
    expect(sealStep('miner', QUIET, { ...AT, height: 3_015 })).toBe('wait');
    expect(sealStep('miner', QUIET, { ...AT, height: 3_016 })).toBe('take_back');
    const waits = { ...QUIET, spent: 'in_mempool' } as const;
    expect(sealStep('miner', waits, { ...AT, height: 3_016 })).toBe('wait');
    expect(sealStep('miner', { ...waits, isOwn: true }, { ...AT, height: 3_016 })).toBe('take_back');
  });

  it('is claimed by the maker before the miner could ever take it, whatever is seen', () => {
    fc.assert(
      fc.property(views, heights, (view, height) => {
        const at = { ...AT, height };
        const [maker, miner] = [sealStep('maker', view, at), sealStep('miner', view, at)];
        if (view.spent === 'in_block') expect([maker, miner]).toEqual(['wait', 'wait']);
        if (miner === 'take_back') expect(maker).toBe('publish_claim');
        expect(maker).not.toBe('take_back');
        expect(miner).not.toBe('publish_claim');
        // Once due, it stays due until a block holds it, as time goes on.
        if (maker === 'publish_claim') {
          expect(sealStep('maker', view, { ...at, height: height + 1 })).toBe('publish_claim');
        }
      }),
    );
  });
});

describe('a bond', () => {
  it('goes back to its owner when the close is as deep as the delay, not one block before', () => {
    expect(bondStep({ spent: 'no', closeDepth: 2_015 }, 2_016)).toBe('wait');
    expect(bondStep({ spent: 'no', closeDepth: 2_016 }, 2_016)).toBe('take_back');
    const waits = { spent: 'in_mempool', closeDepth: 2_016 } as const;
    expect(bondStep(waits, 2_016)).toBe('wait');
    expect(bondStep({ ...waits, isOwn: true }, 2_016)).toBe('take_back');
    expect(bondStep({ ...waits, spent: 'in_block', isOwn: true }, 2_016)).toBe('wait');
  });

  it('stays where it is while somebody moves it, where no block holds the close, and without such a way', () => {
    fc.assert(
      fc.property(spents, heights, fc.option(fc.integer({ min: 1, max: 65_535 })), (spent, depth, csv) => {
        const step = bondStep({ spent, closeDepth: depth }, csv ?? undefined);
        if (spent !== 'no' || csv === null || depth === 0) expect(step).toBe('wait');
        if (step === 'take_back')
          expect(bondStep({ spent, closeDepth: depth + 1 }, csv!)).toBe('take_back');
      }),
    );
  });
});
