import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { Psbt, Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { channelIndexOf } from '../../src/channel/channel-index.ts';
import { SHARE } from '../maker/world.ts';
import { Aftermath, type Side } from './ledgers.ts';
import { answer, refusal, sharestream } from './program.ts';

/** The parts of a plan that the tests read. */
type Plan = {
  dry_run: true;
  state_number: number;
  transaction: View;
  psbt: string | null;
  shares: { miner_sat: string; maker_sat: string };
  ladder: { txid: string; fee_sat: string; rate: number }[];
  can_confirm: { now: boolean; from_height: number | null; before_height: number | null; why: string };
  chain: { tip_height: number; funding: string } | null;
};
type View = {
  kind: string;
  hex: string;
  txid: string;
  signed: boolean;
  vsize: number;
  fee_sat: string;
  fee_rate_sat_per_kvb: number;
  valid_from_height: number | null;
  outputs: { to: string; script: string; value_sat: string; lock: unknown }[];
};

const EXPIRY = 600;
const scene = new Aftermath({ terms: { expiryHeight: EXPIRY } });
beforeAll(() => scene.run(3));
afterAll(() => scene.end());

const { terms } = scene.world;
const paidSat = (12n * SHARE.workHashes * terms.priceMsatPerEh) / 10n ** 18n / 1000n;
const minerSat = terms.minerReserveSat + paidSat;
const makerSat = terms.reserveSat + terms.budgetSat - paidSat;

const on = (side: Side): string[] => ['--config', scene.config(side)];

/** What a dry run says of a transaction is what its bytes say. */
function expectTrue({ transaction, shares }: Plan): Transaction {
  const decoded = Transaction.fromHex(transaction.hex);
  expect(decoded.getId()).toBe(transaction.txid);
  expect(transaction.outputs.map(({ script, value_sat }) => ({ script, value_sat }))).toEqual(
    decoded.outs.map(({ script, value }) => ({ script: toHex(script), value_sat: value.toString() })),
  );
  const outSat = decoded.outs.reduce((sum, { value }) => sum + value, 0n);
  expect(BigInt(transaction.fee_sat)).toBe(scene.fundingOutput.valueSat - outSat);
  expect(decoded.ins).toHaveLength(1);
  expect(toHex(decoded.ins[0]!.hash.toReversed())).toBe(scene.fundingTxid);
  expect(decoded.locktime).toBe(transaction.valid_from_height ?? 0);
  expect(BigInt(shares.miner_sat) + BigInt(shares.maker_sat)).toBe(outSat);
  if (transaction.signed) {
    expect(decoded.virtualSize()).toBe(transaction.vsize);
    const rate = (Number(transaction.fee_sat) * 1000) / transaction.vsize;
    expect(transaction.fee_rate_sat_per_kvb).toBe(Math.floor(rate));
  }
  return decoded;
}

describe('channel list and show', () => {
  it.each(['miner', 'maker'] as const)(
    'say what the ledger of the %s has, and what the chain says',
    async (side) => {
      const { channels } = await answer<{ channels: Record<string, unknown>[] }>([
        'channel',
        'list',
        ...on(side),
      ]);
      const row = {
        contract: scene.world.contractId,
        role: side,
        network: 'regtest',
        peer_node_id: side === 'miner' ? terms.makerNodeId : terms.minerNodeId,
        status: 'open',
        state_number: 3,
        paid_sat: paidSat.toString(),
        budget_sat: terms.budgetSat.toString(),
        expiry_height: EXPIRY,
        funding_txid: scene.fundingTxid,
        funding_vout: scene.fundingVout,
      };
      expect(channels).toEqual([{ ...row, reason: '' }]);
      const shown = await answer(['channel', 'show', scene.world.contractId.slice(0, 8), ...on(side)]);
      expect(shown).toMatchObject({
        ...row,
        split: { miner_sat: minerSat.toString(), maker_sat: makerSat.toString() },
        deadlines: { broadcast_state_from_height: EXPIRY - 144, maker_refund_from_height: EXPIRY },
        chain: { tip_height: scene.world.chain.height, funding: 'unspent' },
        chain_problem: null,
      });
    },
  );

  it('need no configuration and no node, and read a ledger beside its writer', async () => {
    const ledger = scene.path('miner', 'ledger.sqlite');
    const shown = await answer(['channel', 'show', '--ledger', ledger]);
    expect(shown).toMatchObject({ state_number: 3, chain: null, chain_problem: null });
    const gone = await answer(['channel', 'show', '--ledger', ledger, '--rpc-url', 'http://127.0.0.1:1']);
    expect(gone['chain']).toBeNull();
    expect(gone['chain_problem']).toMatch(/^chain_unreachable/);
  });

  it('print for people what they print for programs', async () => {
    const list = await sharestream(['channel', 'list', ...on('miner')]);
    expect(list.stdout).toBe(
      `${scene.world.contractId}  miner  open  state 3  paid ${paidSat} of ${terms.budgetSat} sat  expires at ${EXPIRY}\n`,
    );
    const show = await sharestream(['channel', 'show', ...on('maker')]);
    expect(show.stdout).toContain(`split.maker_sat  ${makerSat}\n`);
  });
});

describe('a dry run', () => {
  it('of force-close shows the newest state of the miner, ready to broadcast, and every fee it could have', async () => {
    const plan = await answer<Plan>(['channel', 'force-close', ...on('miner'), '--dry-run']);
    const decoded = expectTrue(plan);
    expect(scene.verdict(plan.transaction.hex)).toBeUndefined();
    const feeSat = BigInt(plan.transaction.fee_sat);
    expect(plan).toMatchObject({
      dry_run: true,
      state_number: 3,
      transaction: { kind: 'state', signed: true, valid_from_height: null },
      shares: { miner_sat: (minerSat - feeSat).toString(), maker_sat: makerSat.toString() },
      can_confirm: { now: true, from_height: null, before_height: EXPIRY, why: 'at once' },
    });
    expect(decoded.version).toBe(3);
    expect(plan.ladder.length).toBeGreaterThan(1);
    expect(plan.ladder.map(({ txid }) => txid)).toContain(plan.transaction.txid);
    const urgent = await answer<Plan>(['channel', 'force-close', ...on('miner'), '--dry-run', '--urgent']);
    expectTrue(urgent);
    expect(urgent.transaction.txid).toBe(plan.ladder.at(-1)!.txid);
  });

  it('of force-close shows the refund of the maker, and that no block may hold it before the expiry', async () => {
    const plan = await answer<Plan>(['channel', 'force-close', ...on('maker'), '--dry-run']);
    const decoded = expectTrue(plan);
    expect(scene.verdict(plan.transaction.hex)).toBeUndefined();
    expect(decoded.locktime).toBe(EXPIRY);
    expect(plan.transaction.outputs.map(({ to }) => to)).toEqual(['maker']);
    expect(plan.can_confirm).toMatchObject({ now: false, from_height: EXPIRY, before_height: null });
    expect(plan.can_confirm.why).toContain(`in ${EXPIRY - scene.world.chain.height} blocks`);
    expect(() => scene.world.chain.broadcast(plan.transaction.hex)).toThrow(/final/);
  });

  it.each(['miner', 'maker'] as const)('of close shows the %s what both would sign', async (side) => {
    const plan = await answer<Plan>(['channel', 'close', ...on(side), '--dry-run']);
    expectTrue(plan);
    expect(plan.transaction).toMatchObject({ kind: 'close', signed: false });
    expect(plan.shares.maker_sat).toBe(makerSat.toString());
    expect(scene.verdict(plan.transaction.hex)).toBeDefined();
  });

  it.each(['miner', 'maker'] as const)('gives the %s a PSBT for keys that are elsewhere', async (side) => {
    const words = ['channel', 'force-close', ...on(side), '--dry-run'];
    const { psbt, transaction } = await answer<Plan>(words);
    const asked = Psbt.fromBase64(psbt!);
    const unsigned = Transaction.fromBuffer(asked.data.globalMap.unsignedTx.toBuffer());
    expect(unsigned.getId()).toBe(transaction.txid);
    const signer = scene.world[`${side}Signer`].forChannel(channelIndexOf(scene.world.contractId));
    const role = side === 'miner' ? 'channel' : 'refund';
    const [input] = asked.data.inputs;
    const { path } = signer.origin(role);
    expect(input!.bip32Derivation).toMatchObject([{ path, pubkey: signer.publicKey(role) }]);
  });

  it('needs neither keys nor a node: then it is not signed, and says so', async () => {
    const ledger = scene.path('miner', 'ledger.sqlite');
    const plan = await answer<Plan>(['channel', 'force-close', '--ledger', ledger, '--dry-run']);
    expectTrue(plan);
    expect(plan).toMatchObject({
      transaction: { signed: false },
      chain: null,
      can_confirm: { now: false },
    });
    const text = await sharestream(['channel', 'force-close', '--ledger', ledger, '--dry-run']);
    expect(text.stdout).toContain('Nothing is broadcast.');
    expect(text.stdout).toContain('(not signed)');
  });

  it('broadcasts nothing and writes nothing', async () => {
    const before = readFileSync(scene.path('miner', 'ledger.sqlite'));
    await answer(['channel', 'recover', ...on('miner'), '--dry-run']);
    await answer(['channel', 'export', ...on('miner'), '--dry-run']);
    expect(scene.world.chain.mempoolEntries()).toEqual([]);
    expect(readFileSync(scene.path('miner', 'ledger.sqlite')).equals(before)).toBe(true);
  });
});

describe('what cannot be done', () => {
  it.each([
    [['channel', 'nothing'], '2 usage'],
    [['channel', 'list'], '2 usage'],
    [['channel', 'list', '--ledger', '/nowhere'], '1 ledger_io'],
    [['channel', 'list', '--config', '/nowhere'], '1 config_unreadable'],
    [['channel', 'show', 'xyz', '--ledger', '?'], '2 usage'],
    [['channel', 'show', 'ffff0000', '--ledger', '?'], '1 unknown_channel'],
    [['channel', 'show', 'ab12', 'ab12', '--ledger', '?'], '2 usage'],
    [['channel', 'force-close', '--config', '?'], '2 usage'],
    [['channel', 'close', '--config', '?'], '2 usage'],
    [['channel', 'close', '--config', '?', '--yes'], '1 daemon_unreachable'],
    [['channel', 'close', '--ledger', '?', '--yes'], '2 usage'],
    [['channel', 'force-close', '--ledger', '?', '--yes'], '2 usage'],
    [['channel', 'force-close', '--ledger', '?', '--yes', '--rpc-url', 'ftp://x'], '2 usage'],
    [
      ['channel', 'force-close', '--config', '?', '--yes', '--rpc-url', 'http://127.0.0.1:1'],
      '1 chain_unreachable',
    ],
    [['channel', 'force-close', '--config', '?', '--dry-run', '--keys', '/nowhere'], '1 bad_key_file'],
    [['channel', 'export', '--config', '?'], '2 usage'],
    [['channel', 'recover', '--from', '/nowhere', '--rpc-url', 'http://127.0.0.1:1'], '1 bad_export'],
  ])('%j ends with %s', async (words, expected) => {
    const filled = words.map((word, index) => {
      if (word !== '?') return word;
      return words[index - 1] === '--config' ? scene.config('miner') : scene.path('miner', 'ledger.sqlite');
    });
    expect(await refusal(filled)).toBe(expected);
  });

  it('is for the maker to take the channel back before its expiry, or with the keys of another', async () => {
    expect(await refusal(['channel', 'force-close', ...on('maker'), '--yes'])).toBe('1 not_expired');
    const keys = ['--keys', scene.path('miner', 'seed')];
    expect(await refusal(['channel', 'force-close', ...on('maker'), ...keys, '--dry-run'])).toBe(
      '1 bad_key_file',
    );
  });

  it('is to write over a file, or to use keys that others can read', async () => {
    const out = scene.path('taken');
    writeFileSync(out, 'mine');
    expect(await refusal(['channel', 'export', ...on('miner'), '--out', out])).toBe('1 output_refused');
    expect(readFileSync(out, 'utf8')).toBe('mine');
    const keys = scene.path('open-seed');
    writeFileSync(keys, 'ab'.repeat(32));
    chmodSync(keys, 0o644);
    expect(await refusal(['channel', 'export', ...on('miner'), '--keys', keys, '--out', `${out}2`])).toBe(
      '1 bad_key_file',
    );
  });

  it.each([
    'channel',
    'channel list',
    'channel show',
    'channel close',
    'channel force-close',
    'channel export',
    'channel recover',
  ])('is to misunderstand `%s --help`', async (name) => {
    const { code, stdout } = await sharestream([...name.split(' '), '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`sharestream ${name === 'channel' ? 'COMMAND' : name}`);
  });
});

describe('an export', () => {
  const altered = (name: string, change: (value: Record<string, unknown>) => void): string => {
    const value = JSON.parse(readFileSync(scene.path('miner.json'), 'utf8')) as Record<string, unknown>;
    change(value);
    const file = scene.path(`${name}.json`);
    writeFileSync(file, JSON.stringify(value));
    return file;
  };

  it.each(['miner', 'maker'] as const)(
    'of the %s is for its owner alone, whole, and without secrets',
    async (side) => {
      const out = scene.path(`${side}.json`);
      const said = await answer(['channel', 'export', ...on(side), '--out', out]);
      expect(said).toMatchObject({ role: side, state_number: 3, file: out, has_keys: false });
      expect(statSync(out).mode & 0o777).toBe(0o600);
      const text = readFileSync(out, 'utf8');
      expect(text).not.toContain(readFileSync(scene.path(side, 'seed'), 'utf8').trim());
      const file = JSON.parse(text) as {
        what_to_do: string[];
        transactions: View[];
        funding: { txid: string; value_sat: string };
        secrets: null;
      };
      expect(file.secrets).toBeNull();
      expect(file.funding).toMatchObject({
        txid: scene.fundingTxid,
        value_sat: scene.fundingOutput.valueSat.toString(),
      });
      expect(file.what_to_do.join(' ')).toContain(String(EXPIRY));
      const kinds = new Set(file.transactions.map(({ kind }) => kind));
      expect([...kinds]).toEqual([side === 'miner' ? 'state' : 'refund']);
      for (const { hex } of file.transactions) expect(scene.verdict(hex)).toBeUndefined();
    },
  );

  it('holds the secret keys only when it is asked to', async () => {
    const out = scene.path('with-keys.json');
    await answer(['channel', 'export', ...on('miner'), '--out', out, '--with-keys']);
    const { secrets } = JSON.parse(readFileSync(out, 'utf8')) as { secrets: { key_file: string } };
    expect(secrets.key_file).toBe(readFileSync(scene.path('miner', 'seed'), 'utf8').trim());
  });

  it.each<[string, (value: Record<string, unknown>) => void]>([
    ['a format', (value) => Object.assign(value, { format: 'other' })],
    ['a version', (value) => Object.assign(value, { version: 2 })],
    ['the work', (value) => Object.assign(value['state'] as object, { work_hashes: '1' })],
    [
      'the funding',
      (value) => Object.assign((value['channel'] as { funding: object }).funding, { vout: 9 }),
    ],
    [
      'a payout',
      (value) =>
        Object.assign(value['channel'] as object, { miner_payout_script: `0014${'cc'.repeat(20)}` }),
    ],
    [
      'an output',
      (value) => {
        const [first] = value['transactions'] as { hex: string }[];
        const transaction = Transaction.fromHex(first!.hex);
        transaction.outs[0]!.script = Uint8Array.from(Buffer.from(`0014${'cc'.repeat(20)}`, 'hex'));
        first!.hex = transaction.toHex();
      },
    ],
    ['a kind', (value) => Object.assign((value['transactions'] as object[])[0]!, { kind: 'refund' })],
    ['the list', (value) => Object.assign(value, { transactions: {} })],
    ['a record', (value) => Object.assign((value['records'] as object[])[0]!, { kind: 'share' })],
  ])('with %s altered is refused before anything is sent', async (name, change) => {
    const file = altered(name.replace(' ', '-'), change);
    expect(await refusal(['channel', 'recover', '--from', file, '--rpc-url', scene.rpc.url, '--yes'])).toBe(
      '1 bad_export',
    );
    expect(scene.world.chain.mempoolEntries()).toEqual([]);
  });

  it('of the maker broadcasts nothing before the expiry', async () => {
    const words = ['channel', 'recover', '--from', scene.path('maker.json'), '--rpc-url', scene.rpc.url];
    expect(await refusal([...words, '--yes'])).toBe('1 not_expired');
    const plan = await answer<Plan>([...words, '--dry-run']);
    expectTrue(plan);
    expect(plan.can_confirm).toMatchObject({ now: false, from_height: EXPIRY });
  });
});
