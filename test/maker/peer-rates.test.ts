import { expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { PeerRates } from '../../src/maker/peer-rates.ts';
import { ManualClock } from '../base/manual-clock.ts';

it('each peer has as much at once as the limit says, and then so much a minute', () => {
  const clock = new ManualClock();
  const rates = new PeerRates('peerProposals', { clock, perMinute: 60 });
  const takes = (nodeId: string): unknown => {
    try {
      rates.take(nodeId);
      return 'taken';
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return [error.message, error.meta['limit']];
    }
  };
  const refused = ['too_often: peerProposals', 'peerProposals'];
  for (let each = 0; each < LIMITS.peerProposals; each += 1) expect(takes('a')).toBe('taken');
  expect([takes('a'), takes('b')]).toEqual([refused, 'taken']);
  clock.advance(500);
  expect(takes('a')).toEqual(refused);
  clock.advance(500);
  expect([takes('a'), takes('a')]).toEqual(['taken', refused]);
  // What nobody took is there at once, and no more of it.
  clock.advance(10 ** 9);
  for (let each = 0; each < LIMITS.peerProposals; each += 1) expect(takes('a')).toBe('taken');
  expect(takes('a')).toEqual(refused);
});
