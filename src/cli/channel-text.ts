import type { ClosePlan } from '../operator/channel-plan.ts';
import type { ChannelRow } from '../operator/channel-report.ts';
import type { CloseResult } from '../operator/channel-tools.ts';
import type { OutputView, TransactionView } from '../operator/transaction-view.ts';

const KINDS: Readonly<Record<TransactionView['kind'], string>> = {
  state: 'newest state, by the miner alone',
  close: 'cooperative close, by both',
  refund: 'refund, by the market maker alone',
  bond_return: 'bond back to its owner',
  seal_claim: 'claim of the seal, by the market maker',
  seal_refund: 'seal back to the miner',
};

const OWNERS: Readonly<Record<OutputView['to'], string>> = {
  miner: 'miner',
  maker: 'market maker',
  payee: 'payee',
  miner_bond: 'bond of the miner',
  maker_bond: 'bond of the market maker',
  commitment: 'commitment (data)',
  maker_seal: 'next seal of the market maker',
};

export function rowText(row: ChannelRow): string {
  const state = row.state_number === null ? 'no state' : `state ${row.state_number}`;
  const reason = row.reason === '' ? '' : ` (${row.reason})`;
  const paid = `paid ${row.paid_sat} of ${row.budget_sat} sat`;
  const parts = [row.contract, row.role, `${row.status}${reason}`, state, paid];
  return [...parts, `expires at ${row.expiry_height}`].join('  ');
}

/** Nested facts, one a line: `terms.step_hashes  524288`. */
export function factsText(value: object, prefix = ''): string {
  return Object.entries(value)
    .map(([key, item]: [string, unknown]) => {
      const name = `${prefix}${key}`;
      const isList = Array.isArray(item) && item.every((each) => typeof each !== 'object');
      if (isList) return `${name}  ${item.join(' ')}`;
      if (typeof item === 'object' && item !== null) return factsText(item, `${name}.`);
      return `${name}  ${item === null || item === '' ? '-' : String(item as string | number | bigint)}`;
    })
    .join('\n');
}

export function planText(plan: ClosePlan): string {
  const { transaction, later, ladder, can_confirm: when } = plan;
  const lines = [
    `Nothing is broadcast. \`${plan.action}\` of ${plan.contract} (${plan.role}) at state ${plan.state_number}:`,
    '',
    ...transactionLines(transaction),
    ...(plan.psbt === null ? [] : [`  psbt         ${plan.psbt}`]),
    `  confirms     ${when.now ? 'now' : 'not now'}: ${when.why}`,
  ];
  if (ladder.length > 1) {
    lines.push('', 'Fees it could have:');
    lines.push(...ladder.map(({ rate, fee_sat, txid }) => `  ${satPerVb(rate)}  ${fee_sat} sat  ${txid}`));
  }
  for (const view of later) lines.push('', 'Afterwards:', ...transactionLines(view));
  return lines.join('\n');
}

function transactionLines(view: TransactionView): string[] {
  return [
    `  ${KINDS[view.kind]}${view.signed ? '' : ' (not signed)'}`,
    `  txid         ${view.txid}`,
    `  spends       ${view.spends.txid}:${view.spends.vout}, ${view.spends.value_sat} sat`,
    `  fee          ${view.fee_sat} sat, ${satPerVb(view.fee_rate_sat_per_kvb)}, ${view.vsize} vB`,
    ...view.outputs.map(outputLine),
    ...(view.valid_from_height === null ? [] : [`  valid from   height ${view.valid_from_height}`]),
    ...(view.valid_after_blocks === null
      ? []
      : [`  valid after  ${view.valid_after_blocks} confirmations of what it spends`]),
    `  hex          ${view.hex}`,
  ];
}

function outputLine({ to, address, value_sat: sat, lock }: OutputView): string {
  const line = `  pays         ${sat} sat to the ${OWNERS[to]}, ${address}`;
  if (lock === null) return line;
  const alone =
    lock.owner_alone_after_blocks === null
      ? ''
      : `, the ${lock.owner} alone after ${lock.owner_alone_after_blocks} blocks`;
  return `${line} (two of ${lock.two_of.join(', ')}${alone})`;
}

function satPerVb(satPerKvb: number): string {
  return `${(satPerKvb / 1000).toFixed(1)} sat/vB`;
}

export function resultText(result: CloseResult): string {
  if (result.close_txid === null) {
    return 'Asked for. Both sides sign what is left and close; `channel show` says how far it is.';
  }
  const depth =
    result.confirmations === null || result.confirmations === 0
      ? 'in the mempool'
      : `${result.confirmations} confirmations`;
  const fee = result.fee_sat === null ? '' : `, fee ${result.fee_sat} sat`;
  return `Closed by ${result.close_txid}: ${depth}${fee}.`;
}
