import type { Account, Accounts, DayOfPay } from '../operator/accounts.ts';
import { accountsOf } from '../operator/accounts.ts';
import { openForReading } from '../operator/channel-access.ts';
import type { Party } from '../operator/transaction-view.ts';
import { accessOf, DEPS, print, READ_OPTIONS } from './channel-access.ts';
import type { Command, CommandIo, OptionSpec, ParsedOptions } from './command.ts';

const CSV: OptionSpec = { type: 'boolean', help: 'print the contracts as CSV' };
const DAYS: OptionSpec = { type: 'boolean', help: 'with --csv: the days instead of the contracts' };
const USAGE = '--config FILE | --ledger FILE [--csv [--days]]';
const OPTIONS = { ...READ_OPTIONS, csv: CSV, days: DAYS };

export const incomeCommand: Command = {
  name: 'income',
  summary: 'what a miner earned: by contract and maker, and by day',
  usage: USAGE,
  help: [
    'By the ledger of a proxy, also while it runs. Signed pay can be taken at any time; settled pay is in a final close; at risk is the',
    'pay of delivered work that no state covers. The pay of a state counts for the UTC day of the last share it pays for.',
  ],
  options: OPTIONS,
  run: (options, io) => show('miner', options, io),
};

export const makerPnl: Command = {
  name: 'maker pnl',
  summary: 'what a market maker paid: by contract, and by day, with what was found for it',
  usage: USAGE,
  help: [
    'By the ledger of a market maker, also while it runs. Beside the pay stand the blocks and the shares of its pool’s target that the',
    'work had; what they were paid for is said by the pool.',
  ],
  options: OPTIONS,
  run: (options, io) => show('maker', options, io),
};

async function show(role: Party, options: ParsedOptions, io: CommandIo): Promise<number> {
  const ledger = await openForReading(accessOf(options, io), DEPS.log);
  let accounts: Accounts;
  try {
    accounts = await accountsOf(ledger, role);
  } finally {
    await ledger.close();
  }
  const contracts = accounts.contracts.map((account) => contractRow(role, account));
  const days = accounts.days.map((day) => dayRow(role, day));
  const totals = totalsOf(contracts);
  if (options.flag('csv') && !options.flag('json')) {
    io.stdout.write(csvOf(options.flag('days') ? days : contracts));
    return 0;
  }
  print(options, io, { contracts, days, totals }, text(contracts, days, totals));
  return 0;
}

type Row = Readonly<Record<string, string | number | bigint>>;

function contractRow(role: Party, account: Account): Row {
  const { contract, status, workHashes, signedSat, payeesSat, settledSat, atRiskSat } = account;
  const { feesSat, bondSat, budgetSat, unspentSat, blocks, poolSolutions } = account;
  const shared = {
    contract,
    status,
    work_hashes: workHashes,
    settled_sat: settledSat,
    at_risk_sat: atRiskSat,
  };
  const staked = { fees_sat: feesSat, bond_sat: bondSat };
  if (role === 'miner')
    return {
      ...{ ...shared, maker: account.maker, signed_sat: signedSat, payees_sat: payeesSat },
      ...{ own_sat: signedSat - payeesSat, ...staked, net_sat: signedSat - payeesSat - feesSat },
    };
  return {
    ...{ ...shared, miner: account.miner, paid_sat: signedSat, ...staked },
    ...{ budget_sat: budgetSat, unspent_sat: unspentSat, blocks, pool_solutions: poolSolutions },
    cost_sat: signedSat + feesSat,
  };
}

function dayRow(
  role: Party,
  { day, contract, miner, maker, workHashes, signedSat, payeesSat }: DayOfPay,
): Row {
  const shared = { day, contract, work_hashes: workHashes };
  if (role === 'maker') return { ...shared, miner, paid_sat: signedSat };
  const own = { payees_sat: payeesSat, own_sat: signedSat - payeesSat };
  return { ...shared, maker, signed_sat: signedSat, ...own };
}

/** Each amount over all rows. */
function totalsOf(rows: readonly Row[]): Row {
  const totals: Record<string, bigint> = {};
  for (const row of rows)
    for (const [name, value] of Object.entries(row))
      if (typeof value === 'bigint') totals[name] = (totals[name] ?? 0n) + value;
  return totals;
}

function csvOf(rows: readonly Row[]): string {
  const [first] = rows;
  if (first === undefined) return '';
  const names = Object.keys(first);
  return [names, ...rows.map((row) => names.map((name) => String(row[name])))]
    .map((cells) => `${cells.join(',')}\n`)
    .join('');
}

function text(contracts: readonly Row[], days: readonly Row[], totals: Row): string {
  if (contracts.length === 0) return 'the ledger has no contract of this role';
  const line = (row: Row): string =>
    Object.entries(row)
      .map(([name, value]) => `${name} ${name === 'contract' ? String(value).slice(0, 16) : String(value)}`)
      .join('  ');
  return [...days.map(line), ...contracts.map(line), `all  ${line(totals)}`].join('\n');
}
