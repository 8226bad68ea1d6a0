import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { incomeCommand, makerPnl } from '../../src/cli/accounts.ts';
import { auditCommand } from '../../src/cli/audit.ts';
import { helpOf } from '../../src/cli/command.ts';
import { contractList, contractQuote, contractShow, contractTake } from '../../src/cli/contract.ts';
import { contractUpdates } from '../../src/cli/contract-updates.ts';
import { evidenceExport } from '../../src/cli/evidence.ts';
import { makerPaid } from '../../src/cli/maker-policy.ts';
import { MarketStand, STEP_HASHES, satPerHash } from './market-stand.ts';

/** A contract of a quote whose price moves, promised and under an auditor, from the question to the audit. */

const DAY = 144;
const HASHES_PER_SECOND = 6_000;

const stand = new MarketStand({
  hasAuditor: true,
  sell: `floor_price = "${satPerHash(0.05)}"
work = "${400n * STEP_HASHES} H"
rate = "${HASHES_PER_SECOND / 2} H/s"
max_rate = "${HASHES_PER_SECOND * 4} H/s"
prices = ["moving"]
off_market = 1.5
[sell.delivery]
enabled = true
[sell.bonds]
mode = "auditor"
collateral = "20000 sat"
maker_bond = "20000 sat"
csv_blocks = 144`,
  policy: `max_price = "${satPerHash(2)}"
max_index_premium = 0
max_expiry_blocks = 4320
[policy.pricing]
rule = "collar"
strike = "${satPerHash(0.1)}"
share = 1
min_price = "${satPerHash(0.05)}"
epoch = "day"
[policy.bonds]
modes = ["auditor"]
max_maker_bond = "20000 sat"
min_collateral = "1000 sat"`,
});

const chain = () => stand.devnet.chain;

/** An edge that is not buried yet when the contract begins, and the blocks over it that bury it. */
const EDGE = 2 * DAY;
const BURIED = 7;

beforeAll(() => stand.begin(EDGE - 8), 240_000);
afterAll(() => stand.end(), 60_000);

type Update = { readonly from_hashes: string; readonly price_msat_per_eh: string };
type Signed = {
  readonly update: Update;
  readonly miner_signature: string;
  readonly maker_signature: string;
};
type Channel = { readonly status: string; readonly state_number: number; readonly paid_sat: string };

const updates = async (role: 'proxy' | 'maker'): Promise<readonly Signed[]> =>
  (await stand.type(role, contractUpdates, '--json')).json()['agreed'] as readonly Signed[];
const channel = async (role: 'proxy' | 'maker'): Promise<Channel | undefined> =>
  ((await stand.type(role, contractList, '--json')).json()['channels'] as readonly Channel[])[0];
const n = async (role: 'proxy' | 'maker'): Promise<number> => (await channel(role))?.state_number ?? 0;

const WAIT = { timeout: 90_000, interval: 250 } as const;

it('is refused over the API while nobody says that the price is meant', async () => {
  const quote = await stand.type('proxy', contractQuote, '--json');
  const [first] = quote.json()['quotes'] as readonly Record<string, unknown>[];
  expect(first).toMatchObject({ maker: 'desk', price: { type: 'collar' }, off_market: { side: 'below' } });
  const { text } = await stand.type('proxy', contractQuote);
  expect(text).toMatch(/^1\. desk: [\d.]+ sat\/EH = /);
  expect(text).toContain('0.0001 % of the distance to the value of hashes, set anew each 144 blocks');
  expect(text).toContain('off the market: the price is 0.0001');
  expect(text).toContain('binding work, earns ');
  const dry = await stand.type('proxy', contractTake, '--dry-run', '--off-market');
  expect([dry.code, dry.text.trimEnd().endsWith('the first would be taken')]).toEqual([0, true]);
  const unsure = await stand.type('proxy', contractTake, '--off-market');
  expect([unsure.code, unsure.text]).toEqual([1, expect.stringContaining('--yes')]);
  const nobody = await stand.type('proxy', contractQuote, 'nobody');
  expect(nobody.text).toContain('usage: "nobody" is no [[maker]] and no offer');
  const refused = await stand.type('proxy', contractTake, '--yes', '--json');
  expect([refused.code, refused.text]).toEqual([
    1,
    expect.stringContaining('off_market: the price is 0.0001'),
  ]);
  expect(await channel('proxy')).toBeUndefined();
}, 60_000);

