import { READS } from '../api/operations.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { formatSi } from '../base/units.ts';
import { Invalid, WORK } from '../config/values.ts';
import { type ActionName, requestAction, requestRead } from '../operator/daemon-action.ts';
import { daemonOf, print, READ_OPTIONS } from './channel-access.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

const OPTIONS = { config: READ_OPTIONS['config']! } as const;

export const makerPolicyShow: Command = {
  name: 'maker policy show',
  summary: 'the policy of a running market maker: what its file says, and what was set since',
  usage: '--config FILE',
  help: [
    'Asks the running daemon. What was set with `maker policy set` stands beside what holds without it.',
  ],
  options: OPTIONS,
  run: async (options, io) => {
    const result = await ask(options, io, 'policy/show');
    print(options, io, result, policyText(result));
    return 0;
  },
};

export const makerPolicySet: Command = {
  name: 'maker policy set',
  summary: 'change the policy of a running market maker; it is on disk at once and outlives restarts',
  usage: '--config FILE NAME=VALUE... [--dry-run]',
  words: 32,
  help: [
    'NAME is an option of [policy], such as max_price, halt or pricing.premium; VALUE is written as in the file. NAME= takes',
    'it back to the configuration in force (`sharestream reload`); the whole is checked first. `halt=true` takes nothing new.',
    'Contracts that run keep what was agreed. Quotes that hold keep their price; while it is halted they are refused.',
  ],
  options: { ...OPTIONS, 'dry-run': { type: 'boolean', help: 'show what would hold, and set nothing' } },
  run: async (options, io) => {
    const changes = Object.fromEntries(options.positionals.map(changeOf));
    if (Object.keys(changes).length === 0) throw new CodedError('usage', 'say what to set: NAME=VALUE');
    const dryRun = options.flag('dry-run') ? { dry_run: true } : {};
    const result = await ask(options, io, 'policy/set', { changes, ...dryRun });
    print(options, io, result, policyText(result));
    return 0;
  },
};

export const makerPaid: Command = {
  name: 'maker paid',
  summary: 'note that a pool paid for work, so that its jobs may be sold under further contracts',
  usage: '--config FILE POOL WORK',
  words: 2,
  help: [
    'What is credited to miners for the jobs of a [[pool]] counts as owed by it, in work, until you say that it paid: by this.',
    'policy.max_pool_unpaid bounds it; `maker book` shows it. WORK is written as in the file, such as "120 EH".',
  ],
  options: OPTIONS,
  run: async (options, io) => {
    const [pool, said] = options.positionals;
    if (pool === undefined || said === undefined)
      throw new CodedError('usage', 'say the pool, and the work');
    const hashes = WORK.parse(said);
    if (hashes instanceof Invalid) throw new CodedError('usage', `WORK ${hashes.why}`);
    const result = await ask(options, io, 'pool/paid', { pool, hashes: String(hashes) });
    const { unpaid_hashes: unpaid } = result as Row;
    print(options, io, result, `${pool} owes for ${wordOf(unpaid)} hashes`);
    return 0;
  },
};

export const makerBookCommand: Command = {
  name: 'maker book',
  summary: 'what a running market maker has bought, for whom, against which limits, and what it refused',
  usage: '--config FILE',
  help: [
    'Asks the running daemon: exposure in all and by miner, inventory, quotes that hold, the last refusals.',
  ],
  options: OPTIONS,
  run: async (options, io) => {
    const { url, dataDir } = daemonOf(options, io);
    const result = await requestRead(url, dataDir, READS.maker.getBook);
    print(options, io, result, bookText(result));
    return 0;
  },
};

function ask(options: ParsedOptions, io: CommandIo, action: ActionName, input?: Record<string, unknown>) {
  const daemon = daemonOf(options, io);
  return requestAction(daemon.url, daemon.dataDir, action, input) as Promise<object>;
}

