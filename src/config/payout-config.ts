import { toHex } from '../base/bytes.ts';
import { readAddress } from '../bitcoin/address.ts';
import type { Context } from './common-config.ts';
import type { BindingConfig } from './config.ts';
import type { Values } from './options.ts';
import type { PROXY_OPTIONS } from './proxy-options.ts';

type ProxyValues = Pick<Values<typeof PROXY_OPTIONS>, 'network' | 'contract'>;
type PayoutConfig = Extract<BindingConfig, { readonly type: 'payout' }>;

const WHOLE_PPM = 1_000_000;
const PATH = 'contract.payout_binding.outputs';

/** The binding `payout` of a configured contract: its payees, or the market maker alone. */
export function payoutBindingOf(values: ProxyValues, context: Context): BindingConfig | undefined {
  const { bindingScript: scriptHex, payoutBinding, termsVersion } = values.contract;
  const { outputs: rows, ...binding } = payoutBinding;
  if (rows.length === 0) {
    if (scriptHex !== undefined)
      return { type: 'payout', ...binding, outputs: [{ scriptHex, ppm: WHOLE_PPM }] };
    context.refuse('contract.binding_script', 'is missing: contract.binding "payout" needs it');
    return undefined;
  }
  if (termsVersion === 2) context.refuse('contract.terms_version', `2 has no ${PATH}`);
  const outputs = payeesOf(values, context);
  if (outputs === undefined) return undefined;
  if (scriptHex !== undefined && !outputs.some((output) => output.scriptHex === scriptHex))
    context.refuse('contract.binding_script', `is none of ${PATH}`);
  return { type: 'payout', ...binding, outputs };
}

function payeesOf(
  { network, contract }: ProxyValues,
  context: Context,
): PayoutConfig['outputs'] | undefined {
  const rows = contract.payoutBinding.outputs;
  const outputs = rows.flatMap(({ address, script, ppm }, index) => {
    const at = `${PATH}.${index}`;
    if ((address === undefined) === (script === undefined)) {
      context.refuse(`${at}.address`, 'or script: a payee has one of them');
      return [];
    }
    const read = script === undefined ? readAddress(address!, network) : undefined;
    const scriptHex = script ?? (read?.script === undefined ? undefined : toHex(read.script));
    if (scriptHex !== undefined) return [{ scriptHex, ppm }];
    context.refuse(`${at}.address`, `${address} ${read?.why}`);
    return [];
  });
  if (outputs.length < rows.length) return undefined;
  const totalPpm = outputs.reduce((sum, { ppm }) => sum + ppm, 0);
  if (totalPpm !== WHOLE_PPM)
    context.refuse(PATH, `have ${totalPpm} ppm together, and must have 1,000,000`);
  if (new Set(outputs.map(({ scriptHex }) => scriptHex)).size < outputs.length)
    context.refuse(PATH, 'name one payee twice');
  return outputs;
}