/** Nothing is found in the exports but, where all of it took less than a minute, no minute to judge by. */
async function expectClean(...files: readonly string[]): Promise<void> {
  const audit = await stand.type('auditor', auditCommand, ...files, '--json');
  const { verdict, finding, rulings } = audit.json();
  const isShort = /no minute in common/.test(String((finding as { words?: string } | null)?.words));
  expect([audit.code, verdict, isShort ? null : finding, rulings]).toEqual([
    ...(isShort ? [4, 'undecided'] : [0, 'agreed']),
    ...[null, []],
  ]);
}

it('is taken, opened, streamed over a step of its price by blocks, and audited clean', async () => {
  const taken = await stand.type('proxy', contractTake, '--off-market', '--yes', '--json');
  expect(taken.code).toBe(0);
  const terms = taken.json()['terms'];
  expect(terms).toMatchObject({ price: { type: 'collar', share_ppm: 1 }, bonds: { bond_mode: 'auditor' } });
  expect(terms).toHaveProperty('delivery.window_minutes');
  const opened = async (): Promise<unknown> => {
    const { status } = (await channel('proxy')) ?? {};
    if (status === 'funding') chain().generate(1);
    return status;
  };
  await expect.poll(opened, { ...WAIT, interval: 1_000 }).toBe('open');
  const stopMining = await stand.mine(HASHES_PER_SECOND);
  await expect.poll(() => n('proxy'), WAIT).toBeGreaterThan(1);
  const missing = EDGE + BURIED - chain().height;
  if (missing > 0) chain().generate(missing);
  await expect.poll(async () => (await updates('maker')).length, WAIT).toBe(2);
  const [first, second] = await updates('maker');
  // The subsidy halved in between.
  expect(BigInt(second!.update.price_msat_per_eh)).toBeLessThan(BigInt(first!.update.price_msat_per_eh));
  // The same to the byte at both: the events that they sign have the signatures.
  expect(await updates('proxy')).toEqual([first, second]);
  const fromState = Number(BigInt(second!.update.from_hashes) / STEP_HASHES);
  await expect.poll(() => n('proxy'), WAIT).toBeGreaterThan(fromState + 1);
  await stopMining();
  const before = await channel('proxy');
  await expect
    .poll(() => channel('maker'), WAIT)
    .toMatchObject({ paid_sat: (await channel('proxy'))!.paid_sat });
  expect(BigInt((await channel('proxy'))!.paid_sat)).toBeGreaterThanOrEqual(BigInt(before!.paid_sat));

  const files = ['proxy', 'maker'].map((role) => join(stand.directory, `${role}.evidence`));
  for (const [index, role] of (['proxy', 'maker'] as const).entries())
    expect(await stand.type(role, evidenceExport, '--out', files[index]!)).toMatchObject({ code: 0 });
  await expectClean(...files);
  await expectClean(files[1]!);
}, 240_000);

it('is told by the commands of both, in words, for programs and as a table', async () => {
  const show = await stand.type('proxy', contractShow);
  expect(show.code).toBe(0);
  const paid = (await channel('proxy'))!.paid_sat;
  const listed = await stand.type('proxy', contractList);
  expect(listed.text).toContain(paid);
  const income = (await stand.type('proxy', incomeCommand, '--json')).json();
  expect(income['totals']).toMatchObject({ signed_sat: paid, payees_sat: '0', own_sat: paid });
  expect((await stand.type('proxy', incomeCommand)).text).toMatch(/^all {2}.*signed_sat \d+/m);
  const table = (await stand.type('maker', makerPnl, '--csv')).text.trimEnd().split('\n');
  expect(table[0]).toMatch(/^contract,status,work_hashes,settled_sat,at_risk_sat,.*,cost_sat$/);
  expect(table).toHaveLength(2);
  const pnl = (await stand.type('maker', makerPnl, '--json')).json();
  expect(pnl['totals']).toMatchObject({ paid_sat: paid });
  // What is credited on jobs of a pool is owed by it, until somebody says that it paid.
  const said = await stand.type('maker', makerPaid, 'maker-pool', '2048 H');
  expect([said.code, said.text]).toEqual([0, expect.stringMatching(/^maker-pool owes for \d+ hashes/)]);
  const unknown = await stand.type('maker', makerPaid, 'another', '2048 H');
  expect(unknown.code).toBe(1);
  expect(unknown.text).toMatch(/^[a-z_]+: .*another/);
  expect((await stand.type('maker', makerPaid, 'maker-pool')).text).toContain(
    'usage: say the pool, and the work',
  );
  for (const command of [
    contractQuote,
    contractTake,
    contractList,
    contractShow,
    incomeCommand,
    makerPnl,
    makerPaid,
  ]) {
    const help = helpOf(command);
    expect(help).toContain(`sharestream ${command.name} `);
    for (const name of [...Object.keys(command.options), 'json', 'help'])
      expect(help).toContain(`--${name}`);
  }
}, 60_000);
