import { toHex } from '../base/bytes.ts';
import { readAddress } from './address.ts';
import type { NetworkName } from './network.ts';

/**
 * The script (hex) that a worker name pays whose first part is an address: what stands before the first dot,
 * since a Braidpool node takes the whole name for the payout address of a bead (`BRAIDPOOL.md`, A2).
 * Undefined where that is no address of the network: such a bead pays nobody.
 */
export function workerScriptHex(worker: string, network: NetworkName): string | undefined {
  const [address = ''] = worker.split('.', 1);
  const { script } = readAddress(address, network);
  return script === undefined ? undefined : toHex(script);
}
