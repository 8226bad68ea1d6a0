import { readFileSync, statSync } from 'node:fs';
import { script as scripts, Transaction } from 'bitcoinjs-lib';
import { isHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { bondCoins, finalizeBondReturn } from '../channel/bonds.ts';
import { type ChannelParams, parseChannelParams } from '../channel/params.ts';
import { finalizeRefund } from '../channel/refund.ts';
import {
  finalizeSealClaim,
  finalizeSealRefund,
  parseSignedSealClaim,
  type SignedSealClaim,
} from '../channel/seal.ts';
import type { SignedTransaction } from '../channel/spend.ts';
import { finalizeState, parseSignedState, type SignedState, verifySignedState } from '../channel/states.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { CONTRACT_KIND, FUNDING_KIND, SEAL_KIND, STATE_KIND } from '../settlement/records.ts';
import { EXPORT_FORMAT, EXPORT_VERSION, EXPORTED_KINDS, type ExportedRecord } from './channel-export.ts';
import type { Party, TransactionView } from './transaction-view.ts';

const MAX_EXPORT_BYTES = 16 * 1024 * 1024;
const MAX_TRANSACTIONS = 1000;

/** A transaction of an export after all checks: exactly what the channel allows, and well signed. */
export type CheckedTransaction = SignedTransaction & {
  readonly kind: TransactionView['kind'];
  readonly rung: number | null;
  readonly targetSatPerKvb: number;
};

/** An export after all checks. */
export type CheckedExport = {
  readonly role: Party;
  readonly contractId: string;
  readonly params: ChannelParams;
  readonly state: SignedState;
  readonly fundingTx: string | undefined;
  readonly transactions: readonly CheckedTransaction[];
  readonly records: readonly ExportedRecord[];
  /** Secret. */
  readonly keyText: string | undefined;
};

/** Reads and checks an export. Throws `bad_export`. */
export function readExport(path: string): CheckedExport {
  let text: string;
  try {
    if (statSync(path).size > MAX_EXPORT_BYTES) throw new CodedError('bad_export', `${path} is too large`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof CodedError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new CodedError('bad_export', `${path} cannot be read (${code})`);
  }
  try {
    return checkExport(JSON.parse(text));
  } catch (error) {
    if (error instanceof CodedError && error.code === 'bad_export') throw error;
    throw new CodedError('bad_export', `${path}: ${(error as Error).message}`, {}, { cause: error });
  }
}

function checkExport(value: unknown): CheckedExport {
  if (!isRecord(value) || value['format'] !== EXPORT_FORMAT) throw refuse('another format');
  if (value['version'] !== EXPORT_VERSION) throw refuse(`version ${String(value['version'])}`);
  const role = value['role'];
  if (role !== 'miner' && role !== 'maker') throw refuse('role must be miner or maker');
  const params = parseChannelParams(value['channel']);
  const state = parseSignedState(value['state']);
  verifySignedState(params, state);
  const list = listOf(value['transactions'], 'transactions');
  const records = listOf(value['records'], 'records').map((item) => checkRecord(item, params.contractId));
  const parts = { params, state, claim: claimOf(records) };
  return {
    role,
    contractId: params.contractId,
    params,
    state,
    fundingTx: fundingTxOf(value['funding'], params),
    transactions: list.map((item) => checkTransaction(item, parts)),
    records,
    keyText: keyTextOf(value['secrets']),
  };
}

function refuse(detail: string): CodedError {
  return new CodedError('bad_export', detail);
}

function listOf(value: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > MAX_TRANSACTIONS) throw refuse(`${name} must be a list`);
  return value;
}

function fundingTxOf(value: unknown, params: ChannelParams): string | undefined {
  const hex = isRecord(value) ? value['transaction_hex'] : undefined;
  if (hex === null || hex === undefined) return undefined;
  if (!isHex(hex) || Transaction.fromHex(hex).getId() !== params.funding.txid) {
    throw refuse('the funding transaction is another one');
  }
  return hex;
}

function keyTextOf(value: unknown): string | undefined {
  if (!isRecord(value)) return undefined;
  const text = value['key_file'];
  return typeof text === 'string' ? text : undefined;
}

function checkRecord(value: unknown, contractId: string): ExportedRecord {
  if (!isRecord(value)) throw refuse('a record must be an object');
  const { kind, id, body } = value;
  const isKnown = EXPORTED_KINDS.some((known) => known === kind);
  if (!isKnown || typeof id !== 'string' || !id.startsWith(contractId) || typeof body !== 'string') {
    throw refuse('a record is not of this channel');
  }
  return { kind: kind as string, id, body };
}

/** Takes the signature out of the transaction and makes it anew: only the same bytes are taken. */
function checkTransaction(value: unknown, checked: CheckedParts): CheckedTransaction {
  if (!isRecord(value)) throw refuse('a transaction must be an object');
  const { kind, rung, hex, target_sat_per_kvb: rate } = value;
  if (!isHex(hex) || typeof rate !== 'number' || (rung !== null && typeof rung !== 'number')) {
    throw refuse('a transaction lacks hex, rung or target_sat_per_kvb');
  }
  const witness = Transaction.fromHex(hex).ins[0]?.witness ?? [];
  const rebuilt = rebuild({ kind, rung, rate, witness }, checked);
  if (rebuilt.hex !== hex) throw refuse(`a ${String(kind)} is not what the channel allows`);
  return { ...rebuilt, kind: kind as CheckedTransaction['kind'], rung, targetSatPerKvb: rate };
}

type CheckedParts = {
  readonly params: ChannelParams;
  readonly state: SignedState;
  readonly claim: SignedSealClaim | undefined;
};

function claimOf(records: readonly ExportedRecord[]): SignedSealClaim | undefined {
  const body: unknown = JSON.parse(records.find(({ kind }) => kind === SEAL_KIND)?.body ?? 'null');
  const claim = isRecord(body) ? body['claim'] : undefined;
  return claim === undefined ? undefined : parseSignedSealClaim(claim);
}

type Parts = {
  readonly kind: unknown;
  readonly rung: number | null;
  readonly rate: number;
  readonly witness: readonly Uint8Array[];
};

function rebuild(parts: Parts, { params, state, claim }: CheckedParts): SignedTransaction {
  const { kind, rung, rate, witness } = parts;
  switch (kind) {
    case 'state':
      return finalizeState(params, state, rung ?? 0, signatureOf(witness[1]));
    case 'refund':
      return finalizeRefund(params, rate, signatureOf(witness[0]));
    case 'seal_claim':
      if (claim === undefined) throw refuse('a seal_claim without its record');
      return finalizeSealClaim(params, claim, signatureOf(witness[0]));
    case 'seal_refund':
      return finalizeSealRefund(params, rate, signatureOf(witness[0]));
    case 'bond_return': {
      const signature = signatureOf(witness[0]);
      for (const coin of bondCoins(params, state.workHashes, rung ?? 0)) {
        try {
          return finalizeBondReturn(params, coin, rate, signature);
        } catch (error) {
          if (!(error instanceof CodedError) || error.code !== 'bad_signature') throw error;
        }
      }
      throw refuse('a bond_return is not well signed');
    }
    default:
      throw refuse(`a transaction of kind ${String(kind)}`);
  }
}

/** A DER signature with its hash type, as 64 bytes of hex. */
function signatureOf(item: Uint8Array | undefined): string {
  if (item === undefined) throw refuse('a transaction is not signed');
  return toHex(scripts.signature.decode(item).signature);
}

/** Puts the records of an export into a ledger that does not know the channel. */
export async function importRecords(ledger: Ledger, records: readonly ExportedRecord[]): Promise<void> {
  const once: readonly string[] = [CONTRACT_KIND, FUNDING_KIND, STATE_KIND];
  const entries = records.map(
    ({ kind, id, body }): LedgerEntry => ({ type: once.includes(kind) ? 'insert' : 'put', kind, id, body }),
  );
  if (!entries.some(({ kind }) => kind === CONTRACT_KIND)) {
    throw new CodedError('bad_export', 'the export has no records of its ledger');
  }
  await ledger.appendNow(entries);
}
