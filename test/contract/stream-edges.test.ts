import { describe, expect, it } from 'vitest';
import {
  exposedWork,
  exposureSat,
  PENDING_STREAM,
  type StreamEvent,
  type StreamState,
  transition,
  unsignedWork,
} from '../../src/contract/stream.ts';
import { latePpm, refusedPpm, staleRacePpm } from '../../src/contract/terms-access.ts';
import { TERMS_DEFAULTS } from '../../src/contract/terms-defaults.ts';
import { EH, makeTerms } from '../channel/fixtures.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const terms = makeTerms();

function streamAfter(events: readonly StreamEvent[]): StreamState {
  return events.reduce(
    (state, event) => transition({ terms, role: 'miner' }, state, event, 1_000).state,
    PENDING_STREAM,
  );
}

const SIGNED: StreamEvent = { type: 'state_signed', n: 0, workHashes: 0n, paidSat: 0n };
const OPENED: readonly StreamEvent[] = [
  SIGNED,
  { type: 'funded', confirmations: terms.minDepth },
  { type: 'channel_open' },
];
const REFUSED: StreamEvent = { type: 'close_refused' } as StreamEvent;

describe('a close that is refused', () => {
  it('lets a stream go on that ends for no other reason', () => {
    const ending = streamAfter([...OPENED, { type: 'close_requested' } as StreamEvent]);
    expect(ending).toMatchObject({ status: 'ending', endReason: 'close_requested' });
    const { state } = transition({ terms, role: 'miner' }, ending, REFUSED, 1_000);
    expect(state).toMatchObject({ status: 'live', endReason: undefined });
  });

  it('changes nothing of one that is live, was never open, or ends for another reason', () => {
    const live = streamAfter(OPENED);
    expect(streamAfter([...OPENED, REFUSED])).toEqual(live);
    const near = streamAfter([...OPENED, { type: 'expiry_near' } as StreamEvent]);
    expect(near.status).toBe('ending');
    expect(transition({ terms, role: 'miner' }, near, REFUSED, 1_000).state).toEqual(near);
    const early = streamAfter([SIGNED, { type: 'close_requested' } as StreamEvent]);
    expect(transition({ terms, role: 'miner' }, early, REFUSED, 1_000).state.status).toBe(early.status);
  });
});

describe('what is not signed', () => {
  const of = (verifiedWork: bigint, deliveredWork: bigint): StreamState => ({
    ...streamAfter(OPENED),
    ...{ verifiedWork, deliveredWork },
    signed: { n: 1, workHashes: 2n * EH, paidSat: 970n },
  });

  it('is the work beyond the newest state, and never less than none', () => {
    expect([unsignedWork(of(3n * EH, 0n)), exposedWork(of(0n, 3n * EH))]).toEqual([EH, EH]);
    expect([unsignedWork(of(EH, 0n)), exposedWork(of(0n, EH))]).toEqual([0n, 0n]);
    expect([unsignedWork(of(2n * EH, 0n)), exposedWork(of(0n, 2n * EH))]).toEqual([0n, 0n]);
    const none = { ...of(EH, EH), signed: undefined } as StreamState;
    expect([unsignedWork(none), exposedWork(none)]).toEqual([EH, EH]);
  });

  it('is worth what it would be paid, less what is signed', () => {
    expect(exposureSat(terms, of(0n, 3n * EH))).toBe(485n);
    expect(exposureSat(terms, of(0n, EH))).toBe(0n);
    expect(exposureSat(terms, { ...of(0n, EH), signed: undefined } as StreamState)).toBe(485n);
  });
});

describe('allowances of older terms', () => {
  it('are the defaults of version 3, which has its own', () => {
    expect([refusedPpm(terms), latePpm(terms), staleRacePpm(terms)]).toEqual([
      TERMS_DEFAULTS.refusedPpm,
      TERMS_DEFAULTS.latePpm,
      TERMS_DEFAULTS.staleRaceAllowancePpm,
    ]);
    const own = makeTermsV3({ refusedPpm: 7, latePpm: 8, staleRaceAllowancePpm: 9 });
    expect([refusedPpm(own), latePpm(own), staleRacePpm(own)]).toEqual([7, 8, 9]);
  });
});