function changeOf(word: string): readonly [string, string | null] {
  const at = word.indexOf('=');
  if (at < 1) throw new CodedError('usage', `${JSON.stringify(word)} is not NAME=VALUE`);
  const value = word.slice(at + 1);
  return [word.slice(0, at), value === '' ? null : value];
}

type Row = Readonly<Record<string, unknown>>;

const rowsOf = (value: unknown): readonly Row[] => (Array.isArray(value) ? value.filter(isRecord) : []);
const wordOf = (value: unknown): string => (typeof value === 'string' ? value : String(value ?? '-'));

function policyText(result: object): string {
  const { halted, policy, dry_run } = result as Row;
  const rows = rowsOf(policy);
  const width = Math.max(...rows.map(({ name }) => wordOf(name).length));
  const lines = rows.map(({ name, value, from, otherwise }) => {
    const set = from === 'set' ? `set; without that ${wordOf(otherwise)}` : wordOf(from);
    return `${wordOf(name).padEnd(width)}  ${wordOf(value)}  (${set})`;
  });
  const state = halted === true ? ['halted: nothing new is taken'] : [];
  return [...(dry_run === true ? ['nothing was set; it would be:'] : []), ...state, ...lines].join('\n');
}

/** What today's value of hashes says against a price, and who would gain by leaving. */
function marketText({ off_market: off, leaving_pays: leaving }: Row): string {
  const far = isRecord(off) ? [`${Number(off['of_value_ppm']) / 10_000} % of the value of hashes`] : [];
  const words = [...far, ...(typeof leaving === 'string' ? [`leaving pays the ${leaving}`] : [])];
  return words.length === 0 ? '' : `  ${words.join(', ')}`;
}

function bookText(result: object): string {
  const book = result as Row;
  const exposure = isRecord(book['exposure']) ? book['exposure'] : {};
  const rate = isRecord(book['rate']) ? book['rate'] : {};
  const hps = (value: unknown): string =>
    value === null || value === undefined ? 'any' : formatSi(Number(value), 'H/s');
  const sat = (row: Row, name: string): string => `${wordOf(row[name])} sat`;
  const head = (value: unknown): string => wordOf(value).slice(0, 16);
  const moneyOf = (row: Row): string => `locked ${sat(row, 'locked_sat')}  paid ${sat(row, 'paid_sat')}`;
  return [
    ...(book['halted'] === true ? ['halted: nothing new is taken'] : []),
    `locked     ${sat(exposure, 'locked_sat')} of ${sat(exposure, 'of_max_sat')}`,
    `strangers  ${sat(exposure, 'strangers_locked_sat')} of ${sat(exposure, 'of_strangers_max_sat')}`,
    `inventory  ${wordOf(book['inventory_hashes'])} hashes, wanted ${wordOf(book['target_inventory_hashes'])}`,
    `rate       ${hps(rate['now_hps'])} now, ${hps(rate['peak_hps'])} at most, of ${hps(rate['of_max_hps'])}`,
    ...rowsOf(book['pools']).map(
      (row) =>
        `pool       ${wordOf(row['pool'])}  owes for ${wordOf(row['unpaid_hashes'])} hashes of ${wordOf(row['of_max_hashes'] ?? 'any')}`,
    ),
    ...rowsOf(exposure['miners']).map(
      (row) => `miner      ${head(row['miner'])}  ${wordOf(row['contracts'])} contracts  ${moneyOf(row)}`,
    ),
    ...rowsOf(book['contracts']).map(
      (row) =>
        `contract   ${head(row['contract'])}  ${wordOf(row['channel'])}  ${moneyOf(row)}${marketText(row)}`,
    ),
    ...rowsOf(book['quotes']).map(
      (row) => `quote      ${head(row['miner'])}  ${sat(row, 'budget_sat')}${marketText(row)}`,
    ),
    ...rowsOf(book['refused']).map(
      (row) => `refused    ${wordOf(row['at'])}  ${head(row['node_id'])}  ${wordOf(row['reason'])}`,
    ),
  ].join('\n');
}
