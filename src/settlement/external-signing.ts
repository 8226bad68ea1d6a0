import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { optional } from '../chain/source.ts';
import { exportPsbt, type KeyHolder } from '../channel/psbt.ts';
import type { SigningRequest } from '../channel/signing-requests.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { REQUEST_KIND, requestEntry, requestId, unstored } from './records.ts';

/** A place for signing requests to keys that are not in the program, such as a vault's or an auditor's. */
export type ExternalSigning = {
  /** The request made under a name, with its answer once there is one. */
  open(name: string): { readonly satPerKvb: number; readonly signed?: string } | undefined;
  ask(name: string, satPerKvb: number, psbt: string): void;
};

/**
 * A folder for signing requests: the request is `<name>.<sat per kvB>.psbt`, its answer the same with
 * `.signed.psbt`. A request never changes; once removed, it is made again at the fee rate of then. Methods
 * throw `bad_psbt` for a file that cannot be read, `output_refused` for one that cannot be written.
 */
export function fileExternalSigning(folder: string): ExternalSigning {
  return {
    open: (name) => {
      const names = listed(folder);
      const asked = names.map((file) => new RegExp(`^${name}\\.(\\d{3,8})\\.psbt$`).exec(file)?.[1]);
      const rate = asked.find((each) => each !== undefined);
      if (rate === undefined) return undefined;
      const satPerKvb = Number(rate);
      const answer = `${name}.${rate}.signed.psbt`;
      return names.includes(answer) ? { satPerKvb, signed: readText(join(folder, answer)) } : { satPerKvb };
    },
    ask: (name, satPerKvb, psbt) => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writePrivateFile(join(folder, `${name}.${satPerKvb}.psbt`), `${psbt}\n`);
    },
  };
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new CodedError('bad_psbt', `${folder} cannot be read`, {}, { cause });
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CodedError('bad_psbt', `${path} cannot be read`, {}, { cause });
  }
}

/** A request for the signature of a key that is not in the program. */
export type ExternalSigningRequest = {
  readonly contractId: string;
  /** Kind of the request, unique for the contract. */
  readonly what: string;
  /** Fee rate in sat/kvB, unless it was asked before at another. */
  readonly satPerKvb: number;
  readonly request: (satPerKvb: number) => SigningRequest;
  /** Holder of the keys' origins. */
  readonly holder: KeyHolder;
};

/**
 * Makes a signing request, and returns its answer with the fee rate it was made at; undefined until it was
 * signed. The first call stores it in the ledger, and in the folder of requests where there is one.
 */
export async function requestExternalSignature(
  { contractId, what, satPerKvb, request, holder }: ExternalSigningRequest,
  deps: { readonly externalSigning?: ExternalSigning; readonly ledger: Ledger; readonly log: Logger },
): Promise<{ readonly satPerKvb: number; readonly signed: string } | undefined> {
  const name = `${contractId}.${what}`;
  const opened = deps.externalSigning?.open(name);
  if (opened?.signed !== undefined) return { satPerKvb: opened.satPerKvb, signed: opened.signed };
  if (opened !== undefined) return undefined;
  const onFailure = unstored(contractId, deps.log);
  const known = await optional(() => deps.ledger.get(REQUEST_KIND, requestId(contractId, what)), onFailure);
  if (known !== undefined && deps.externalSigning === undefined) return undefined;
  const psbt = exportPsbt(request(satPerKvb), [holder]);
  await optional(() => deps.ledger.appendNow([requestEntry(contractId, what, psbt)]), onFailure);
  deps.externalSigning?.ask(name, satPerKvb, psbt);
  deps.log.warn({ contract: contractId, what }, 'a request waits to be signed elsewhere');
  return undefined;
}
