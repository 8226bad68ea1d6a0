import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  contractFees,
  type Economics,
  leastHashrate,
  outcomeOf,
} from '../../src/operator/contract-economics.ts';
import { answer, refusal, sharestream } from '../cli/program.ts';

const BASE: Economics = {
  priceMsatPerEh: 532_407n,
  stepHashes: 10n ** 18n,
  maxUnpaidSteps: 3,
  seconds: 604_800n,
  shareDifficulty: 65_536,
  feeRateSatPerKvb: 5_000,
};

describe('what a contract comes to', () => {
  it('breaks even at exactly the least hashrate, whatever the terms (property)', () => {
    const terms = fc.record({
      priceMsatPerEh: fc.bigInt(1n, 10n ** 9n),
      seconds: fc.bigInt(60n, 10_000_000n),
      feeRateSatPerKvb: fc.integer({ min: 100, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(terms, (drawn) => {
        const economics = { ...BASE, ...drawn };
        const least = leastHashrate(economics, 1_000_000n);
        expect(outcomeOf(economics, least).netSat).toBeGreaterThanOrEqual(0n);
        expect(outcomeOf(economics, least - 1n).netSat).toBeLessThan(0n);
      }),
    );
  });

  it('knows what opening and closing cost the miner', () => {
    // A P2WPKH coin in and its change; the spend of the channel with two outputs: 99 and 180 vB.
    expect(contractFees(1_000)).toEqual({ openSat: 99n, closeSat: 180n });
    expect(contractFees(0)).toEqual({ openSat: 0n, closeSat: 0n });
  });

  it('says how often a miner finds a share and a step', () => {
    const bitaxe = outcomeOf(BASE, 10n ** 12n);
    expect(bitaxe.sharesPerMinute).toBeCloseTo(0.213, 3);
    expect(bitaxe.secondsPerStep).toBe(1_000_000);
    expect(bitaxe).toMatchObject({ earnsSat: 321n, feesSat: 1395n, netSat: -1074n, netMsatPerEh: 0n });
  });
});

describe('sharestream calc', () => {
  it('answers in all units from which hashrate a contract pays', async () => {
    const words = [
      'calc',
      '--price',
      '46000 sat/PH/day',
      '--hashrate',
      '200 TH/s',
      '--fee-rate',
      '10 sat/vB',
    ];
    const said = await answer<{ at: Record<string, unknown> }>(words);
    expect(said).toMatchObject({
      price: { sat_per_eh: '532.407', btc_per_ph_day: '0.000459999648' },
      fees: { open_sat: '990', close_sat: '1800' },
      break_even_hashes_per_second: '8664602903597',
      pays_from_hashes_per_second: '173292058071936',
      at: { earns_sat: '64399', net_sat: '61609', pays: true },
    });
    const { stdout } = await sharestream(words);
    expect(stdout).toContain('pays from  173 TH/s: there fees are 5 % of it');
  });

  it('takes a sale in words, and says what is rounded', async () => {
    // 60 TH/s for a minute are 0.0036 EH, for a week 36.288; 30 / 0.0036 = 8333.33 sat an EH.
    const words = ['calc', '30 sats for 60TH/minute for 1 week', '--value', '500 sat/EH'];
    expect(await answer(words)).toMatchObject({
      sale: '8333.333 sat/EH of 60 TH/s for 1 week',
      floored: '8333.33... sat/EH, floored to 8333333 msat/EH',
      price: { msat_per_eh: '8333333' },
      at: { work_hashes: '36288000000000000000', earns_sat: '302399' },
      off_market: expect.stringMatching(
        /^is that meant\? the price is 16\.7 times what hashes are worth: 500 sat/,
      ),
    });
    const { stdout } = await sharestream(words);
    expect(stdout).toContain('36.288 EH earn 302399 sat, floored once');
  });

  it('refuses what it cannot read', async () => {
    expect(await refusal(['calc', '30 sats per 60 TH for 1 week'])).toBe('2 usage');
    expect(await refusal(['calc', '30 sats per EH', '--price', '30 sat/EH'])).toBe('2 usage');
    expect(await refusal(['calc'])).toBe('2 usage');
    expect(await refusal(['calc', '--price', '46000 sat/PH'])).toBe('2 usage');
    expect(await refusal(['calc', '--price', '1 sat/EH', '--for', '0s'])).toBe('2 usage');
    expect(await refusal(['calc', '--price', '1 sat/EH', '--hashrate', '0 H/s'])).toBe('2 usage');
  });
});
