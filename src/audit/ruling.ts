import { bondCoins } from '../channel/bonds.ts';
import type { ChannelRole } from '../channel/keys.ts';
import type { ChannelParams } from '../channel/params.ts';
import { exportPsbt } from '../channel/psbt.ts';
import { bondSpendRequest } from '../channel/signing-requests.ts';
import { ladderOf, type SignedState } from '../channel/states.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { otherSide } from '../contract/sides.ts';

/** A ruling, for the auditor of the terms to sign: the spend of one bond to the side that is right. */
export type Ruling = {
  /** As the daemon of that side names its request, whose answer is this one signed. */
  readonly fileName: string;
  readonly owner: ChannelRole;
  readonly payee: ChannelRole;
  readonly valueSat: bigint;
  readonly psbt: string;
};

/**
 * The rulings against one side, for the bonds of a state: one set for each rung, of which a block holds one
 * at most. None where the terms have no auditor, or all has vested.
 */
export function rulingsAgainst(
  blame: ChannelRole,
  params: ChannelParams,
  { workHashes }: Pick<SignedState, 'workHashes'>,
  feeRateSatPerKvb: number,
): readonly Ruling[] {
  if (bondsOf(params.terms).bondMode !== 'auditor') return [];
  const payee = otherSide(blame);
  return ladderOf(params, workHashes).flatMap((_level, rung) =>
    bondCoins(params, workHashes, rung).map((coin): Ruling => {
      const psbt = exportPsbt(bondSpendRequest(params, { coin, payee, feeRateSatPerKvb }), []);
      const what = `ruling-${coin.owner}-${coin.txid.slice(0, 8)}`;
      const fileName = `${params.contractId}.${what}.${feeRateSatPerKvb}.psbt`;
      return { fileName, owner: coin.owner, payee, valueSat: coin.valueSat, psbt };
    }),
  );
}
