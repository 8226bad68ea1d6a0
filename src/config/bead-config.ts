import { toHex } from '../base/bytes.ts';
import { readAddress } from '../bitcoin/address.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { workerScriptHex } from '../bitcoin/worker-address.ts';
import type { Context } from './common-config.ts';
import type { BindingConfig } from './config.ts';
import type { Values } from './options.ts';
import type { PROXY_OPTIONS } from './proxy-options.ts';

/** The script of an address that beads have to pay; undefined where it was refused. */
export function beadScriptOf(
  path: string,
  address: string | undefined,
  network: NetworkName,
  context: Context,
): string | undefined {
  if (address === undefined) {
    context.refuse(path, 'is missing: beads have to pay it');
    return undefined;
  }
  const { script, why } = readAddress(address, network);
  if (script !== undefined) return toHex(script);
  context.refuse(path, `${address} ${why}`);
  return undefined;
}

type ProxyValues = Pick<Values<typeof PROXY_OPTIONS>, 'network' | 'contract' | 'destination'>;

/** The binding `bead` of a configured contract; its destination has to pay the maker. */
export function beadBindingOf(values: ProxyValues, context: Context): BindingConfig | undefined {
  const { network, contract, destination } = values;
  const { payoutAddress, profile, stopPpb, maxLoss: maxLossSat } = contract.beadBinding;
  const path = 'contract.bead_binding.payout_address';
  const scriptHex = beadScriptOf(path, payoutAddress, network, context);
  if (scriptHex === undefined) return undefined;
  destination.forEach((row, index) => {
    if (row.role !== 'contract' || row.name !== (contract.destination ?? row.name)) return;
    if (row.profile !== 'braidpool')
      context.refuse(`destination.${index}.profile`, 'must be "braidpool" for contract.binding "bead"');
    if (profile === 'spec' && row.rpcUrl === undefined)
      context.refuse(
        `destination.${index}.rpc_url`,
        'is missing: the node tells there what jobs commit to',
      );
    if (workerScriptHex(row.worker, network) !== scriptHex)
      context.refuse(
        `destination.${index}.worker`,
        `must begin with ${path}: beads of ${row.worker} would pay another, and none of the work be paid`,
      );
  });
  return { type: 'bead', scriptHex, profile, stopPpb, maxLossSat };
}
