import { bondCoins } from '../../../src/channel/bonds.ts';
import type { Finding } from '../audit.ts';
import type { Side } from '../network.ts';
import { storedOf } from '../outcome.ts';
import type { Stage } from '../stage.ts';
import { paramsOf } from './tools.ts';

/** The seal, where it was not claimed. */
export async function sealLeft({ world }: Stage): Promise<readonly Finding[]> {
  const params = await paramsOf(world);
  if (params?.seal === undefined) return [];
  const isLeft = world.chain.coin(params.funding.txid, params.seal.vout, false) !== undefined;
  return isLeft ? [{ rule: 'the seal is not claimed', seen: `of ${world.terms.seal?.sealSat} sat` }] : [];
}

/** The bonds of those sides that are on the chain, and whose. */
export async function bondsLeft({ world }: Stage, sides: readonly Side[]): Promise<readonly Finding[]> {
  const params = await paramsOf(world);
  const last = (await storedOf(world, 'miner'))?.last;
  if (params === undefined || last === undefined) return [];
  const found: Finding[] = [];
  for (let rung = 0; rung < last.signatures.length; rung += 1) {
    for (const { owner, txid, vout } of bondCoins(params, last.workHashes, rung)) {
      const isLeft = world.chain.coin(txid, vout, false)?.confirmed === true;
      if (isLeft && sides.includes(owner)) found.push({ rule: 'a bond is left', seen: `of the ${owner}` });
    }
  }
  return found;
}
