import { describe, expect, it } from 'vitest';
import { rulingsAgainst } from '../../src/audit/ruling.ts';
import { toHex } from '../../src/base/bytes.ts';
import { bondCoins, bondKeyOf, finalizeBondSpend, signBondSpend } from '../../src/channel/bonds.ts';
import { psbtSignature, signPsbt } from '../../src/channel/psbt.ts';
import { bondSpendRequest } from '../../src/channel/signing-requests.ts';
import { signState } from '../../src/channel/states.ts';
import {
  auditorSigner,
  EH,
  keysOf,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
} from '../channel/fixtures.ts';

const RATE = 2000;

describe('a ruling', () => {
  it.each([
    ['maker', minerSigner, 'miner'],
    ['miner', makerSigner, 'maker'],
  ] as const)(
    'against the %s gives both bonds to the other side, with the auditor',
    (blame, winner, payee) => {
      const terms = makeTerms({ bonds: makeBonds('auditor') });
      const params = makeParams({ keys: keysOf(terms) }, terms);
      const state = signState(params, 1, 10n * EH, makerSigner);
      const rulings = rulingsAgainst(blame, params, state, RATE);
      expect(rulings).toHaveLength(2 * state.signatures.length);
      expect(new Set(rulings.map(({ fileName }) => fileName)).size).toBe(rulings.length);
      for (const [index, coin] of bondCoins(params, state.workHashes, 0).entries()) {
        const ruling = rulings[index]!;
        expect(ruling).toMatchObject({ owner: coin.owner, payee, valueSat: coin.valueSat });
        expect(ruling.fileName).toContain(`.ruling-${coin.owner}-${coin.txid.slice(0, 8)}.${RATE}.psbt`);
        const spend = { coin, payee, feeRateSatPerKvb: RATE };
        const request = bondSpendRequest(params, spend);
        const signed = signPsbt(request, ruling.psbt, auditorSigner);
        const auditor = psbtSignature(request, signed, bondKeyOf(params, 'auditor'));
        const own = signBondSpend(params, spend, payee, winner);
        const { hex } = finalizeBondSpend(params, spend, { [payee]: own, auditor });
        const script = payee === 'miner' ? params.minerPayoutScript : params.makerPayoutScript;
        expect(hex).toContain(toHex(script));
      }
    },
  );

  it('there is none without an auditor', () => {
    const terms = makeTerms({ bonds: makeBonds('hostage') });
    const params = makeParams({ keys: keysOf(terms) }, terms);
    expect(rulingsAgainst('maker', params, signState(params, 1, EH, makerSigner), RATE)).toEqual([]);
  });
});
