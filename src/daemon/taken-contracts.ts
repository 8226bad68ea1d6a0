import { isRecord } from '../base/json.ts';
import type { PayoutConfig, QuotaConfig } from '../config/config.ts';
import type { HostPort } from '../config/values.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import {
  type Codec,
  decimal,
  flag,
  hexUpTo,
  integer,
  object,
  oneOf,
  positiveNumber,
  text,
} from '../peer/codec.ts';
import { termsCodec } from '../peer/market-codecs.ts';
import { bodyOf, parseBody } from '../settlement/records.ts';

/** The kind of ledger documents of contracts that were taken at run time; the id is the contract's. */
const TAKEN_KIND = 'taken';
/** The kind of ledger documents of where makers are reached; the id is the maker's. */
const MAKER_KIND = 'maker-address';

/** A contract that was taken while the proxy ran: what the configuration says of others. */
export type TakenContract = {
  readonly name: string;
  readonly terms: ContractTerms;
  readonly maker: HostPort;
  readonly payoutScriptHex: string;
  /** See `BondSide`. */
  readonly returnsBonds: boolean;
  /** See `ContractConfig`. */
  readonly quota?: QuotaConfig | undefined;
  readonly destination?: string | undefined;
  /** Its place among contracts that follow each other. */
  readonly line?: LineItem | undefined;
};

/** The line of a contract, which has the name of its first, and how many were before it. */
export type LineItem = {
  readonly name: string;
  readonly index: number;
  /** False where the line ends with its last contract. */
  readonly renews?: boolean;
  /** The one before it is closed once this one is deep. */
  readonly takesOver?: boolean;
};

const rateCodec = object(
  { type: ['type', oneOf('rate')], hashesPerSecond: ['rate', decimal] },
  { maxHashesPerSecond: ['max', decimal] },
);
const weightCodec = object({ type: ['type', oneOf('weight')], weight: ['weight', positiveNumber] });
const quotaCodec: Codec<QuotaConfig> = {
  parse: (value) =>
    isRecord(value) && value['type'] === 'weight' ? weightCodec.parse(value) : rateCodec.parse(value),
  print: (quota) => (quota.type === 'weight' ? weightCodec.print(quota) : rateCodec.print(quota)),
};
const makerCodec = object({ host: ['host', text(255)], port: ['port', integer(1, 65_535)] });
const LONGEST_NAME = 1000;

const takenCodec = object(
  {
    version: ['version', integer(1, 1)],
    name: ['name', text(LONGEST_NAME)],
    terms: ['terms', termsCodec],
    maker: ['maker', makerCodec],
    payoutScriptHex: ['payout_script', hexUpTo(10_000, 1)],
    returnsBonds: ['returns_bonds', flag],
  },
  {
    quota: ['quota', quotaCodec],
    destination: ['destination', text(LONGEST_NAME)],
    line: [
      'line',
      object(
        { name: ['name', text(LONGEST_NAME)], index: ['index', integer(0, Number.MAX_SAFE_INTEGER)] },
        { renews: ['renews', flag], takesOver: ['takes_over', flag] },
      ),
    ],
  },
);

/** The ledger entry of a contract that is taken, to be on disk before it is proposed. */
export function takenEntry(taken: TakenContract): LedgerEntry {
  const { quota, destination, line, ...rest } = taken;
  const record = {
    ...{ version: 1, ...rest },
    ...(quota === undefined ? {} : { quota }),
    ...(destination === undefined ? {} : { destination }),
    ...(line === undefined ? {} : { line }),
  };
  const body = bodyOf(takenCodec, record);
  return { type: 'put', kind: TAKEN_KIND, id: contractIdOf(taken.terms), body };
}

/** Where the miner of a contract that was taken is paid. */
export function payoutOf({ payoutScriptHex }: TakenContract): PayoutConfig {
  return { type: 'script', scriptHex: payoutScriptHex };
}

/** The contracts that were taken, in the order of their ids. Throws `ledger_corrupt`. */
export async function takenContracts(ledger: Ledger): Promise<readonly TakenContract[]> {
  const documents = await ledger.list(TAKEN_KIND);
  return documents.map(({ body }) => {
    const { version: _version, ...taken } = parseBody(TAKEN_KIND, takenCodec, body);
    return taken;
  });
}

/** The ledger entry of where a maker is reached. */
export function makerEntry(makerNodeId: string, maker: HostPort): LedgerEntry {
  return { type: 'put', kind: MAKER_KIND, id: makerNodeId, body: bodyOf(makerCodec, maker) };
}

/** Where a maker was reached; undefined where that is not known. Throws `ledger_corrupt`. */
export async function makerAddress(ledger: Ledger, makerNodeId: string): Promise<HostPort | undefined> {
  const body = await ledger.get(MAKER_KIND, makerNodeId);
  return body === undefined ? undefined : parseBody(MAKER_KIND, makerCodec, body);
}
