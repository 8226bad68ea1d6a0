import { toHex } from '../base/bytes.ts';
import { readAddress } from '../bitcoin/address.ts';
import type { NetworkName } from '../bitcoin/network.ts';

/**
 * The script (hex) that a bead's payout address pays: what stands before the first dot, since a node takes
 * the whole worker name for the address (`BRAIDPOOL.md`, A2). Undefined where that is no address of the
 * network: such a bead pays nobody we know.
 */
export function payeeScriptOf(payoutAddress: string, network: NetworkName): string | undefined {
  const [address = ''] = payoutAddress.split('.', 1);
  const { script } = readAddress(address, network);
  return script === undefined ? undefined : toHex(script);
}
